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
//   rising            at first, while each window serves 1.25 times what the one before it did: twice as much
//   else              + sqrt(limit), for 30 s after a cut + 1; as above only while half of it is in use
//                     (app-limited guard)
//
// The baseline is what the upstream usually takes: usual-latency.ts. It starts at `max`, or at 64 if that is
// less: there may be other isolates. Where a hub should be and is not, it begins with 20, + 1. Under a
// region's hub `max` is the isolate's share: it may cut further between two verdicts.

import type { ConcurrencyLimit } from "./concurrency-limit.ts";
import { ISOLATE_START_LIMIT, SampleFate } from "./concurrency-limit.ts";
import {
  beginWindow,
  clearWindow,
  createSampleWindow,
  latencyOf,
  noteServed,
  samplesIn,
  servedPerMs,
} from "./sample-window.ts";
import { createUsualLatency, learnUsual, takeAsUsual } from "./usual-latency.ts";

export const WINDOW_MS = 100;
export const LONGEST_WINDOW_MS = 1000;
export const WINDOW_SAMPLES = 10;
/** Latency alone never cuts below this: it is too weak a sign. */
export const LATENCY_FLOOR = 20;
export const DROP_FLOOR = 4;
export const SHORTEST_HOLD_MS = 5_000;
export const LONGEST_HOLD_MS = 40_000;

const BACKOFF = 0.9;
const RISING = 1.25;
const TOLERANCE = 2;
const SLACK_MS = 25;
const CONGESTED_WINDOWS = 2;
/** Scattered calls take three times their lower quartile on average. */
const DRAINED_AFTER = 3;
const TRIED_SHARE = 0.25;
const HELP_EXPECTED = 0.4;
const WINDOWS_AT_FLOOR = 50;
const FLOOR_TRIED = 2;
const GENTLE_MS = 30_000;
const DROPPED_SHARE = 0.1;
const THROTTLED_SHARE = 0.5;

export class AimdLimit implements ConcurrencyLimit {
  current: number;
  readonly #configured: number;
  /** What is configured, or less while a region's hub says so. */
  #max: number;
  #exact: number;
  /** Nothing has been cut yet, and what was let in so far has brought more. */
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
  readonly #window = createSampleWindow();
  /** What the window before this one served. */
  #servedPerMsBefore = 0;
  #inflightNow = 0;
  #peakServed = 0;
  #nextPeakServed = 0;
  /** By then most of what was in flight at the last cut has been answered. */
  #drainedUntil = 0;
  #congested = 0;
  #atFloor = 0;
  readonly #usual = createUsualLatency();
  /** Before the drain: what was in flight, and how long it took. */
  #drainedFrom = 0;
  #latencyBefore = 0;

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
    const isLong = now - this.#window.startedAt >= this.#windowMs();
    if (isLong && samplesIn(this.#window) >= WINDOW_SAMPLES) this.#endWindow(now);
    return tooMany;
  }

  #note(latencyMs: number, inflight: number, startedAt: number, fate: SampleFate, now: number): boolean {
    beginWindow(this.#window, startedAt, inflight);
    switch (fate) {
      case SampleFate.served:
        noteServed(this.#window, latencyMs, inflight);
        // Where some were refused meanwhile, it was not in flight with as many as were counted.
        if (startedAt > this.#refusedAt && inflight > this.#nextPeakServed) this.#nextPeakServed = inflight;
        return false;
      case SampleFate.throttled:
        this.#window.throttled++;
        return false;
      case SampleFate.refused: {
        this.#refusedAt = now;
        const tooMany = this.#refuse(inflight, startedAt, now);
        // One that told the limit where it is has been answered; it does not count twice.
        if (!tooMany) this.#window.refused++;
        return tooMany;
      }
      case SampleFate.timedOut:
        this.#window.timedOut++;
        return false;
    }
  }

  follow(limit: number | null, most: number = this.#configured): void {
    // Where it stood at its bound it goes on there; else it keeps to its own.
    const wasBound = this.#exact >= this.#max - 1;
    this.#max = Math.min(limit ?? most, this.#configured);
    if (limit !== null && wasBound) this.#set(limit);
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
    const { served, refused } = this.#window;
    if (refused === 0 || served < DROPPED_SHARE * samplesIn(this.#window)) return;
    // Some of what seemed to be served at once had been answered already, and was only on its way.
    this.#peakServed = Math.min(this.#peakServed, this.#exact);
    this.#nextPeakServed = Math.min(this.#nextPeakServed, this.#exact);
  }

  #endWindow(now: number): void {
    const { served, refused, timedOut, throttled } = this.#window;
    const samples = samplesIn(this.#window);
    const pushedBack =
      refused + timedOut >= DROPPED_SHARE * samples || throttled >= THROTTLED_SHARE * samples;
    const latency = latencyOf(this.#window, 0.25);
    if (served > 0) this.#learn(latency, now);
    const slow = served > 0 && latency > TOLERANCE * this.#usual.baselineMs + SLACK_MS;
    this.#congested = slow ? this.#congested + 1 : 0;
    if (pushedBack && now > this.#lastCutAt + WINDOW_MS) this.#backOff(now);
    else if (this.#congested >= CONGESTED_WINDOWS) this.#drain(latency, now);
    else if (!slow && !pushedBack) this.#grow(now);
    this.#servedPerMsBefore = servedPerMs(this.#window, now);
    clearWindow(this.#window, now);
  }

  #drain(latency: number, now: number): void {
    if (now >= this.#gentleUntil || this.#usual.smoothInflight > this.#drainedFrom) {
      this.#drainedFrom = this.#usual.smoothInflight;
      this.#latencyBefore = this.#usual.smoothMs;
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
    const needed = Math.max(floor, TOLERANCE * this.#usual.baselineMs * servedPerMs(this.#window, now));
    this.#gentleUntil = now + GENTLE_MS;
    const from = Math.min(this.#exact, Math.max(this.#inflightNow, floor));
    const bearable = (from * (TOLERANCE * this.#usual.baselineMs + SLACK_MS)) / latency;
    this.#cutTo(Math.min(from, Math.max(needed, bearable)), now);
    this.#drainedUntil = now + DRAINED_AFTER * latency;
  }

  #isInVain(): boolean {
    if (this.#atFloor >= WINDOWS_AT_FLOOR) return true;
    const share = this.#usual.smoothInflight / this.#drainedFrom;
    if (share > 1 - TRIED_SHARE) return false;
    return this.#usual.smoothMs > (1 - HELP_EXPECTED * (1 - share)) * this.#latencyBefore;
  }

  #endDrainInVain(now: number): void {
    takeAsUsual(this.#usual);
    this.#atFloor = 0;
    this.#gentleUntil = now;
    this.#set(Math.max(this.#exact, Math.min(2 * this.#drainedFrom, this.#ceiling)));
  }

  #grow(now: number): void {
    if (this.#window.peakInflight < this.#exact / 2) return;
    let step = now < this.#gentleUntil ? 1 : Math.sqrt(this.#exact);
    if (this.#isUntried) step = this.#startStep(now);
    const ceiling = now < this.#ceilingUntil ? Math.min(this.#ceiling, this.#max) : this.#max;
    if (this.#exact < ceiling) this.#set(Math.min(ceiling, this.#exact + step));
  }

  /** What has been let in and not answered yet tells nothing: more only where more has been served. */
  #startStep(now: number): number {
    const before = this.#servedPerMsBefore;
    if (before === 0) return 0;
    this.#isUntried = servedPerMs(this.#window, now) >= RISING * before;
    return this.#isUntried ? this.#exact : 0;
  }

  #learn(latency: number, now: number): void {
    if (!learnUsual(this.#usual, this.#window, latency, now)) return;
    this.#peakServed = this.#nextPeakServed;
    this.#nextPeakServed = 0;
  }

  /** As long as the upstream takes, so that a window has seen what it causes. */
  #windowMs(): number {
    if (this.#usual.baselineMs === Number.POSITIVE_INFINITY) return WINDOW_MS;
    return Math.min(LONGEST_WINDOW_MS, Math.max(WINDOW_MS, this.#usual.baselineMs));
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
