// A refusal, a 503, of one call while others go well: the upstream has more than it takes at a time. That
// is the limit's business and the cursor's, not the breaker's; one that answers nothing else is down.
//
// The permit of such a call does not go to the next in line at once. A place that is taken refuses in a
// millisecond or two, so one permit too many would burn the whole line, one request after the other:
//
//   it rests for as long as the upstream usually takes, 10 ms to 1 s     when another place may be free
//
// unless the limit was cut for it, or the call had gone beyond the limit: then there is nothing to rest.

import type { ConcurrencyLimit } from "./concurrency-limit.ts";
import { SampleFate } from "./concurrency-limit.ts";
import type { RegionalLoad } from "./regional-load.ts";

/** So long after a call went well a 503 may be one of too many. */
const CROWDED_OUT_MS = 500;
const SHORTEST_REST_MS = 10;
const LONGEST_REST_MS = 1000;

interface Refusable {
  readonly fate: SampleFate | null;
  readonly inflight: number;
}

/** Whether it was one of several at a time; where the region knows a bound, the others may be elsewhere. */
export function isCrowdedOut(
  { fate, inflight }: Refusable,
  { isFull }: RegionalLoad,
  servedAt: number,
  now: number,
): boolean {
  return fate === SampleFate.refused && (inflight > 1 || isFull) && now - servedAt < CROWDED_OUT_MS;
}

/**
 * Whether it was refused beyond a limit that is known to be all there is: somebody important who had waited
 * in vain. It says nothing about the limit.
 */
export function isBeyondLimit(
  { fate, inflight }: Refusable,
  { isFull }: RegionalLoad,
  limit: ConcurrencyLimit,
): boolean {
  return isFull && fate === SampleFate.refused && inflight > limit.current;
}

/** Until when the permit of a call that was crowded out rests. */
export function restsUntil(medianMs: number, now: number): number {
  return now + Math.min(LONGEST_REST_MS, Math.max(SHORTEST_REST_MS, medianMs));
}
