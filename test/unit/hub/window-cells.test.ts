// A window as cells, region by region, against a count over plain rows.

import { describe, expect, it } from "vitest";
import { addToWindow, createSlidingWindow } from "../../../src/crdt/sliding-window.ts";
import type { SlidingWindow } from "../../../src/crdt/sliding-window.ts";
import type { SlotId } from "../../../src/crdt/slot-id.ts";
import { regionOf } from "../../../src/crdt/slot-id.ts";
import type { Cells } from "../../../src/hub/window-cells.ts";
import {
  LATE_MS,
  MAX_CELLS,
  MAX_PARTS,
  MAX_SPANS,
  MIN_SPAN_MS,
  cellsOf,
  totalsByCell,
  committedUnits,
  usesByRegion,
  waitUntilAtMost,
} from "../../../src/hub/window-cells.ts";
import { fc } from "../resilience/property.ts";
import { T0 } from "./hubs.ts";

const SLOTS: readonly SlotId[] = ["weur.0.0.1", "weur.0.0.2", "enam.0.0.1", "apac.0.0.9"];

/** A time in ms divided by a cell's length leaves so little of the fraction. */
const ROUNDING = 1e-4;

/** A region without rows of its own. */

interface Row {
  readonly slot: SlotId;
  /** Cells before the current one. */
  readonly ago: number;
  readonly units: number;
}

const windowMs = fc.oneof(
  fc.constantFrom(1, 999, 1000, 1500, 2000, 10_000, 60_000, 3_600_000),
  fc.integer({ min: 900, max: 90_000 }),
);
const rows = fc.array(
  fc.record({
    slot: fc.constantFrom(...SLOTS),
    ago: fc.oneof(fc.integer({ min: -1, max: 12 }), fc.integer({ min: 0, max: MAX_CELLS + 2 })),
    units: fc.integer({ min: 1, max: 50 }),
  }),
  { maxLength: 12 },
);

function windowWith(all: readonly Row[], cellMs: number, current: number): SlidingWindow {
  const window = createSlidingWindow();
  for (const { slot, ago, units } of all) {
    addToWindow(window, (current - ago) * cellMs, cellMs, slot, units, 1);
  }
  return window;
}

function sum(all: readonly Row[], keep: (row: Row) => boolean): number {
  return all.filter((row) => keep(row)).reduce((units, row) => units + row.units, 0);
}

describe("a window's cells", () => {
  it("are a twentieth of it or less, sixty at most, and together as long as it", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 31 }), (ms) => {
        const { count, cellMs, parts, spanMs } = cellsOf(ms);
        expect(count).toBeGreaterThanOrEqual(ms < MIN_SPAN_MS ? 1 : MAX_PARTS);
        expect(count).toBeLessThanOrEqual(MAX_CELLS);
        expect(spanMs).toBe(parts * cellMs);
        expect(count / parts).toBeLessThanOrEqual(MAX_SPANS);
        expect(spanMs).toBeGreaterThan(Math.min(ms, MIN_SPAN_MS) / 1.1);
        expect(Math.abs(count * cellMs - ms)).toBeLessThanOrEqual(count / 2);
      }),
    );
    expect(cellsOf(1)).toEqual({ count: 1, cellMs: 1, parts: 1, spanMs: 1 });
  });
});

describe("what regions use", () => {
  it("is what their rows say: past cells, the oldest by its share, the current one, and claims", () => {
    fc.assert(
      fc.property(
        windowMs,
        rows,
        rows,
        fc.double({ min: 0, max: 1, noNaN: true }),
        (ms, used, claimed, part) => {
          const cells = cellsOf(ms);
          const { count, cellMs, parts, spanMs } = cells;
          const current = Math.floor(T0 / cellMs);
          const now = current * cellMs + Math.min(cellMs - 1, Math.floor(part * cellMs));
          const span = Math.floor(now / spanMs);
          const uses = usesByRegion(
            windowWith(used, cellMs, current),
            windowWith(claimed, spanMs, span),
            cells,
            now,
          );
          const isLate = now - span * spanMs < LATE_MS;
          const spanOf = (ago: number) => Math.floor((current - ago) / parts);
          for (const region of ["weur", "enam", "apac", "sam"]) {
            const of = (all: readonly Row[], keep: (ago: number) => boolean): number =>
              sum(all, (row) => regionOf(row.slot) === region && keep(row.ago));
            const unreported = of(claimed, (ago) => ago === 1) - of(used, (ago) => spanOf(ago) === span - 1);
            const use = uses.get(region) ?? { past: 0, current: 0, claimed: 0, late: 0 };
            expect(use.current).toBe(of(used, (ago) => spanOf(ago) >= span));
            expect(use.claimed).toBe(of(claimed, (ago) => ago <= 0));
            const late = isLate ? Math.max(0, unreported) : 0;
            expect(use.late).toBe(late);
            expect(committedUnits(use)).toBe(use.past + Math.max(use.current, use.claimed + late));
            const inside = of(used, (ago) => spanOf(ago) < span && ago < count);
            const oldest = of(used, (ago) => spanOf(ago) < span && ago === count);
            // How much of the oldest cell is inside depends on how even it is; its time alone is the least.
            const leastShare = 1 - (now - current * cellMs) / cellMs;
            expect(use.past).toBeGreaterThanOrEqual(inside + oldest * leastShare - ROUNDING * 50);
            expect(use.past).toBeLessThanOrEqual(inside + oldest + ROUNDING);
          }
        },
      ),
    );
  });

  it("of a cell that has ended is what was claimed, until reports are in", () => {
    const cells = cellsOf(60_000);
    const used = windowWith([{ slot: "weur.0.0.1", ago: 1, units: 5 }], cells.cellMs, T0 / cells.cellMs);
    const claimed = windowWith([{ slot: "weur.0.0.1", ago: 1, units: 8 }], cells.spanMs, T0 / cells.spanMs);
    const units = (now: number) => {
      const use = usesByRegion(used, claimed, cells, now).get("weur");
      return use === undefined ? 0 : committedUnits(use);
    };
    expect([T0, T0 + LATE_MS].map(units)).toEqual([8, 5]);
  });

  it("does not count twice what is used in a cell and was claimed in the one before", () => {
    const cells = cellsOf(60_000);
    const current = T0 / cells.cellMs;
    const used = windowWith(
      [
        { slot: "weur.0.0.1", ago: 1, units: 5 },
        { slot: "weur.0.0.1", ago: 0, units: 3 },
      ],
      cells.cellMs,
      current,
    );
    const claims: readonly Row[] = [{ slot: "weur.0.0.1", ago: 1, units: 8 }];
    const committed = (of: readonly Row[]) => {
      const claimed = windowWith(of, cells.spanMs, T0 / cells.spanMs);
      const use = usesByRegion(used, claimed, cells, T0).get("weur");
      return use === undefined ? 0 : committedUnits(use);
    };
    expect(committed(claims)).toBe(8);
    expect(committed([...claims, { slot: "weur.0.0.1", ago: 0, units: 4 }])).toBe(12);
  });

  it("without claims is what was used", () => {
    const cells = cellsOf(60_000);
    const window = windowWith([{ slot: "weur.0.0.1", ago: 1, units: 5 }], cells.cellMs, T0 / cells.cellMs);
    expect(usesByRegion(window, null, cells, T0)).toEqual(
      new Map([["weur", { past: 5, current: 0, claimed: 0, late: 0 }]]),
    );
  });
});

function insideAt(window: SlidingWindow, cells: Cells, now: number): number {
  let units = 0;
  const uses = usesByRegion(window, null, cells, now);
  for (const { past, current } of uses.values()) units += past + current;
  return units;
}

describe("the wait until so many units are inside a window", () => {
  it("is the first millisecond at which they are, if nothing is added", () => {
    fc.assert(
      fc.property(windowMs, rows, fc.nat(200), fc.nat(2 ** 31), (ms, all, units, offset) => {
        const cells = cellsOf(ms);
        const now = T0 + offset;
        const past = all.filter(({ ago }) => ago >= 0);
        const window = windowWith(past, cells.cellMs, Math.floor(now / cells.cellMs));
        const waitMs = waitUntilAtMost(totalsByCell(window, cells, now), cells, now, units);
        expect(Number.isInteger(waitMs) && waitMs >= 0).toBe(true);
        expect(insideAt(window, cells, now + waitMs)).toBeLessThanOrEqual(units + ROUNDING * 50);
        const before = waitMs === 0 ? Infinity : insideAt(window, cells, now + waitMs - 1);
        expect(before).toBeGreaterThan(units - ROUNDING * 50);
      }),
      { numRuns: 1000 },
    );
  });

  it("for a negative number, which is never reached, ends when the window is empty", () => {
    const cells = cellsOf(60_000);
    const window = windowWith([{ slot: "weur.0.0.1", ago: 0, units: 5 }], cells.cellMs, T0 / cells.cellMs);
    const waitMs = waitUntilAtMost(totalsByCell(window, cells, T0), cells, T0, -1);
    expect(insideAt(window, cells, T0 + waitMs)).toBe(0);
    expect(waitMs).toBeLessThanOrEqual(62_000);
  });

  it("counts what another clock has put ahead as if it were used now", () => {
    const cells = cellsOf(60_000);
    const window = windowWith([{ slot: "weur.0.0.1", ago: -1, units: 5 }], cells.cellMs, T0 / cells.cellMs);
    const totals = totalsByCell(window, cells, T0);
    expect(totals.at(-1)).toBe(5);
    expect(totals.reduce((units, cell) => units + cell, 0)).toBe(5);
  });
});
