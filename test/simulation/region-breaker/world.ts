// Regions of isolates around one upstream each, on a virtual clock: arrivals by a Poisson process, a hub per
// region that adds up and decides, messages that take 3 to 9 ms each way. The same seed gives the same run.

import { DEFAULT_BREAKER } from "../../../src/resilience/breaker-state.ts";
import type { RegionBreaker } from "../../../src/hub/region-breaker.ts";
import { verdictOf } from "../../../src/hub/region-verdict.ts";
import {
  advanceRegionBreaker,
  createRegionBreaker,
  leaseProbe,
  noteCalls,
  noteIsolates,
  noteProbe,
  noteProbeStart,
} from "../../../src/hub/region-breaker.ts";
import type { BreakerOptions, BreakerPhase } from "../../../src/resilience/breaker.ts";
import type { RandomSource } from "../../../src/resilience/random.ts";
import { createRandom, nextRandom } from "../../../src/resilience/random.ts";
import type { BreakerVerdict } from "../../../src/resilience/regional-breaker.ts";
import { VirtualClock } from "../harness/clock.ts";
import type { Surroundings, SyncMessage } from "./isolate.ts";
import { Isolate } from "./isolate.ts";
import type { Answer, Upstream } from "./upstream.ts";

/** Within how long a leased probe starts, how long the news of that may take, and how long the probe. */
export const START_MS = 2_000;
export const NEWS_MS = 100;
export const PROBE_MS = 11_000;

export interface Scenario {
  readonly seed: number;
  readonly regions?: number;
  readonly isolates: number;
  /** Requests per second of one region. */
  readonly rps: number;
  readonly upstream: (region: number) => Upstream;
  readonly options?: Partial<BreakerOptions>;
  /** What an isolate sees instead of what the upstream answers. */
  readonly seenBy?: (isolate: string, answer: Answer) => Answer;
  /** Which isolate the next request meets, by index; otherwise any. */
  readonly route?: (random: RandomSource) => number;
  readonly waits?: boolean;
  readonly isHubGone?: (elapsedMs: number) => boolean;
  /** Hears every message that a hub has taken in. */
  readonly heard?: (region: Region, message: SyncMessage) => void;
}

export interface Change {
  readonly at: number;
  readonly to: BreakerPhase;
}

/** One region and what was measured of it. Times are elapsed ms. */
export class Region {
  readonly hub: RegionBreaker;
  readonly isolates: Isolate[];
  readonly changes: Change[] = [];
  readonly probes: { readonly at: number; readonly until: number; readonly isGood: boolean }[] = [];
  readonly endings: { readonly at: number; readonly ending: string }[] = [];
  /** Kept only when asked for: long runs have many. */
  keepsEndings = true;
  readonly tally: Record<string, number> = { good: 0, failed: 0, refused: 0, shed: 0 };
  /** How often so many failures in a row were seen, by number, whoever saw them. */
  readonly rows: number[] = [];
  #row = 0;
  readonly #clock: VirtualClock;
  readonly #random: RandomSource;
  readonly #scenario: Scenario;
  readonly #upstream: Upstream;
  readonly #around: Surroundings;
  #generation = 1;
  #born = 0;

  constructor(clock: VirtualClock, random: RandomSource, scenario: Scenario, index: number) {
    const options = { ...DEFAULT_BREAKER, ...scenario.options };
    this.#clock = clock;
    this.#random = random;
    this.#scenario = scenario;
    this.#upstream = scenario.upstream(index);
    this.hub = createRegionBreaker(options);
    this.#around = {
      clock,
      random,
      waits: scenario.waits ?? true,
      sync: (message: SyncMessage, answered: (verdict: BreakerVerdict) => void) => {
        this.#send(message, answered);
      },
      call: (isolate: Isolate, isProbe: boolean) => this.#call(isolate, isProbe),
      onEnd: (ending: string) => {
        this.tally[ending]++;
        this.#noteRow(ending);
        if (this.keepsEndings) this.endings.push({ at: clock.elapsedMs, ending });
      },
    };
    this.isolates = Array.from(
      { length: scenario.isolates },
      (_, at) => new Isolate(`i${at}`, options, this.#around),
    );
    this.#planArrival();
  }

  #noteRow(ending: string): void {
    if (ending === "good") this.#row = 0;
    if (ending !== "failed") return;
    this.#row++;
    this.rows[this.#row] = (this.rows[this.#row] ?? 0) + 1;
  }

  /** A new isolate takes the place of the one at an index; what that one has begun it ends. */
  replaceIsolate(at: number): void {
    const options = { ...DEFAULT_BREAKER, ...this.#scenario.options };
    this.isolates[at] = new Isolate(`n${this.#born++}`, options, this.#around);
  }

  #planArrival(): void {
    const gapMs = (-Math.log(1 - nextRandom(this.#random)) * 1000) / this.#scenario.rps;
    this.#clock.after(gapMs, () => {
      const { route, isolates } = this.#scenario;
      const index =
        route === undefined ? Math.floor(nextRandom(this.#random) * isolates) : route(this.#random);
      this.isolates[index].request();
      this.#planArrival();
    });
  }

  #call(isolate: Isolate, isProbe: boolean): Answer {
    const at = this.#clock.elapsedMs;
    const truth = this.#upstream(at, this.#random);
    const answer = this.#scenario.seenBy?.(isolate.name, truth) ?? truth;
    if (isProbe) this.probes.push({ at, until: at + answer.latencyMs, isGood: answer.isGood });
    return answer;
  }

  #send(message: SyncMessage, answered: (verdict: BreakerVerdict) => void): void {
    this.#clock.after(this.#delayMs(), () => {
      if (this.#scenario.isHubGone?.(this.#clock.elapsedMs) === true) return;
      const verdict = this.receive(message);
      this.#scenario.heard?.(this, message);
      this.#clock.after(this.#delayMs(), () => {
        answered(verdict);
      });
    });
  }

  /** What the hub's clock says. */
  get now(): number {
    return this.#clock.now;
  }

  /** When the hub first moved to a phase, at or after `from`; NaN: it did not. */
  movedTo(phase: BreakerPhase, from = 0): number {
    return this.changes.find(({ at, to }) => to === phase && at >= from)?.at ?? Number.NaN;
  }

  /** When a request was last answered with anything but the upstream's good answer. */
  lastNotGood(from: number): number {
    return this.endings.findLast(({ at, ending }) => at >= from && ending !== "good")?.at ?? from;
  }

  /** What the hub does with a sync. */
  receive({ isolate, news, wantsLease }: SyncMessage): BreakerVerdict {
    const { hub } = this;
    const { now } = this.#clock;
    advanceRegionBreaker(hub, now);
    this.#noteChange();
    if (news !== null) {
      noteIsolates(hub, this.#scenario.isolates);
      noteCalls(hub, isolate, news, false, now, nextRandom(this.#random));
      noteProbeStart(hub, news.generation, news.started, PROBE_MS, now);
      for (const { lease, good } of news.probes) {
        noteProbe(hub, news.generation, lease, good, now, nextRandom(this.#random));
        this.#noteChange();
      }
    }
    const lease = wantsLease ? leaseProbe(hub, START_MS + NEWS_MS, now) : 0;
    this.#noteChange();
    return verdictOf(hub, lease, START_MS, now);
  }

  #noteChange(): void {
    const { generation, phase } = this.hub.breaker.state;
    if (generation === this.#generation) return;
    this.#generation = generation;
    this.changes.push({ at: this.#clock.elapsedMs, to: phase });
  }

  #delayMs(): number {
    return 3 + 6 * nextRandom(this.#random);
  }
}

export class World {
  readonly clock = new VirtualClock();
  readonly regions: Region[];

  constructor(scenario: Scenario) {
    const random = createRandom(scenario.seed);
    this.regions = Array.from(
      { length: scenario.regions ?? 1 },
      (_, index) => new Region(this.clock, random, scenario, index),
    );
  }

  runUntil(elapsedMs: number): this {
    this.clock.runUntil(elapsedMs);
    return this;
  }
}
