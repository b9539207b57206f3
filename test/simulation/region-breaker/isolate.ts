// An isolate as the region's breaker sees it: it asks its breaker for every request, and syncs with its hub
// behind an answer, at most once a second, or at once when there is news that cannot wait.

import { NOT_ADMITTED, admitCall, createBreaker, phaseAt } from "../../../src/resilience/breaker.ts";
import { rampShare } from "../../../src/resilience/breaker-ramp.ts";
import { noteRetryAfter, recordResult } from "../../../src/resilience/breaker.ts";
import type { Breaker, BreakerOptions } from "../../../src/resilience/breaker.ts";
import { Outcome } from "../../../src/resilience/outcome.ts";
import type { RandomSource } from "../../../src/resilience/random.ts";
import { nextRandom } from "../../../src/resilience/random.ts";
import type { BreakerVerdict, RegionalNews } from "../../../src/resilience/regional-breaker.ts";
import {
  expectRegion,
  followVerdict,
  hasUrgentNews,
  takeNews,
  wantsLease,
} from "../../../src/resilience/regional-breaker.ts";
import type { VirtualClock } from "../harness/clock.ts";
import type { Answer } from "./upstream.ts";

const SYNC_EVERY_MS = 1_000;
/** A sync that is not answered is given up. */
const SYNC_TIMEOUT_MS = 1_000;
/** A refused request waits for the sync that is under way for at most so long. */
const MAX_WAIT_MS = 20;
const PROBE_LEASE_MS = 11_000;

export interface SyncMessage {
  readonly isolate: string;
  readonly news: RegionalNews | null;
  readonly wantsLease: boolean;
}

/** How an isolate reaches everything else. */
export interface Surroundings {
  readonly clock: VirtualClock;
  readonly random: RandomSource;
  /** Delivers to the hub and its answer back; a lost message gets none. */
  readonly sync: (message: SyncMessage, answered: (verdict: BreakerVerdict) => void) => void;
  readonly call: (isolate: Isolate, isProbe: boolean) => Answer;
  readonly onEnd: (ending: "refused" | "shed" | "good" | "failed") => void;
  /** Whether a refused request waits for a sync that is due anyway. */
  readonly waits: boolean;
}

export class Isolate {
  readonly breaker: Breaker;
  readonly #around: Surroundings;
  readonly name: string;
  #syncedAt = Number.NEGATIVE_INFINITY;
  /** Sequence of the sync under way; 0: none is. */
  #syncing = 0;
  #syncs = 0;
  #waiting: (() => void)[] = [];
  /** Openings on its own evidence. */
  openings = 0;

  constructor(name: string, options: BreakerOptions, around: Surroundings) {
    this.name = name;
    this.breaker = createBreaker(options);
    expectRegion(this.breaker);
    this.#around = around;
  }

  request(): void {
    const { clock, onEnd, waits } = this.#around;
    if (this.#attempt()) return;
    this.#syncIfDue(true);
    if (!waits || this.#syncing === 0) return onEnd("refused");
    let isOver = false;
    const askAgain = (): void => {
      if (isOver) return;
      isOver = true;
      if (!this.#attempt()) onEnd("refused");
    };
    this.#waiting.push(askAgain);
    clock.after(MAX_WAIT_MS, askAgain);
  }

  /** Makes the call, or sheds it; false: the breaker refuses. */
  #attempt(): boolean {
    const { clock, random, call, onEnd } = this.#around;
    const { breaker } = this;
    const share = rampShare(breaker, clock.now);
    const token = admitCall(breaker, clock.now, PROBE_LEASE_MS);
    if (token === NOT_ADMITTED) return false;
    if (share < 1 && nextRandom(random) >= share) {
      recordResult(breaker, token, Outcome.ignored, false, clock.now, 0);
      onEnd("shed");
      this.#syncIfDue();
      return true;
    }
    const isProbe = breaker.state.phase === "half-open";
    const answer = call(this, isProbe);
    if (isProbe) this.#syncIfDue();
    clock.after(answer.latencyMs, () => {
      this.#record(token, answer);
    });
    return true;
  }

  #record(token: number, answer: Answer): void {
    const { clock, random, onEnd } = this.#around;
    const { breaker } = this;
    const { slowCallMs } = breaker.options;
    const outcome = answer.isGood ? Outcome.ok : Outcome.failRemote;
    const isSlow = slowCallMs !== null && answer.latencyMs > slowCallMs;
    if (answer.retryAfterMs > 0) noteRetryAfter(breaker, clock.now + answer.retryAfterMs);
    const wasOpen = phaseAt(breaker, clock.now) === "open";
    recordResult(breaker, token, outcome, isSlow, clock.now, nextRandom(random));
    if (!wasOpen && phaseAt(breaker, clock.now) === "open") this.openings++;
    onEnd(answer.isGood ? "good" : "failed");
    this.#syncIfDue();
  }

  /** `isRefused`: a request has just been, so that a lease would be of use at once. */
  #syncIfDue(isRefused = false): void {
    const { clock, sync, waits } = this.#around;
    const { breaker } = this;
    const { regional } = breaker;
    if (this.#syncing !== 0 || regional === null) return;
    const isDue = clock.elapsedMs - this.#syncedAt >= SYNC_EVERY_MS;
    if (!isDue && !hasUrgentNews(regional)) return;
    const sequence = ++this.#syncs;
    this.#syncing = sequence;
    this.#syncedAt = clock.elapsedMs;
    const news = takeNews(breaker, clock.now);
    sync(
      { isolate: this.name, news, wantsLease: (isRefused || !waits) && wantsLease(regional, clock.now) },
      (verdict) => {
        if (this.#syncing !== sequence) return;
        followVerdict(breaker, verdict, clock.now);
        this.#endSync();
      },
    );
    clock.after(SYNC_TIMEOUT_MS, () => {
      if (this.#syncing === sequence) this.#endSync();
    });
  }

  #endSync(): void {
    this.#syncing = 0;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const askAgain of waiting) askAgain();
    const { regional } = this.breaker;
    if (regional !== null && hasUrgentNews(regional)) this.#syncIfDue();
  }
}
