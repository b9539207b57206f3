// Arbitrary states of every type, for the laws: any state that a peer could send, not only those that
// some order of operations reaches. The writers are few, so that states meet on the same rows.

import { BURN, MINT, createBoundedCounter, transferId } from "../../../src/crdt/bounded-counter.ts";
import type { BoundedCounter } from "../../../src/crdt/bounded-counter.ts";
import type { CallVectors } from "../../../src/crdt/call-vectors.ts";
import type { Cells } from "../../../src/crdt/cells.ts";
import { MAX_TOTAL, appendRow, createCells, mergeCellsInto } from "../../../src/crdt/cells.ts";
import type { GCounter } from "../../../src/crdt/g-counter.ts";
import type { Stamp } from "../../../src/crdt/hybrid-clock.ts";
import { compareStamps } from "../../../src/crdt/hybrid-clock.ts";
import type { LwwRegister, RegisterWrite } from "../../../src/crdt/lww-register.ts";
import { createLwwRegister } from "../../../src/crdt/lww-register.ts";
import type { Membership } from "../../../src/crdt/membership.ts";
import { REGION_STATUSES, announceRegion, createMembership } from "../../../src/crdt/membership.ts";
import type { PnCounter } from "../../../src/crdt/pn-counter.ts";
import type { SlidingWindow } from "../../../src/crdt/sliding-window.ts";
import type { SlotId } from "../../../src/crdt/slot-id.ts";
import type { TimedCells } from "../../../src/crdt/timed-cells.ts";
import { advanceHorizon, createTimedCells, mergeTimedCellsInto } from "../../../src/crdt/timed-cells.ts";
import { fc } from "../resilience/property.ts";

/** `mars` is a region that nobody knows yet; epochs 1 and 10 sort differently as numbers and as texts. */
export const SLOTS: readonly SlotId[] = [
  "enam.0.0.0",
  "mars.65535.7.4294967295",
  "weur.0.0.1",
  "weur.0.0.10",
];

const slots = fc.constantFrom(...SLOTS);
const totals = fc.oneof(
  { weight: 9, arbitrary: fc.integer({ min: 1, max: 9 }) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: MAX_TOTAL }) },
);
const orZero = fc.oneof(fc.constant(0), totals);
const rowCount = { maxLength: 4 };

type Row = readonly [string, readonly number[]];

function cellsOf(width: number, rows: readonly Row[]): Cells {
  const cells = createCells(width);
  for (const [index, [id, values]] of rows.entries()) {
    const single = createCells(width);
    appendRow(single, id, 1);
    single.values.push(...values);
    mergeCellsInto(cells, single, index + 1);
  }
  return cells;
}

function anyRow(width: number): fc.Arbitrary<Row> {
  const others = Array.from({ length: width - 1 }, () => orZero);
  return fc.tuple(slots, totals, ...others).map(([id, ...values]): Row => [id, values]);
}

function anyCells(width: number): fc.Arbitrary<Cells> {
  return fc.array(anyRow(width), rowCount).map((rows) => cellsOf(width, rows));
}

function anyTimed(width: number): fc.Arbitrary<TimedCells> {
  const spanRows = fc.array(fc.tuple(fc.nat({ max: 6 }), anyRow(width)), rowCount);
  return fc.tuple(fc.nat({ max: 4 }), spanRows).map(([horizon, rows]) => {
    const state = createTimedCells(width);
    advanceHorizon(state, horizon);
    for (const [index, [above, spanRow]] of rows.entries()) {
      const single = createTimedCells(width);
      single.spans.push({ index: above, cells: cellsOf(width, [spanRow]) });
      mergeTimedCellsInto(state, single, index + 1);
    }
    return state;
  });
}

export const gCounters: fc.Arbitrary<GCounter> = anyCells(1).map((state) => ({
  kind: "g-counter",
  cells: state,
}));
export const pnCounters: fc.Arbitrary<PnCounter> = anyCells(2).map((state) => ({
  kind: "pn-counter",
  cells: state,
}));
export const slidingWindows: fc.Arbitrary<SlidingWindow> = anyTimed(1).map((state) => ({
  kind: "sliding-window",
  timed: state,
}));
export const callVectors: fc.Arbitrary<CallVectors> = anyTimed(4).map((state) => ({
  kind: "call-vectors",
  timed: state,
}));

const uses = fc
  .tuple(slots, totals, totals)
  .map(([id, one, other]): Row => [id, [Math.max(one, other), Math.min(one, other)]]);
const transfers = fc
  .tuple(fc.constantFrom<string>(MINT, ...SLOTS), fc.constantFrom<string>(BURN, ...SLOTS), totals)
  .filter(([from, to]) => from !== to && !(from === MINT && to === BURN))
  .map(([from, to, total]): Row => [transferId(from, to), [total]]);

export const boundedCounters: fc.Arbitrary<BoundedCounter> = fc
  .tuple(fc.array(transfers, rowCount), fc.array(uses, rowCount))
  .map(([given, used]) => ({
    ...createBoundedCounter(),
    transfers: cellsOf(1, given),
    uses: cellsOf(2, used),
  }));

const stamps: fc.Arbitrary<Stamp> = fc
  .tuple(fc.nat({ max: 3 }), fc.nat({ max: 1 }))
  .map(([ms, count]) => ({ ms, count }));
const values = fc.constantFrom("a", "b", "", null);

/** Equal stamps with different values are in it: no writer does that, a merge must bear it. */
export const lwwRegisters: fc.Arbitrary<LwwRegister> = fc
  .array(fc.tuple(slots, stamps, values, fc.array(fc.tuple(slots, stamps), { maxLength: 2 })), {
    maxLength: 3,
  })
  .map((rows) => {
    const register = createLwwRegister();
    for (const [index, [writer, stamp, value, others]] of rows.entries()) {
      const seen = new Map(
        others.filter(([other, earlier]) => other !== writer && compareStamps(earlier, stamp) < 0),
      );
      const write: RegisterWrite = { stamp, value, seen, version: index + 1 };
      register.writes.set(writer, write);
      register.version = index + 1;
    }
    return register;
  });

const statuses = fc.constantFrom(...REGION_STATUSES);

export const memberships: fc.Arbitrary<Membership> = fc
  .array(
    fc.tuple(
      fc.constantFrom("weur", "enam", "mars"),
      fc.nat({ max: 2 }),
      statuses,
      fc.nat({ max: 2 }),
      stamps,
    ),
    rowCount,
  )
  .map((rows) => {
    const membership = createMembership();
    for (const [index, [region, incarnation, status, shards, stamp]] of rows.entries()) {
      announceRegion(membership, region, { incarnation, status, shards, stamp }, index + 1);
    }
    return membership;
  });
