// A refusal, a 503, of one call while others go well: the upstream has more than it takes at a time. That
// is the limit's business and the cursor's, not the breaker's; one that answers nothing else is down.
//
// The permit of such a call does not go to the next in line at once. A place that is taken refuses in a
// millisecond or two, so one permit too many would burn the whole line, one request after the other:
//
//   it rests for as long as the upstream usually takes, 10 ms to 1 s
//
// where the region knows what there is: an isolate that is alone cuts its own limit instead, and counts
// what is in flight. Nothing rests of a call beyond the limit.

import { SampleFate } from "./concurrency-limit.ts";
import type { RegionalLoad } from "./regional-load.ts";

/** So long after a call went well a 503 may be one of too many. */
const CROWDED_OUT_MS = 500;
/** Nothing has gone well yet: so long after the first call. */
const BEGINNING_MS = 200;
const SHORTEST_REST_MS = 10;
const LONGEST_REST_MS = 1000;
/** While it is not known what the upstream takes. */
const FIRST_REST_MS = 100;

interface Refusable {
  readonly fate: SampleFate | null;
  readonly inflight: number;
}

/**
 * Whether it was one of several at a time; where the region knows a bound, or other isolates call it, too,
 * the others may be elsewhere. At the very beginning none of them can have gone well yet, and refusals are
 * the first that come back: so long, they are no reason to take the upstream for dead. A call that is alone
 * and refused is a failure.
 */
export function isCrowdedOut(
  { fate, inflight }: Refusable,
  { isFull, isShared }: RegionalLoad,
  { servedAt, begunAt }: { readonly servedAt: number; readonly begunAt: number },
  now: number,
): boolean {
  if (fate !== SampleFate.refused) return false;
  const mayBeOneOfMany = inflight > 1 || isFull || isShared;
  if (!mayBeOneOfMany) return false;
  if (servedAt === Number.NEGATIVE_INFINITY) return now - begunAt < BEGINNING_MS;
  return now - servedAt < CROWDED_OUT_MS;
}

/**
 * Whether it was refused beyond what is known to be all there is: somebody important who had waited in
 * vain. It says nothing about the limit.
 */
export function isBeyondLimit({ fate, inflight }: Refusable, limit: number, ceiling: number): boolean {
  return fate === SampleFate.refused && inflight > Math.max(limit, ceiling);
}

/** Until when the permit of a call that was crowded out rests. */
export function restsUntil(medianMs: number, now: number): number {
  if (medianMs === 0) return now + FIRST_REST_MS;
  return now + Math.min(LONGEST_REST_MS, Math.max(SHORTEST_REST_MS, medianMs));
}
