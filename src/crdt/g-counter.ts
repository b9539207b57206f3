// A counter that only grows: every slot its own absolute total, the value their sum (Shapiro et al. 2011,
// G-Counter). For usage counters. It is never reset: what must start over gets a new name.

import type { AddOutcome, Cells } from "./cells.ts";
import {
  addToRow,
  cellAt,
  cellsSince,
  copyCells,
  createCells,
  mergeCells,
  mergeCellsInto,
  sameCells,
  sumCells,
} from "./cells.ts";
import type { SlotId, WriterFilter } from "./slot-id.ts";

export interface GCounter {
  readonly kind: "g-counter";
  readonly cells: Cells;
}

export function createGCounter(): GCounter {
  return { kind: "g-counter", cells: createCells(1) };
}

/** Adds to the caller's own slot. `version` is the caller's count of its changes, from 1. */
export function addToGCounter(counter: GCounter, slot: SlotId, by: number, version: number): AddOutcome {
  return addToRow(counter.cells, slot, [by], version);
}

/** Sum over the slots that `keep` takes; stays at MAX_TOTAL where it would pass it. */
export function gCounterValue(counter: GCounter, keep?: WriterFilter): number {
  return sumCells(counter.cells, 0, keep);
}

/** The total of one slot, 0 when it is unknown. */
export function gCounterSlot(counter: GCounter, slot: string): number {
  return cellAt(counter.cells, slot, 0);
}

/** Every slot with its total, sorted by slot. */
export function gCounterSlots(counter: GCounter): Record<string, number> {
  return Object.fromEntries(counter.cells.ids.map((slot, row) => [slot, counter.cells.values[row]]));
}

export function copyGCounter(counter: GCounter): GCounter {
  return { kind: "g-counter", cells: copyCells(counter.cells) };
}

/** A new counter; neither argument changes. */
export function mergeGCounters(left: GCounter, right: GCounter): GCounter {
  return { kind: "g-counter", cells: mergeCells(left.cells, right.cells) };
}

/** The same in place; returns how many slots were raised. */
export function mergeGCounterInto(target: GCounter, source: GCounter, version: number): number {
  return mergeCellsInto(target.cells, source.cells, version);
}

/** What was raised here after version `since`. */
export function gCounterSince(counter: GCounter, since: number, keep?: WriterFilter): GCounter {
  return { kind: "g-counter", cells: cellsSince(counter.cells, since, keep) };
}

export function sameGCounter(left: GCounter, right: GCounter): boolean {
  return sameCells(left.cells, right.cells);
}
