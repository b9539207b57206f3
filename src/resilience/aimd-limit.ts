// An adaptive concurrency limit: additive increase, multiplicative decrease, over windows of at least
// 100 ms and ten samples.
//
//   refused (503)     with more in flight than was served lately: limit = in flight - 1, a ceiling that
//                     is tried again after 5 s, then 10 s ... 40 s while it is confirmed
//   pushed back       limit = 0.9 * in flight when a tenth of a window was refused or timed out, or half of
//                     it throttled (429); a single one with little in flight says nothing about capacity
//   congested         lower-quartile latency > 2 * baseline + 10 ms in two windows in a row:
//                     limit = in flight, then less by a fifth of what the window served, so that four
//                     fifths of the permits that come back stay for those who wait
//   else              limit + sqrt(limit) until congestion was seen, + 1 for 30 s after it;
//                     only while at least half of the limit is in use (app-limited guard)
//
// The baseline is the least lower-quartile latency of the last 30 to 60 s. When the limit has stood at
// its floor and latency stays high, our own concurrency is not the cause and the baseline starts anew.
// It starts at `max`: nothing is refused without evidence.

import type { ConcurrencyLimit } from "./concurrency-limit.ts";
import { SampleFate } from "./concurrency-limit.ts";

export const WINDOW_MS = 100;
export const WINDOW_SAMPLES = 10;
/** Latency alone never cuts below this: it is too weak a sign. */
export const LATENCY_FLOOR = 20;
export const DROP_FLOOR = 4;
export const SHORTEST_HOLD_MS = 5_000;
export const LONGEST_HOLD_MS = 40_000;

const BACKOFF = 0.9;
const TOLERANCE = 2;
const SLACK_MS = 10;
const DRAINED_SHARE = 0.2;
const CONGESTED_WINDOWS = 2;
const WINDOWS_AT_FLOOR = 50;
const GENTLE_MS = 30_000;
const DROPPED_SHARE = 0.1;
const THROTTLED_SHARE = 0.5;
const BASELINE_MS = 30_000;
const KEPT_LATENCIES = 64;

export class AimdLimit implements ConcurrencyLimit {
  current: number;
  readonly #max: number;
  #exact: number;
  #ceiling: number;
  #ceilingUntil = 0;
  #holdMs = SHORTEST_HOLD_MS;
  #gentleUntil = 0;
  #lastCutAt = Number.NEGATIVE_INFINITY;
  readonly #latencies = new Float64Array(KEPT_LATENCIES);
  #served = 0;
  #refused = 0;
  #timedOut = 0;
  #throttled = 0;
  #peakInflight = 0;
  #inflightNow = 0;
  #peakServed = 0;
  #nextPeakServed = 0;
  #windowStartedAt = Number.NEGATIVE_INFINITY;
  #congested = 0;
  #atFloor = 0;
  #baseline = Number.POSITIVE_INFINITY;
  #nextBaseline = Number.POSITIVE_INFINITY;
  #baselineTurnsAt = 0;

  constructor(max: number) {
    this.#max = max;
    this.#exact = max;
    this.#ceiling = max;
    this.current = max;
  }

  observe(
    latencyMs: number,
    inflight: number,
    inflightNow: number,
    startedAt: number,
    fate: SampleFate,
    now: number,
  ): void {
    if (this.#windowStartedAt === Number.NEGATIVE_INFINITY) this.#windowStartedAt = now;
    if (inflight > this.#peakInflight) this.#peakInflight = inflight;
    this.#inflightNow = inflightNow;
    switch (fate) {
      case SampleFate.served:
        this.#latencies[this.#served++ % KEPT_LATENCIES] = latencyMs;
        if (inflight > this.#nextPeakServed) this.#nextPeakServed = inflight;
        break;
      case SampleFate.throttled:
        this.#throttled++;
        break;
      case SampleFate.refused:
        this.#refused++;
        this.#refuse(inflight, startedAt, now);
        break;
      case SampleFate.timedOut:
        this.#timedOut++;
        break;
    }
    const samples = this.#served + this.#refused + this.#timedOut + this.#throttled;
    if (samples >= WINDOW_SAMPLES && now - this.#windowStartedAt >= WINDOW_MS) this.#endWindow(now);
  }

  forget(): void {
    this.#ceilingUntil = 0;
    this.#holdMs = SHORTEST_HOLD_MS;
    this.#set(this.#max);
  }

  /** The upstream refused with more in flight than it served lately: one fewer is what it takes. */
  #refuse(inflight: number, startedAt: number, now: number): void {
    const proven = Math.max(this.#peakServed, this.#nextPeakServed, DROP_FLOOR);
    if (startedAt < this.#lastCutAt || (inflight <= proven && inflight <= this.#ceiling)) return;
    const confirmed = inflight > this.#ceiling && now < this.#ceilingUntil + this.#holdMs;
    this.#holdMs = confirmed ? Math.min(LONGEST_HOLD_MS, this.#holdMs * 2) : SHORTEST_HOLD_MS;
    this.#ceiling = Math.min(this.#exact, inflight) - 1;
    this.#ceilingUntil = now + this.#holdMs;
    this.#gentleUntil = now + GENTLE_MS;
    this.#cutTo(this.#ceiling, now);
  }

  #backOff(now: number): void {
    const from = Math.min(this.#exact, Math.max(this.#inflightNow, DROP_FLOOR));
    this.#cutTo(Math.max(Math.min(DROP_FLOOR, this.#exact), from * BACKOFF), now);
  }

  #endWindow(now: number): void {
    const samples = this.#served + this.#refused + this.#timedOut + this.#throttled;
    const dropped = this.#refused + this.#timedOut;
    const pushedBack = dropped >= DROPPED_SHARE * samples || this.#throttled >= THROTTLED_SHARE * samples;
    const latency = this.#served > 0 ? this.#lowerQuartile() : 0;
    if (this.#served > 0) this.#learnBaseline(latency, now);
    const slow = this.#served > 0 && latency > TOLERANCE * this.#baseline + SLACK_MS;
    this.#congested = slow ? this.#congested + 1 : 0;
    if (pushedBack && now > this.#lastCutAt + WINDOW_MS) this.#backOff(now);
    else if (this.#congested >= CONGESTED_WINDOWS) this.#drain(latency, now);
    else if (!slow && !pushedBack) this.#grow(now);
    this.#served = 0;
    this.#refused = 0;
    this.#timedOut = 0;
    this.#throttled = 0;
    this.#peakInflight = 0;
    this.#windowStartedAt = now;
  }

  #drain(latency: number, now: number): void {
    const floor = Math.min(LATENCY_FLOOR, this.#exact);
    const from = Math.min(this.#exact, Math.max(this.#inflightNow, floor));
    const step = Math.max(1, this.#served * DRAINED_SHARE);
    this.#gentleUntil = now + GENTLE_MS;
    this.#cutTo(Math.max(floor, from - step), now);
    this.#atFloor = this.#exact <= LATENCY_FLOOR ? this.#atFloor + 1 : 0;
    if (this.#atFloor < WINDOWS_AT_FLOOR) return;
    this.#atFloor = 0;
    this.#baseline = latency;
    this.#nextBaseline = latency;
  }

  #grow(now: number): void {
    if (this.#peakInflight < this.#exact / 2) return;
    const step = now < this.#gentleUntil ? 1 : Math.sqrt(this.#exact);
    const ceiling = now < this.#ceilingUntil ? this.#ceiling : this.#max;
    if (this.#exact < ceiling) this.#set(Math.min(ceiling, this.#exact + step));
  }

  #learnBaseline(latency: number, now: number): void {
    if (now >= this.#baselineTurnsAt) {
      this.#baseline = this.#nextBaseline;
      this.#nextBaseline = Number.POSITIVE_INFINITY;
      this.#peakServed = this.#nextPeakServed;
      this.#nextPeakServed = 0;
      this.#baselineTurnsAt = now + BASELINE_MS;
    }
    this.#baseline = Math.min(this.#baseline, latency);
    this.#nextBaseline = Math.min(this.#nextBaseline, latency);
  }

  #lowerQuartile(): number {
    const kept = this.#latencies.subarray(0, Math.min(this.#served, KEPT_LATENCIES)).toSorted();
    return kept[Math.floor(kept.length / 4)];
  }

  #cutTo(limit: number, now: number): void {
    this.#lastCutAt = now;
    this.#set(limit);
  }

  #set(limit: number): void {
    this.#exact = Math.min(this.#max, Math.max(1, limit));
    this.current = Math.floor(this.#exact);
  }
}
