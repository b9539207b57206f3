// A region: isolates that share an upstream, each behind the production link to one production hub. Requests
// meet any of them; some are replaced by new ones every second, which know nothing; the hub may be gone for a
// while, or come back with nothing but what it had stored.

import type { UpstreamPlan } from "../../../src/config/plan.ts";
import { createUpstreamSource } from "../../../src/edge/upstream-source.ts";
import type { Hub } from "../../../src/hub/hub.ts";
import { NOTHING_STORED, bootHub } from "../../../src/hub/hub.ts";
import { regionLimitOf } from "../../../src/hub/load-book.ts";
import type { SyncReply, SyncRequest } from "../../../src/hub/protocol.ts";
import { readStoredHub, takeCommit } from "../../../src/hub/storage.ts";
import { serveSync } from "../../../src/hub/sync.ts";
import { readUsage } from "../../../src/hub/usage.ts";
import { HubLink } from "../../../src/region/hub-link.ts";
import { createReplica } from "../../../src/region/replica.ts";
import { nextRandom } from "../../../src/resilience/random.ts";
import type { PhaseChange, Policy, PolicyFactory, PolicyReading, SimulatedRequest, World } from "./policy.ts";
import { EPOCH_MS } from "./clock.ts";
import { skewWorld } from "./skewed-world.ts";
import type { TidegateOptions } from "./tidegate-options.ts";
import { DEFAULT_OPTIONS } from "./tidegate-options.ts";
import { TidegatePolicy } from "./tidegate-policy.ts";

export interface RegionOptions {
  readonly isolates: number;
  /** The part of the isolates that is replaced every second. What they have begun they end. */
  readonly churn?: number;
  readonly options?: TidegateOptions;
  readonly isHubGone?: (elapsedMs: number) => boolean;
  /** When the hub is killed and boots again with what it had stored. */
  readonly hubRestartsAtMs?: number;
  /** How far the clock of an isolate is off, by its number. */
  readonly skewMs?: (isolate: number) => number;
  readonly mail?: BadMail;
}

/** Parts of the syncs that come late, by up to `lateMs`, and that come twice. */
export interface BadMail {
  readonly late: number;
  readonly lateMs: number;
  readonly twice: number;
}

const REGION = "weur";
const UPSTREAM = "shop";
const FLUSH_ROUNDS = 8;
const COUNTER = "requests";
const KEY = "all";
const SYNC_TIMEOUT_MS = 1_000;
const ONE_WAY_MS = [3, 9] as const;

/** A region of so many isolates with its hub. */
export function region(options: RegionOptions): PolicyFactory {
  return { name: `region of ${options.isolates}`, create: (world) => new Region(world, options) };
}

export class Region implements Policy {
  readonly #world: World;
  readonly #options: RegionOptions;
  readonly #isolates: TidegatePolicy[];
  /** Those that have been replaced, too. */
  readonly #all: TidegatePolicy[];
  readonly #links: HubLink[] = [];
  readonly #rows = new Map<string, Uint8Array>();
  readonly #sessions = new Map<string, number>();
  /** Moves of the region's breaker before its hub was killed. */
  readonly #earlierChanges: PhaseChange[] = [];
  hub: Hub;
  #replacedAtMs = 0;
  #owed = 0;
  #oldest = 0;
  #born = 0;
  syncs = 0;
  /** Requests that isolates have counted for the hub, where its mail is bad. */
  counted = 0;

  constructor(world: World, options: RegionOptions) {
    this.#world = world;
    this.#options = options;
    this.hub = bootHub(REGION, 0, NOTHING_STORED, world.clock.now);
    this.#isolates = Array.from({ length: options.isolates }, () => this.#createIsolate());
    this.#all = [...this.#isolates];
    const { hubRestartsAtMs } = options;
    if (hubRestartsAtMs !== undefined) world.clock.after(hubRestartsAtMs, () => this.#restartHub());
  }

  arrive(request: SimulatedRequest): void {
    this.#replace();
    const isolates = this.#isolates;
    isolates[Math.floor(nextRandom(this.#world.random) * isolates.length)].arrive(request);
  }

  /** What the hub has got of them, once isolates have said what they still held. */
  heard(): number {
    for (let round = 0; round < FLUSH_ROUNDS; round++) {
      for (const link of this.#links) link.syncEarly();
      this.#world.clock.after(2 * SYNC_TIMEOUT_MS, () => {});
      this.#world.clock.runUntil(Number.POSITIVE_INFINITY);
    }
    return readUsage(this.hub, COUNTER, KEY, 0, this.#world.clock.now).value;
  }

  #createIsolate(): TidegatePolicy {
    const skewMs = this.#options.skewMs?.(this.#born) ?? 0;
    const skewed = skewMs === 0 ? null : skewWorld(this.#world, skewMs);
    const world = skewed?.world ?? this.#world;
    const { clock } = world;
    const options = this.#options.options ?? DEFAULT_OPTIONS;
    const name = `i${this.#born++}`;
    let sessions = 0;
    const newSession = (): string => `${name}-${++sessions}`;
    const link = new HubLink(createReplica(REGION, newSession(), "config", clock.now), {
      now: () => clock.now,
      send: (request, done) => this.#send(request, done),
      startTimer: (ms, fire) => {
        let isOver = false;
        clock.after(ms, () => {
          if (!isOver) fire();
        });
        return () => {
          isOver = true;
        };
      },
      newSession,
    });
    const policy = new TidegatePolicy(world, options, () => {
      if (this.#options.mail !== undefined) {
        this.counted++;
        link.count(COUNTER, KEY, 1);
      }
      link.afterResponse();
    });
    if (skewed !== null) {
      const arrive = policy.arrive.bind(policy);
      policy.arrive = (request) => arrive(skewed.skew(request));
    }
    this.#links.push(link);
    link.upstreams = createUpstreamSource([{ plan: planOf(options), control: policy.control }], false);
    return policy;
  }

  #send(request: SyncRequest, done: (reply: SyncReply | null) => void): void {
    const { clock } = this.#world;
    this.syncs++;
    let isOver = false;
    const end = (reply: SyncReply | null): void => {
      if (isOver) return;
      isOver = true;
      done(reply);
    };
    const deliver = (delayMs: number): void => {
      clock.after(delayMs, () => {
        if (this.#options.isHubGone?.(clock.elapsedMs) === true) return;
        const reply = serveSync(this.hub, structuredClone(request), clock.now);
        this.#store();
        clock.after(this.#delayMs(), () => end(structuredClone(reply)));
      });
    };
    const { mail } = this.#options;
    deliver(this.#delayMs() + (mail === undefined ? 0 : this.#lateMs(mail)));
    if (mail !== undefined && nextRandom(this.#world.random) < mail.twice) {
      deliver(this.#delayMs() + mail.lateMs * nextRandom(this.#world.random));
    }
    clock.after(SYNC_TIMEOUT_MS, () => end(null));
  }

  #store(): void {
    const commit = takeCommit(this.hub, true);
    for (const [name, bytes] of commit?.states ?? []) {
      if (bytes === null) this.#rows.delete(name);
      else this.#rows.set(name, bytes);
    }
    for (const [id, seq] of commit?.sessions ?? []) this.#sessions.set(id, seq);
  }

  #restartHub(): void {
    const { boot, durableEpoch } = this.hub;
    this.#earlierChanges.push(...changesOf(this.hub));
    const stored = readStoredHub({ boot, durableEpoch, states: this.#rows, sessions: this.#sessions });
    this.hub = bootHub(REGION, 0, stored, this.#world.clock.now);
  }

  #lateMs({ late, lateMs }: BadMail): number {
    const { random } = this.#world;
    return nextRandom(random) < late ? lateMs * nextRandom(random) : 0;
  }

  #delayMs(): number {
    const [least, most] = ONE_WAY_MS;
    return least + (most - least) * nextRandom(this.#world.random);
  }

  #replace(): void {
    const { elapsedMs } = this.#world.clock;
    const isolates = this.#isolates;
    const { churn = 0 } = this.#options;
    this.#owed += (churn * isolates.length * (elapsedMs - this.#replacedAtMs)) / 1000;
    this.#replacedAtMs = elapsedMs;
    for (; this.#owed >= 1; this.#owed--) {
      const fresh = this.#createIsolate();
      isolates[this.#oldest] = fresh;
      this.#all.push(fresh);
      this.#oldest = (this.#oldest + 1) % isolates.length;
    }
  }

  read(): PolicyReading {
    const readings = this.#isolates.map((isolate) => isolate.read());
    const sum = (of: (reading: PolicyReading) => number): number =>
      readings.reduce((total, reading) => total + of(reading), 0);
    return {
      cursor: sum(({ cursor }) => cursor) / readings.length,
      limit: this.#limit() ?? sum(({ limit }) => limit),
      inflight: sum(({ inflight }) => inflight),
      waiting: sum(({ waiting }) => waiting),
      phase: readings.every(({ phase }) => phase === "closed") ? "closed" : "mixed",
    };
  }

  #limit(): number | null {
    const book = this.hub.loads.get(UPSTREAM);
    return book === undefined ? null : regionLimitOf(book);
  }

  permitsOutAt(now: number): number {
    return this.#sum((isolate) => isolate.permitsOutAt(now));
  }

  get phaseChanges(): readonly PhaseChange[] {
    return this.#all.flatMap(({ phaseChanges }) => phaseChanges);
  }

  get regionChanges(): readonly PhaseChange[] {
    return [...this.#earlierChanges, ...changesOf(this.hub)];
  }

  get retries(): number {
    return this.#sum(({ retries }) => retries);
  }

  get unjustRefusals(): number {
    return this.#sum(({ unjustRefusals }) => unjustRefusals);
  }

  get levelBreaches(): number {
    return this.#sum(({ levelBreaches }) => levelBreaches);
  }

  #sum(of: (isolate: Policy) => number): number {
    return this.#all.reduce((total, isolate) => total + of(isolate), 0);
  }
}

function changesOf({ transitions }: Hub): PhaseChange[] {
  return transitions.flatMap(({ at, from, to, reason, openForMs = 0 }) => {
    const isWhole = at !== undefined && from !== undefined && to !== undefined && reason !== undefined;
    return isWhole ? [{ atMs: at - EPOCH_MS, from, to, reason, openForMs }] : [];
  });
}

function planOf({ upstream, retry }: TidegateOptions): UpstreamPlanPart {
  const { timeoutMs, breaker, concurrency, retryBudget } = upstream;
  const budget = retryBudget ?? 0;
  return {
    name: UPSTREAM,
    timeoutMs,
    breaker,
    concurrency,
    retry: retryBudget === null ? null : { ...retry, budget },
  };
}

type UpstreamPlanPart = Pick<UpstreamPlan, "name" | "timeoutMs" | "breaker" | "concurrency" | "retry">;
