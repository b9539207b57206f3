// A counter that goes both ways: per slot what was added and what was taken away, both only growing
// (Shapiro et al. 2011, PN-Counter). For gauges. Value = sum of added - sum of taken; it may be negative.

import type { AddOutcome, Cells } from "./cells.ts";
import {
  addToRow,
  cellsSince,
  copyCells,
  createCells,
  mergeCells,
  mergeCellsInto,
  sameCells,
  sumCells,
} from "./cells.ts";
import type { SlotId, WriterFilter } from "./slot-id.ts";

export const PN_COLUMNS = 2;
const ADDED = 0;
const TAKEN = 1;

export interface PnCounter {
  readonly kind: "pn-counter";
  readonly cells: Cells;
}

export function createPnCounter(): PnCounter {
  return { kind: "pn-counter", cells: createCells(PN_COLUMNS) };
}

/** Adds a positive or negative integer to the caller's own slot. */
export function addToPnCounter(counter: PnCounter, slot: SlotId, by: number, version: number): AddOutcome {
  return addToRow(counter.cells, slot, by < 0 ? [0, -by] : [by, 0], version);
}

/** Exact while neither of the two sums passes MAX_TOTAL. */
export function pnCounterValue(counter: PnCounter): number {
  return sumCells(counter.cells, ADDED) - sumCells(counter.cells, TAKEN);
}

export function copyPnCounter(counter: PnCounter): PnCounter {
  return { kind: "pn-counter", cells: copyCells(counter.cells) };
}

/** A new counter; neither argument changes. */
export function mergePnCounters(left: PnCounter, right: PnCounter): PnCounter {
  return { kind: "pn-counter", cells: mergeCells(left.cells, right.cells) };
}

/** The same in place; returns how many slots were raised. */
export function mergePnCounterInto(target: PnCounter, source: PnCounter, version: number): number {
  return mergeCellsInto(target.cells, source.cells, version);
}

/** What was raised here after version `since`. */
export function pnCounterSince(counter: PnCounter, since: number, keep?: WriterFilter): PnCounter {
  return { kind: "pn-counter", cells: cellsSince(counter.cells, since, keep) };
}

export function samePnCounter(left: PnCounter, right: PnCounter): boolean {
  return sameCells(left.cells, right.cells);
}
