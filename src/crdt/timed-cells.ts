// Cells by time: span `i` covers [i * spanMs, (i + 1) * spanMs). A horizon replaces deletion: spans below it
// are over, are dropped, and a late message cannot bring them back.
//
//   (h1, c1) <= (h2, c2)  iff  h1 <= h2 and c1[i] <= c2[i] for all i >= h2
//   merge: h = max(h1, h2), cells merged pointwise, spans below h dropped
//   the horizon a clock allows:  floor((now - graceMs) / spanMs) - kept
//
// A horizon travels with every delta and is no news by itself: each replica's own clock moves it too.

import type { AddOutcome, Cells } from "./cells.ts";
import {
  addToRow,
  areAmounts,
  cellsSince,
  copyCells,
  createCells,
  mergeCellsInto,
  sameCells,
  sumCells,
} from "./cells.ts";
import type { SlotId, WriterFilter } from "./slot-id.ts";

/** A clock ahead of ours may already write into the next span, or into those that begin within this time. */
export const AHEAD_MS = 2_000;

export interface Span {
  readonly index: number;
  readonly cells: Cells;
}

export interface TimedCells {
  readonly width: number;
  horizon: number;
  /** Sorted by index, none below the horizon. */
  spans: Span[];
  version: number;
}

export type TimedAddOutcome = AddOutcome | "expired";

export function createTimedCells(width: number): TimedCells {
  return { width, horizon: 0, spans: [], version: 0 };
}

export function copyTimedCells(timed: TimedCells): TimedCells {
  const spans = timed.spans.map((span) => ({ index: span.index, cells: copyCells(span.cells) }));
  return { width: timed.width, horizon: timed.horizon, spans, version: timed.version };
}

/** The index of the span that holds `now`. */
export function spanAt(now: number, spanMs: number): number {
  return Math.max(0, Math.floor(now / spanMs));
}

/** The horizon that `now` allows when `kept` whole spans before the current one are still of use. */
export function horizonAt(now: number, spanMs: number, kept: number, graceMs: number): number {
  return Math.max(0, spanAt(now - graceMs, spanMs) - kept);
}

/** Moves the horizon forward, never back, and drops what it passes. */
export function advanceHorizon(timed: TimedCells, horizon: number): void {
  if (horizon <= timed.horizon) return;
  timed.horizon = horizon;
  if (timed.spans.length > 0 && timed.spans[0].index < horizon) {
    timed.spans = timed.spans.filter((span) => span.index >= horizon);
  }
}

/** Adds to the writer's own row in a span that is not over: one amount per column, all or nothing. */
export function addToSpan(
  timed: TimedCells,
  index: number,
  slot: SlotId,
  by: readonly number[],
  version: number,
): TimedAddOutcome {
  if (index < timed.horizon) return "expired";
  if (!areAmounts(by)) return "invalid-amount";
  const outcome = addToRow(spanFor(timed, index).cells, slot, by, version);
  if (outcome === "added" && version > timed.version) timed.version = version;
  return outcome;
}

/** Sum of a column in one span over the writers that `keep` takes; 0 when there is none. */
export function sumSpan(timed: TimedCells, index: number, column: number, keep?: WriterFilter): number {
  const span = timed.spans.find((candidate) => candidate.index === index);
  return span === undefined ? 0 : sumCells(span.cells, column, keep);
}

/** A new state; neither argument changes. */
export function mergeTimedCells(left: TimedCells, right: TimedCells): TimedCells {
  const merged = copyTimedCells(left);
  mergeTimedCellsInto(merged, right, left.version + 1);
  return merged;
}

/** The same in place; returns how many rows were raised. */
export function mergeTimedCellsInto(target: TimedCells, source: TimedCells, version: number): number {
  advanceHorizon(target, source.horizon);
  let raised = 0;
  for (const span of source.spans) {
    if (span.index < target.horizon) continue;
    raised += mergeCellsInto(spanFor(target, span.index).cells, span.cells, version);
  }
  if (raised > 0 && version > target.version) target.version = version;
  return raised;
}

/** The horizon, and what was raised here after version `since`. */
export function timedCellsSince(timed: TimedCells, since: number, keep?: WriterFilter): TimedCells {
  const delta = createTimedCells(timed.width);
  delta.horizon = timed.horizon;
  if (timed.version <= since) return delta;
  for (const span of timed.spans) {
    const cells = cellsSince(span.cells, since, keep);
    if (cells.ids.length === 0) continue;
    delta.spans.push({ index: span.index, cells });
    delta.version = Math.max(delta.version, cells.version);
  }
  return delta;
}

/**
 * What of a received state our own clock believes: no spans further ahead than AHEAD_MS, and no horizon
 * that our clock would not set by now. So a peer whose clock is wrong can neither fill memory with spans of
 * the future nor wipe out ours. Expired spans go through: a merge drops them.
 */
export function believedTimedCells(timed: TimedCells, now: number, spanMs: number, kept: number): TimedCells {
  const latest = spanAt(now + Math.max(spanMs, AHEAD_MS), spanMs);
  const believed = createTimedCells(timed.width);
  believed.horizon = Math.min(timed.horizon, horizonAt(now, spanMs, kept, 0));
  believed.spans = timed.spans.filter((span) => span.index <= latest);
  believed.version = timed.version;
  return believed;
}

export function sameTimedCells(left: TimedCells, right: TimedCells): boolean {
  if (left.horizon !== right.horizon || left.spans.length !== right.spans.length) return false;
  return left.spans.every(
    (span, at) => span.index === right.spans[at].index && sameCells(span.cells, right.spans[at].cells),
  );
}

/** The span of an index, made where there is none. There are few, and the newest is the common one. */
function spanFor(timed: TimedCells, index: number): Span {
  let at = timed.spans.length;
  while (at > 0 && timed.spans[at - 1].index > index) at--;
  if (at > 0 && timed.spans[at - 1].index === index) return timed.spans[at - 1];
  const span = { index, cells: createCells(timed.width) };
  timed.spans.splice(at, 0, span);
  return span;
}
