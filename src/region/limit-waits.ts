// When a limit has more units, for the fields of an answer: what the hub said, and what this isolate used
// and the hub has not counted yet. Right after a burst that is all there is to know.
//
//   used(t) = what the hub knew, until it said that some of it leaves + own uses, by their cells
//
// Cells are let go whole, so units may come back up to one cell late. Of a window of 20 s or more the window
// itself is told: nobody understands a wait that is longer.

import { spanAt } from "../crdt/timed-cells.ts";
import { cellsOf, waitUntilAtMost } from "../hub/window-cells.ts";
import type { LimitView } from "./limit-view.ts";
import { DENY_MS } from "./limit-view.ts";

/** In a window of this length or more nobody is told of the cell. */
export const LONG_WINDOW_MS = 20_000;

/** Ms until there are more units. */
export function resetMs(view: LimitView, now: number): number {
  const { terms, cellMs } = view;
  if (terms.consistency === "capped") return (spanAt(now, terms.windowMs) + 1) * terms.windowMs - now;
  const totals = ownTotals(view, now);
  const own = totals.reduce((sum, units) => sum + units, 0);
  const hubsMs = view.resetAt > now && knownUnits(view, now) >= 1 ? view.resetAt - now : Infinity;
  const ownMs = own >= 1 ? waitUntilAtMost(totals, cellsOf(terms.windowMs), now, own - 1) : Infinity;
  const firstMs = Math.min(hubsMs, ownMs);
  return firstMs === Infinity || firstMs <= 0 ? cellMs : toldMs(view, firstMs);
}

/** Ms after which a request that was refused `cost` units may try again. */
export function retryMs(view: LimitView, cost: number, now: number): number {
  const { units, windowMs, consistency } = view.terms;
  const hubsMs = view.retryAt > now ? view.retryAt - now : Math.max(DENY_MS, windowMs / units);
  return consistency === "capped" ? hubsMs : toldMs(view, Math.max(hubsMs, waitMs(view, units - cost, now)));
}

/** Ms until no more than `most` units are used, at the least. */
function waitMs(view: LimitView, most: number, now: number): number {
  const cells = cellsOf(view.terms.windowMs);
  const totals = ownTotals(view, now);
  const ownMs = waitUntilAtMost(totals, cells, now, most);
  const known = knownUnits(view, now);
  if (known < 1) return ownMs;
  const besideKnownMs = waitUntilAtMost(totals, cells, now, most - known);
  return Math.min(besideKnownMs, Math.max(ownMs, view.resetAt - now));
}

/** What the hub knew, if it can still be in the window. */
function knownUnits({ base, baseAt, terms }: LimitView, now: number): number {
  return now - baseAt < terms.windowMs ? base : 0;
}

/** Own uses that the hub has not counted, by cell, as `waitUntilAtMost` takes them. */
function ownTotals({ terms, cellMs, pending, inFlight }: LimitView, now: number): number[] {
  const { count } = cellsOf(terms.windowMs);
  const totals = Array.from({ length: count + 2 }, () => 0);
  const first = spanAt(now, cellMs) - count - 1;
  for (const { cell, units } of pending) {
    const at = Math.min(cell - first, count + 1);
    if (at >= 0) totals[at] += units;
  }
  totals[count + 1] += inFlight;
  return totals;
}

function toldMs({ terms: { windowMs } }: LimitView, ms: number): number {
  return windowMs < LONG_WINDOW_MS ? ms : Math.min(ms, windowMs);
}
