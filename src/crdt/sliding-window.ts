// A rate limit's count over the last window, from two fixed ones:
//
//   estimate(t) = total[w] + total[w - 1] * (1 - f),   w = floor(t / windowMs),  f = frac(t / windowMs)
//
// (blog.cloudflare.com/counting-things-a-lot-of-different-things). The limit is no part of it, so a changed
// limit counts at once. The window's length belongs to the name under which the state is kept: states of
// different lengths must never meet.

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

/** The window before the current one still counts. */
const WINDOWS_KEPT = 1;

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

/** What counts against the limit at `now`, over the writers that `keep` takes. */
export function windowEstimate(
  window: SlidingWindow,
  now: number,
  windowMs: number,
  keep?: WriterFilter,
): number {
  const index = spanAt(now, windowMs);
  const previousShare = 1 - (now / windowMs - index);
  const { timed } = window;
  return sumSpan(timed, index, 0, keep) + sumSpan(timed, index - 1, 0, keep) * previousShare;
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

/** Drops windows that no estimate needs. `graceMs`: the clock skew that is borne, and three gossip rounds. */
export function expireWindow(window: SlidingWindow, now: number, windowMs: number, graceMs: number): void {
  advanceHorizon(window.timed, horizonAt(now, windowMs, WINDOWS_KEPT, graceMs));
}

/** What our own clock believes of a received state; see `believedTimedCells`. */
export function believedWindow(window: SlidingWindow, now: number, windowMs: number): SlidingWindow {
  return { kind: "sliding-window", timed: believedTimedCells(window.timed, now, windowMs, WINDOWS_KEPT) };
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
