// A limit's window as cells, seen region by region.
//
//   window = s spans of p cells,   s = clamp(window / 1 s, 1, 20),   p = min(20, 60 / s)
//
// Regions claim for a span at a time; what is used is known by cells, so that it is given back soon after
// its window is over. What is used in a region in the current span, and before it. The oldest cell counts
// by the share that is still inside the window. Nobody knows where in it its units were used: evenly, it is
// taken, where the cell before it had as many; where that had fewer, use was growing, and they stay for
// longer:
//
//   share = 1 - max(0, f - (1 - r)),   f = how far the oldest cell is outside,  r = min(1, before / oldest)
//
// So a limit that is used up at once is not half given back before its window is over. A region's claim
// announces use in the current span before it happens, so the greater of the two counts. Shortly after a span
// has ended its reports may still be on their way, or what was claimed in it is used in the next one:
//
//   committed = past + max(current, claimed + late),   late = max(0, claimed - used) of the span before

import type { SlidingWindow } from "../crdt/sliding-window.ts";
import { regionOf } from "../crdt/slot-id.ts";
import type { Span } from "../crdt/timed-cells.ts";
import { spanAt } from "../crdt/timed-cells.ts";

export const MAX_SPANS = 20;
/** Cells of a window at most; of a second or longer at least MAX_PARTS. */
export const MAX_CELLS = 60;
export const MAX_PARTS = 20;
/** Cells before the current one that a window needs: one more than it has, to know how even the oldest is. */
export const CELLS_KEPT = MAX_CELLS + 1;
/** Spans of claims before the current one that are kept. */
export const SPANS_KEPT = MAX_SPANS + 1;
/** With fewer cells the oldest one always counts by its share: to keep it would cost too much. */
const MIN_EVEN_CELLS = 5;
export const MIN_SPAN_MS = 1_000;
export const MIN_CELL_MS = 50;
/** Reports of a span arrive within this time after its end: two syncs and some. */
export const LATE_MS = 2_500;

export interface Cells {
  readonly count: number;
  readonly cellMs: number;
  /** Cells of a span, and its length. */
  readonly parts: number;
  readonly spanMs: number;
}

/** How a window is cut. Its length is kept but for rounding. */
export function cellsOf(windowMs: number): Cells {
  const spans = Math.min(MAX_SPANS, Math.max(1, Math.floor(windowMs / MIN_SPAN_MS)));
  const most = Math.min(MAX_PARTS, Math.floor(MAX_CELLS / spans));
  const parts = Math.max(1, Math.min(most, Math.floor(windowMs / spans / MIN_CELL_MS)));
  const cellMs = Math.max(1, Math.round(windowMs / (spans * parts)));
  return { count: spans * parts, cellMs, parts, spanMs: parts * cellMs };
}

export interface RegionUse {
  /** Before the current span, as far as it is still inside the window. */
  past: number;
  current: number;
  /** In the current span. */
  claimed: number;
  /** Claimed in the span before and not reported: reports may be on their way, or it is used in this one. */
  late: number;
}

/** Units that count against the limit: what is used, or has been claimed to be used. */
export function committedUnits({ past, current, claimed, late }: RegionUse): number {
  return past + Math.max(current, claimed + late);
}

/** What each region has used and claimed at `now`. */
export function usesByRegion(
  used: SlidingWindow,
  claimed: SlidingWindow | null,
  { count, cellMs, parts, spanMs }: Cells,
  now: number,
): Map<string, RegionUse> {
  const uses = new Map<string, RegionUse>();
  const span = spanAt(now, spanMs);
  const current = spanAt(now, cellMs);
  const outside = now / cellMs - current;
  const oldestShare = count < MIN_EVEN_CELLS ? 1 - outside : shareInside(used, current - count, outside);
  const reported = new Map<string, number>();
  for (const cell of used.timed.spans) {
    if (cell.index < Math.min(current - count, (span - 1) * parts)) continue;
    const share = cell.index > current - count ? 1 : cell.index === current - count ? oldestShare : 0;
    const isBefore = cell.index >= (span - 1) * parts && cell.index < span * parts;
    for (const [region, units] of totalsOf(cell)) {
      if (isBefore) reported.set(region, (reported.get(region) ?? 0) + units);
      if (share === 0) continue;
      const use = useOf(uses, region);
      if (cell.index >= span * parts) use.current += units;
      else use.past += units * share;
    }
  }
  const isLate = now - span * spanMs < LATE_MS;
  for (const claim of claimed?.timed.spans ?? []) {
    if (claim.index < span - 1) continue;
    for (const [region, units] of totalsOf(claim)) {
      if (claim.index >= span) useOf(uses, region).claimed += units;
      else if (isLate) useOf(uses, region).late += Math.max(0, units - (reported.get(region) ?? 0));
    }
  }
  return uses;
}

/** Units of every cell over all regions, oldest first: one that is outside, the `count` + 1 of the window. */
export function totalsByCell(used: SlidingWindow, { count, cellMs }: Cells, now: number): number[] {
  const totals = Array.from({ length: count + 2 }, () => 0);
  const first = spanAt(now, cellMs) - count - 1;
  for (const span of used.timed.spans) {
    const at = Math.min(span.index - first, count + 1);
    if (at >= 0) for (const units of span.cells.values) totals[at] += units;
  }
  return totals;
}

/** Ms until at most `units` of these totals are inside the window, if nothing is added. */
export function waitUntilAtMost(
  totals: readonly number[],
  { count, cellMs }: Cells,
  now: number,
  units: number,
): number {
  const intoCell = now - spanAt(now, cellMs) * cellMs;
  let inside = totals.reduce((sum, cell) => sum + cell, 0) - totals[0] - totals[1];
  for (let leaving = 1; leaving < totals.length; leaving++) {
    // While this cell leaves: inside + cell * share <= units.
    const cell = totals[leaving];
    const start = (leaving - 1) * cellMs - intoCell;
    if (inside <= units) {
      const released = cell === 0 ? 0 : Math.min(1, Math.max(0, 1 - (units - inside) / cell));
      const even = count < MIN_EVEN_CELLS ? 1 : evenness(totals[leaving - 1], cell);
      const outside = released === 0 ? 0 : Math.min(1, released + 1 - even);
      return Math.max(0, Math.ceil(start + outside * cellMs));
    }
    inside -= totals[leaving + 1] ?? 0;
  }
  return Math.ceil((totals.length - 1) * cellMs - intoCell);
}

function shareInside(used: SlidingWindow, oldest: number, outside: number): number {
  let total = 0;
  let before = 0;
  for (const { index, cells } of used.timed.spans) {
    if (index === oldest) total = cells.values.reduce((sum, units) => sum + units, 0);
    else if (index === oldest - 1) before = cells.values.reduce((sum, units) => sum + units, 0);
  }
  return 1 - Math.max(0, outside - (1 - evenness(before, total)));
}

function evenness(before: number, total: number): number {
  return before >= total ? 1 : before / total;
}

function totalsOf(span: Span): Map<string, number> {
  const totals = new Map<string, number>();
  const { ids, values } = span.cells;
  for (let row = 0; row < ids.length; row++) {
    const region = regionOf(ids[row]);
    totals.set(region, (totals.get(region) ?? 0) + values[row]);
  }
  return totals;
}

function useOf(uses: Map<string, RegionUse>, region: string): RegionUse {
  const known = uses.get(region);
  if (known !== undefined) return known;
  const use = { past: 0, current: 0, claimed: 0, late: 0 };
  uses.set(region, use);
  return use;
}
