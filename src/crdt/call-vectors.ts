// What a breaker counts, as regions exchange it: per time slot and writer (region and epoch) one vector of
// four numbers that only grow, written by that region's hub alone. Regions see each other's calls; whether a
// breaker opens stays each region's own decision.

import type { SlotId, WriterFilter } from "./slot-id.ts";
import type { TimedAddOutcome, TimedCells } from "./timed-cells.ts";
import {
  addToSpan,
  advanceHorizon,
  believedTimedCells,
  copyTimedCells,
  createTimedCells,
  horizonAt,
  mergeTimedCells,
  mergeTimedCellsInto,
  sameTimedCells,
  spanAt,
  sumSpan,
  timedCellsSince,
} from "./timed-cells.ts";

export interface CallCounts {
  readonly ok: number;
  readonly failRemote: number;
  readonly failLocal: number;
  /** Slow calls, counted besides their outcome. */
  readonly slow: number;
}

/** In the order of the columns. */
export const CALL_FIELDS = ["ok", "failRemote", "failLocal", "slow"] as const;

export interface CallVectors {
  readonly kind: "call-vectors";
  readonly timed: TimedCells;
}

export function createCallVectors(): CallVectors {
  return { kind: "call-vectors", timed: createTimedCells(CALL_FIELDS.length) };
}

/** Adds counts, not all zero, to the caller's own vector in the time slot that holds `at` (ms). */
export function addCalls(
  vectors: CallVectors,
  at: number,
  slotMs: number,
  slot: SlotId,
  counts: CallCounts,
  version: number,
): TimedAddOutcome {
  const by = CALL_FIELDS.map((field) => counts[field]);
  return addToSpan(vectors.timed, spanAt(at, slotMs), slot, by, version);
}

/** Sums over the last `slots` time slots up to `now`, over the writers that `keep` takes. */
export function sumCalls(
  vectors: CallVectors,
  now: number,
  slotMs: number,
  slots: number,
  keep?: WriterFilter,
): CallCounts {
  const last = spanAt(now, slotMs);
  const sums = [0, 0, 0, 0];
  for (let index = Math.max(0, last - slots + 1); index <= last; index++) {
    for (let column = 0; column < sums.length; column++) {
      sums[column] += sumSpan(vectors.timed, index, column, keep);
    }
  }
  return { ok: sums[0], failRemote: sums[1], failLocal: sums[2], slow: sums[3] };
}

/** Drops time slots older than the last `slots` ones. `graceMs` as for a sliding window. */
export function expireCalls(
  vectors: CallVectors,
  now: number,
  slotMs: number,
  slots: number,
  graceMs: number,
): void {
  advanceHorizon(vectors.timed, horizonAt(now, slotMs, slots, graceMs));
}

/** What our own clock believes of a received state; see `believedTimedCells`. */
export function believedCalls(vectors: CallVectors, now: number, slotMs: number, slots: number): CallVectors {
  return { kind: "call-vectors", timed: believedTimedCells(vectors.timed, now, slotMs, slots) };
}

export function copyCallVectors(vectors: CallVectors): CallVectors {
  return { kind: "call-vectors", timed: copyTimedCells(vectors.timed) };
}

/** New vectors; neither argument changes. */
export function mergeCallVectors(left: CallVectors, right: CallVectors): CallVectors {
  return { kind: "call-vectors", timed: mergeTimedCells(left.timed, right.timed) };
}

/** The same in place; returns how many vectors were raised. */
export function mergeCallVectorsInto(target: CallVectors, source: CallVectors, version: number): number {
  return mergeTimedCellsInto(target.timed, source.timed, version);
}

/** The horizon, and what was raised here after version `since`. */
export function callVectorsSince(vectors: CallVectors, since: number, keep?: WriterFilter): CallVectors {
  return { kind: "call-vectors", timed: timedCellsSince(vectors.timed, since, keep) };
}

export function sameCallVectors(left: CallVectors, right: CallVectors): boolean {
  return sameTimedCells(left.timed, right.timed);
}
