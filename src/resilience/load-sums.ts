// What an isolate has seen of an upstream's load since it last told somebody: sums that several isolates can
// add up. Besides the tally of the shedding loop it keeps what a concurrency limit learns from: how long
// served calls took, what became of the others, how many were in flight on average.
//
//   mean in flight = sum of the times that calls took / time that passed          (Little's law)

import { SampleFate } from "./concurrency-limit.ts";
import type { ShedTally } from "./cursor.ts";
import { emptyTally } from "./cursor.ts";
import { LATENCY_BUCKETS, bucketOf } from "./latency.ts";
import { LEVEL_COUNT } from "./level.ts";

export interface LoadSums {
  /** When what is summed up began; infinitely long ago: nothing has been seen yet. */
  since: number;
  /** Served calls by the bucket of their latency. */
  readonly served: Uint32Array;
  refused: number;
  throttled: number;
  timedOut: number;
  /** Time that finished calls took, all together. */
  busyMs: number;
  /** Least in flight here when a call was refused; 0: none was. */
  refusedInflight: number;
  originals: number;
  retries: number;
}

/** The same as a report carries it: lists hold pairs of index and count, for those above zero. */
export interface LoadNews {
  readonly spanMs: number;
  readonly arrivals: readonly number[];
  readonly settled: number;
  readonly ok: number;
  readonly signals: number;
  readonly lineBusyMs: number;
  readonly served: readonly number[];
  readonly refused: number;
  readonly throttled: number;
  readonly timedOut: number;
  readonly busyMs: number;
  readonly refusedInflight: number;
  readonly originals: number;
  readonly retries: number;
}

export function createLoadSums(): LoadSums {
  return {
    since: Number.NEGATIVE_INFINITY,
    served: new Uint32Array(LATENCY_BUCKETS),
    refused: 0,
    throttled: 0,
    timedOut: 0,
    busyMs: 0,
    refusedInflight: 0,
    originals: 0,
    retries: 0,
  };
}

/** A request goes on to be tried. The first one ever begins the time that the sums are of. */
export function noteOriginalLoad(sums: LoadSums, now: number): void {
  if (sums.since === Number.NEGATIVE_INFINITY) sums.since = now;
  sums.originals++;
}

/** A try has finished that says something about capacity. Allocates nothing. */
export function noteSample(sums: LoadSums, latencyMs: number, inflight: number, fate: SampleFate): void {
  sums.busyMs += latencyMs;
  switch (fate) {
    case SampleFate.served:
      sums.served[bucketOf(latencyMs)]++;
      return;
    case SampleFate.refused:
      sums.refused++;
      if (sums.refusedInflight === 0 || inflight < sums.refusedInflight) sums.refusedInflight = inflight;
      return;
    case SampleFate.throttled:
      sums.throttled++;
      return;
    case SampleFate.timedOut:
      sums.timedOut++;
  }
}

/** Takes everything, with the tally, and begins anew; null when nothing has been seen. */
export function takeLoadNews(sums: LoadSums, tally: ShedTally, now: number): LoadNews | null {
  const spanMs = Number.isFinite(sums.since) ? Math.max(1, now - sums.since) : 1;
  const arrivals = pairsOf(tally.arrivals, LEVEL_COUNT);
  const served = pairsOf(sums.served, LATENCY_BUCKETS);
  const { refused, throttled, timedOut, refusedInflight, originals, retries } = sums;
  const { settled, ok, signals } = tally;
  const lineBusyMs = Math.round(tally.lineBusyMs);
  const busyMs = Math.round(sums.busyMs);
  emptyTally(tally);
  emptySums(sums, now);
  const seen = arrivals.length + served.length + settled + refused + throttled + timedOut + retries;
  if (seen === 0) return null;
  const fates = { served, refused, throttled, timedOut, busyMs, refusedInflight };
  return { spanMs, arrivals, settled, ok, signals, lineBusyMs, ...fates, originals, retries };
}

function emptySums(sums: LoadSums, now: number): void {
  sums.since = now;
  sums.served.fill(0);
  sums.refused = 0;
  sums.throttled = 0;
  sums.timedOut = 0;
  sums.busyMs = 0;
  sums.refusedInflight = 0;
  sums.originals = 0;
  sums.retries = 0;
}

function pairsOf(counts: Uint32Array, length: number): number[] {
  const pairs: number[] = [];
  for (let index = 0; index < length; index++) if (counts[index] > 0) pairs.push(index, counts[index]);
  return pairs;
}
