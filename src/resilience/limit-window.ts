// What a region's concurrency limit looks at: calls that ended within a window, by what became of them, and
// how long the served ones took. Reports of isolates are added up as they come.

import { BUCKETS_PER_DOUBLING, LATENCY_BUCKETS, middleOf } from "./latency.ts";
import type { LoadNews } from "./load-sums.ts";

export interface LimitWindow {
  startedAt: number;
  /** Served calls by the bucket of their latency. */
  readonly served: Float64Array;
  servedCount: number;
  refused: number;
  throttled: number;
  timedOut: number;
  /** Requests that did not end well, whatever the reason. */
  turnedAway: number;
  /** Signs of overload: above all, requests that found no permit. */
  signals: number;
}

export function createLimitWindow(): LimitWindow {
  return {
    startedAt: Number.NEGATIVE_INFINITY,
    served: new Float64Array(LATENCY_BUCKETS),
    servedCount: 0,
    refused: 0,
    throttled: 0,
    timedOut: 0,
    turnedAway: 0,
    signals: 0,
  };
}

/** Adds a report. */
export function fillWindow(window: LimitWindow, news: LoadNews, now: number): void {
  if (window.startedAt === Number.NEGATIVE_INFINITY) window.startedAt = now - news.spanMs;
  for (let at = 0; at < news.served.length; at += 2) {
    window.served[news.served[at]] += news.served[at + 1];
    window.servedCount += news.served[at + 1];
  }
  window.refused += news.refused;
  window.throttled += news.throttled;
  window.timedOut += news.timedOut;
  window.turnedAway += Math.max(0, news.settled - news.ok);
  window.signals += news.signals;
}

export function emptyWindow(window: LimitWindow, now: number): void {
  window.startedAt = now;
  window.served.fill(0);
  window.servedCount = 0;
  window.refused = 0;
  window.throttled = 0;
  window.timedOut = 0;
  window.turnedAway = 0;
  window.signals = 0;
}

export function callsIn({ servedCount, refused, throttled, timedOut }: LimitWindow): number {
  return servedCount + refused + throttled + timedOut;
}

/**
 * The latency in ms below which `quantile` of the served calls are; 0: none were. Between the bounds of its
 * bucket by where it stands: whole buckets of 9 % would be coarser than what is looked for.
 */
export function tailOf({ served, servedCount }: LimitWindow, quantile: number): number {
  let rest = servedCount * quantile;
  if (rest <= 0) return 0;
  for (let bucket = 0; bucket < LATENCY_BUCKETS; bucket++) {
    const here = served[bucket];
    if (here >= rest) {
      const least = middleOf(bucket) / HALF_BUCKET;
      return least * HALF_BUCKET ** (2 * (rest / here));
    }
    rest -= here;
  }
  return middleOf(LATENCY_BUCKETS - 1);
}

/** From the middle of a bucket to its bound. */
const HALF_BUCKET = 2 ** (0.5 / BUCKETS_PER_DOUBLING);
