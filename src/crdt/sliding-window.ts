// A rate limit's count over the last window, from fixed cells:
//
//   estimate(t) = sum of total[w - n + 1 .. w] + total[w - n] * (1 - f)
//   w = floor(t / cellMs),  f = frac(t / cellMs),  n * cellMs = the window
//
// With n = 1 these are the two cells of blog.cloudflare.com/counting-things-a-lot-of-different-things, whose
// error is what the older cell's traffic is uneven by; more cells leave less of it. The limit is no part of
// it, so a changed limit counts at once. The length of a cell belongs to the name under which the state is
// kept: states of different lengths must never meet.

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

/** With one cell to a window, the one before the current one still counts. */
const ONE_CELL = 1;

export interface SlidingWindow {
  readonly kind: "sliding-window";
  readonly timed: TimedCells;
}

export function createSlidingWindow(): SlidingWindow {
  return { kind: "sliding-window", timed: createTimedCells(1) };
}

/** Counts `by` in the window that holds `at` (ms), in the caller's own slot. */
export function addToWindow(
  window: SlidingWindow,
  at: number,
  windowMs: number,
  slot: SlotId,
  by: number,
  version: number,
): TimedAddOutcome {
  return addToSpan(window.timed, spanAt(at, windowMs), slot, [by], version);
}

/** What counts against the limit at `now`, over the writers that `keep` takes; `cells` make a window. */
export function windowEstimate(
  window: SlidingWindow,
  now: number,
  cellMs: number,
  keep?: WriterFilter,
  cells = ONE_CELL,
): number {
  const current = spanAt(now, cellMs);
  let sum = 0;
  for (let index = current - cells + 1; index <= current; index++) {
    sum += sumSpan(window.timed, index, 0, keep);
  }
  const oldestShare = 1 - (now / cellMs - current);
  return sum + sumSpan(window.timed, current - cells, 0, keep) * oldestShare;
}

/** The plain total of the window that holds `at`. */
export function windowTotal(
  window: SlidingWindow,
  at: number,
  windowMs: number,
  keep?: WriterFilter,
): number {
  return sumSpan(window.timed, spanAt(at, windowMs), 0, keep);
}

/** Drops cells that no estimate needs. `graceMs`: the clock skew that is borne, and three gossip rounds. */
export function expireWindow(
  window: SlidingWindow,
  now: number,
  cellMs: number,
  graceMs: number,
  cells = ONE_CELL,
): void {
  advanceHorizon(window.timed, horizonAt(now, cellMs, cells, graceMs));
}

/** What our own clock believes of a received state; see `believedTimedCells`. */
export function believedWindow(
  window: SlidingWindow,
  now: number,
  cellMs: number,
  cells = ONE_CELL,
): SlidingWindow {
  return { kind: "sliding-window", timed: believedTimedCells(window.timed, now, cellMs, cells) };
}

export function copySlidingWindow(window: SlidingWindow): SlidingWindow {
  return { kind: "sliding-window", timed: copyTimedCells(window.timed) };
}

/** A new window; neither argument changes. */
export function mergeSlidingWindows(left: SlidingWindow, right: SlidingWindow): SlidingWindow {
  return { kind: "sliding-window", timed: mergeTimedCells(left.timed, right.timed) };
}

/** The same in place; returns how many slots were raised. */
export function mergeSlidingWindowInto(
  target: SlidingWindow,
  source: SlidingWindow,
  version: number,
): number {
  return mergeTimedCellsInto(target.timed, source.timed, version);
}

/** The horizon, and what was raised here after version `since`. */
export function slidingWindowSince(window: SlidingWindow, since: number, keep?: WriterFilter): SlidingWindow {
  return { kind: "sliding-window", timed: timedCellsSince(window.timed, since, keep) };
}

export function sameSlidingWindow(left: SlidingWindow, right: SlidingWindow): boolean {
  return sameTimedCells(left.timed, right.timed);
}
