// An adaptive concurrency limit: additive increase, multiplicative decrease, over windows of at least
// 100 ms, ten samples, and what the upstream usually takes (at most 1 s).
//
//   refused (503)     with more in flight than was served lately: limit = in flight - 1, a ceiling that
//                     is tried again after 5 s, then 10 s ... 40 s while it is confirmed
//   pushed back       limit = 0.9 * in flight when a tenth of a window was refused or timed out, or half of
//                     it throttled (429); a single one with little in flight says nothing about capacity
//   congested         lower quartile > 2 * baseline + 25 ms twice in a row: limit = in flight * what
//                     is borne / what it takes, at least 2 * baseline * throughput; then a pause of 3 * it
//   in vain           draining to a share s of what was in flight (at most 3/4) has left 1 - 0.4 * (1 - s) of
//                     what it took, or 50 windows at 20 have not helped: limit = twice what was in flight
//   else              twice the limit until something was cut, then + 1 for 30 s, then + sqrt(limit); only
//                     while half of the limit is in use (app-limited guard)
//
// The baseline is the least of the last 30 to 60 s of smoothed lower quartiles: the least of noisy numbers
// would be too small. The first window counts with its slowest answer: only the fast ones are back. It
// starts at `max`, or at 128 if that is less: there may be other isolates. Where a hub should be and is
// not, it begins with 20, + 1. Under a region's hub `max` is the isolate's share: it may cut further
// between two verdicts.

import type { ConcurrencyLimit } from "./concurrency-limit.ts";
import { ISOLATE_START_LIMIT, SampleFate } from "./concurrency-limit.ts";
import { createLatencyRing, keepLatency, quantileOf } from "./latency-ring.ts";

export const WINDOW_MS = 100;
export const LONGEST_WINDOW_MS = 1000;
export const WINDOW_SAMPLES = 10;
/** Latency alone never cuts below this: it is too weak a sign. */
export const LATENCY_FLOOR = 20;
export const DROP_FLOOR = 4;
export const SHORTEST_HOLD_MS = 5_000;
export const LONGEST_HOLD_MS = 40_000;

const BACKOFF = 0.9;
const TOLERANCE = 2;
const SLACK_MS = 25;
const CONGESTED_WINDOWS = 2;
const SMOOTHING = 1 / 8;
/** Scattered calls take three times their lower quartile on average. */
const DRAINED_AFTER = 3;
const TRIED_SHARE = 0.25;
const HELP_EXPECTED = 0.4;
const WINDOWS_AT_FLOOR = 50;
const FLOOR_TRIED = 2;
const GENTLE_MS = 30_000;
const DROPPED_SHARE = 0.1;
const THROTTLED_SHARE = 0.5;
const BASELINE_MS = 30_000;

export class AimdLimit implements ConcurrencyLimit {
  current: number;
  readonly #configured: number;
  /** What is configured, or less while a region's hub says so. */
  #max: number;
  #exact: number;
  /** Nothing has been cut yet. */
  #isUntried = true;
  /** Infinite: no refusal has told. */
  #ceiling = Number.POSITIVE_INFINITY;
  #ceilingUntil = 0;
  #holdMs = SHORTEST_HOLD_MS;
  #gentleUntil = 0;
  /** The last refusal that told something, and the last one. */
  #lastRefusalAt = Number.NEGATIVE_INFINITY;
  #refusedAt = Number.NEGATIVE_INFINITY;
  #lastCutAt = Number.NEGATIVE_INFINITY;
  readonly #latencies = createLatencyRing();
  #served = 0;
  #inflightOfServed = 0;
  #refused = 0;
  #timedOut = 0;
  #throttled = 0;
  #peakInflight = 0;
  #inflightNow = 0;
  #peakServed = 0;
  #nextPeakServed = 0;
  #windowStartedAt = Number.NEGATIVE_INFINITY;
  /** By then most of what was in flight at the last cut has been answered. */
  #drainedUntil = 0;
  #congested = 0;
  #atFloor = 0;
  #smoothLatency = 0;
  #smoothInflight = 0;
  /** Before the drain: what was in flight, and how long it took. */
  #drainedFrom = 0;
  #latencyBefore = 0;
  #baseline = Number.POSITIVE_INFINITY;
  #nextBaseline = Number.POSITIVE_INFINITY;
  #baselineTurnsAt = 0;

  constructor(max: number) {
    this.#configured = max;
    this.#max = max;
    this.#exact = Math.min(max, ISOLATE_START_LIMIT);
    this.current = Math.floor(this.#exact);
  }

  get ceiling(): number {
    return Math.floor(Math.min(this.#ceiling, this.#configured));
  }

  observe(
    latencyMs: number,
    inflight: number,
    inflightNow: number,
    startedAt: number,
    fate: SampleFate,
    now: number,
  ): boolean {
    const tooMany = this.#note(latencyMs, inflight, startedAt, fate, now);
    this.#inflightNow = inflightNow;
    const samples = this.#served + this.#refused + this.#timedOut + this.#throttled;
    if (samples >= WINDOW_SAMPLES && now - this.#windowStartedAt >= this.#windowMs()) this.#endWindow(now);
    return tooMany;
  }

  #note(latencyMs: number, inflight: number, startedAt: number, fate: SampleFate, now: number): boolean {
    if (this.#windowStartedAt === Number.NEGATIVE_INFINITY) this.#windowStartedAt = startedAt;
    if (inflight > this.#peakInflight) this.#peakInflight = inflight;
    switch (fate) {
      case SampleFate.served:
        keepLatency(this.#latencies, this.#served++, latencyMs);
        this.#inflightOfServed += inflight;
        // Where some were refused meanwhile, it was not in flight with as many as were counted.
        if (startedAt > this.#refusedAt && inflight > this.#nextPeakServed) this.#nextPeakServed = inflight;
        return false;
      case SampleFate.throttled:
        this.#throttled++;
        return false;
      case SampleFate.refused: {
        this.#refusedAt = now;
        const tooMany = this.#refuse(inflight, startedAt, now);
        // One that told the limit where it is has been answered; it does not count twice.
        if (!tooMany) this.#refused++;
        return tooMany;
      }
      case SampleFate.timedOut:
        this.#timedOut++;
        return false;
    }
  }

  follow(limit: number | null, most: number = this.#configured): void {
    // Where it stood at its bound, or has cut nothing, it goes on there; else it keeps to its own.
    const wasBound = this.#exact >= this.#max - 1;
    this.#max = Math.min(limit ?? most, this.#configured);
    if (limit !== null && (wasBound || this.#isUntried)) this.#set(limit);
    else this.#set(this.#exact);
  }

  obey(limit: number): void {
    this.#max = Math.min(limit, this.#configured);
    this.#ceiling = Number.POSITIVE_INFINITY;
    this.#ceilingUntil = 0;
    this.#set(limit);
  }

  beCareful(most: number, now: number): void {
    this.#isUntried = false;
    this.#gentleUntil = now + GENTLE_MS;
    this.#set(Math.min(this.#exact, most));
  }

  forget(): void {
    this.#ceiling = Number.POSITIVE_INFINITY;
    this.#ceilingUntil = 0;
    this.#holdMs = SHORTEST_HOLD_MS;
    this.#set(this.#max);
  }

  /** True when the upstream refused because it had more than it takes, which is no failure. */
  #refuse(inflight: number, startedAt: number, now: number): boolean {
    // It was sent before the limit had learned from the refusal before it.
    if (startedAt <= this.#lastRefusalAt) return true;
    const aboveCeiling = inflight > this.#ceiling;
    const served = Math.max(this.#peakServed, this.#nextPeakServed);
    // Before anything was served a refusal is the first that is heard of what there is.
    const proven = served === 0 ? 1 : Math.max(served, DROP_FLOOR);
    if (inflight <= proven && !aboveCeiling) return false;
    const tooMany = aboveCeiling || this.#ceiling === Number.POSITIVE_INFINITY;
    const confirmed = aboveCeiling && now < this.#ceilingUntil + this.#holdMs;
    this.#holdMs = confirmed ? Math.min(LONGEST_HOLD_MS, this.#holdMs * 2) : SHORTEST_HOLD_MS;
    this.#ceiling = Math.min(this.#exact, inflight - 1);
    this.#ceilingUntil = now + this.#holdMs;
    this.#gentleUntil = now + GENTLE_MS;
    this.#lastRefusalAt = now;
    this.#cutTo(this.#ceiling, now);
    return tooMany;
  }

  #backOff(now: number): void {
    const from = Math.min(this.#exact, Math.max(this.#inflightNow, DROP_FLOOR));
    this.#cutTo(Math.max(Math.min(DROP_FLOOR, this.#exact), from * BACKOFF), now);
  }

  #endWindow(now: number): void {
    const samples = this.#served + this.#refused + this.#timedOut + this.#throttled;
    const dropped = this.#refused + this.#timedOut;
    const pushedBack = dropped >= DROPPED_SHARE * samples || this.#throttled >= THROTTLED_SHARE * samples;
    const latency = this.#served > 0 ? quantileOf(this.#latencies, this.#served, 0.25) : 0;
    if (this.#served > 0) this.#learn(latency, now);
    const slow = this.#served > 0 && latency > TOLERANCE * this.#baseline + SLACK_MS;
    this.#congested = slow ? this.#congested + 1 : 0;
    if (pushedBack && now > this.#lastCutAt + WINDOW_MS) this.#backOff(now);
    else if (this.#congested >= CONGESTED_WINDOWS) this.#drain(latency, now);
    else if (!slow && !pushedBack) this.#grow(now);
    this.#served = 0;
    this.#inflightOfServed = 0;
    this.#refused = 0;
    this.#timedOut = 0;
    this.#throttled = 0;
    this.#peakInflight = 0;
    this.#windowStartedAt = now;
  }

  #drain(latency: number, now: number): void {
    if (now >= this.#gentleUntil || this.#smoothInflight > this.#drainedFrom) {
      this.#drainedFrom = this.#smoothInflight;
      this.#latencyBefore = this.#smoothLatency;
    }
    const floor = Math.min(LATENCY_FLOOR, this.#exact);
    // While what was begun before still drains, and P0 with it, the floor has not been tried.
    const isTried = this.#exact <= LATENCY_FLOOR && this.#inflightNow <= FLOOR_TRIED * LATENCY_FLOOR;
    this.#atFloor = isTried ? this.#atFloor + 1 : 0;
    if (this.#isInVain()) {
      this.#endDrainInVain(now);
      return;
    }
    // What is in flight has stood in the queue of before the cut: that it is slow is no news.
    if (now < this.#drainedUntil) return;
    const servedPerMs = this.#served / (now - this.#windowStartedAt);
    const needed = Math.max(floor, TOLERANCE * this.#baseline * servedPerMs);
    this.#gentleUntil = now + GENTLE_MS;
    const from = Math.min(this.#exact, Math.max(this.#inflightNow, floor));
    const bearable = (from * (TOLERANCE * this.#baseline + SLACK_MS)) / latency;
    this.#cutTo(Math.min(from, Math.max(needed, bearable)), now);
    this.#drainedUntil = now + DRAINED_AFTER * latency;
  }

  #isInVain(): boolean {
    if (this.#atFloor >= WINDOWS_AT_FLOOR) return true;
    const share = this.#smoothInflight / this.#drainedFrom;
    if (share > 1 - TRIED_SHARE) return false;
    return this.#smoothLatency > (1 - HELP_EXPECTED * (1 - share)) * this.#latencyBefore;
  }

  #endDrainInVain(now: number): void {
    this.#baseline = this.#smoothLatency;
    this.#nextBaseline = this.#smoothLatency;
    this.#atFloor = 0;
    this.#gentleUntil = now;
    this.#set(Math.max(this.#exact, Math.min(2 * this.#drainedFrom, this.#ceiling)));
  }

  #grow(now: number): void {
    if (this.#peakInflight < this.#exact / 2) return;
    const step = now < this.#gentleUntil ? 1 : this.#isUntried ? this.#exact : Math.sqrt(this.#exact);
    const ceiling = now < this.#ceilingUntil ? Math.min(this.#ceiling, this.#max) : this.#max;
    if (this.#exact < ceiling) this.#set(Math.min(ceiling, this.#exact + step));
  }

  #learn(latency: number, now: number): void {
    const inflight = this.#inflightOfServed / this.#served;
    if (this.#smoothLatency === 0) {
      this.#smoothLatency = quantileOf(this.#latencies, this.#served, 1);
      this.#smoothInflight = inflight;
    }
    this.#smoothLatency += SMOOTHING * (latency - this.#smoothLatency);
    this.#smoothInflight += SMOOTHING * (inflight - this.#smoothInflight);
    if (now >= this.#baselineTurnsAt) {
      this.#baseline = this.#nextBaseline;
      this.#nextBaseline = Number.POSITIVE_INFINITY;
      this.#peakServed = this.#nextPeakServed;
      this.#nextPeakServed = 0;
      this.#baselineTurnsAt = now + BASELINE_MS;
    }
    this.#baseline = Math.min(this.#baseline, this.#smoothLatency);
    this.#nextBaseline = Math.min(this.#nextBaseline, this.#smoothLatency);
  }

  /** As long as the upstream takes, so that a window has seen what it causes. */
  #windowMs(): number {
    if (this.#baseline === Number.POSITIVE_INFINITY) return WINDOW_MS;
    return Math.min(LONGEST_WINDOW_MS, Math.max(WINDOW_MS, this.#baseline));
  }

  #cutTo(limit: number, now: number): void {
    this.#isUntried = false;
    this.#lastCutAt = now;
    this.#set(limit);
  }

  #set(limit: number): void {
    this.#exact = Math.min(this.#max, Math.max(1, limit));
    this.current = Math.floor(this.#exact);
  }
}
