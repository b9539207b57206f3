// The lattice under every counter here: numbers that only their writer raises, by the writer's name.
//
//   merge(a, b)[id][column] = max(a[id][column], b[id][column]),   absent = 0
//
// (the G-Counter of Shapiro et al. 2011, inria-00555588, with `width` numbers to a row). Loss, duplicates and
// reordering change nothing, because the numbers are absolute. Rows are sorted by id and ids are compared by
// value, so nothing depends on a position. Values are row-major: row r, column c at [r * width + c].
//
// Versions are this replica's own notes, never sent and no part of equality: when a row was last raised here,
// in the count of the caller. The rows above an acknowledged version are the delta for a peer (delta-state
// CRDTs, Almeida et al., arXiv 1410.2803); rows that a merge does not raise keep their version, so what a
// peer sent twice is not sent on twice (arXiv 1803.02750, RR). A version that a delta was taken at must not
// be given to a later change: that change would never be sent.

import type { WriterFilter } from "./slot-id.ts";

/** Greatest total of one writer; beyond it integers stop being exact. */
export const MAX_TOTAL = Number.MAX_SAFE_INTEGER;
/** The version of what came from elsewhere whole: a decoded message. Callers count from here. */
export const FIRST_VERSION = 1;

export interface Cells {
  readonly width: number;
  readonly ids: string[];
  readonly values: number[];
  readonly versions: number[];
  /** The greatest of `versions`: nothing here is news to a peer that acknowledged it. */
  version: number;
}

export type AddOutcome = "added" | "invalid-amount" | "overflow";

export function createCells(width: number): Cells {
  return { width, ids: [], values: [], versions: [], version: 0 };
}

export function copyCells(cells: Cells): Cells {
  return {
    width: cells.width,
    ids: cells.ids.slice(),
    values: cells.values.slice(),
    versions: cells.versions.slice(),
    version: cells.version,
  };
}

/** A new state: the pointwise maximum. Neither argument changes. */
export function mergeCells(left: Cells, right: Cells): Cells {
  const merged = copyCells(left);
  mergeCellsInto(merged, right, left.version + 1);
  return merged;
}

/** The same in place. Raised rows get `version`; returns how many there were. */
export function mergeCellsInto(target: Cells, source: Cells, version: number): number {
  const { ids } = target;
  const incoming = source.ids;
  const { width } = target;
  let raised = 0;
  let row = 0;
  for (let index = 0; index < incoming.length; index++) {
    const id = incoming[index];
    if (row >= ids.length || ids[row] !== id) row = rowFor(target, id, row);
    if (raiseRow(target.values, row * width, source.values, index * width, width)) {
      target.versions[row] = version;
      raised++;
    }
    row++;
  }
  if (raised > 0 && version > target.version) target.version = version;
  return raised;
}

/** The rows raised after version `since` whose id `keep` takes: a state to be merged elsewhere. */
export function cellsSince(cells: Cells, since: number, keep: WriterFilter = everyWriter): Cells {
  const delta = createCells(cells.width);
  if (cells.version <= since) return delta;
  for (let row = 0; row < cells.ids.length; row++) {
    if (cells.versions[row] <= since || !keep(cells.ids[row])) continue;
    appendRow(delta, cells.ids[row], cells.versions[row]);
    for (let at = row * cells.width; at < (row + 1) * cells.width; at++) delta.values.push(cells.values[at]);
  }
  return delta;
}

/**
 * Raises the writer's own row: one amount per column, whole numbers, at least one of them positive. All or
 * nothing: an invalid amount or an overflow changes nothing.
 */
export function addToRow(cells: Cells, id: string, by: readonly number[], version: number): AddOutcome {
  if (!areAmounts(by)) return "invalid-amount";
  const row = findRow(cells.ids, id, 0);
  const first = row * cells.width;
  if (cells.ids[row] !== id) insertRow(cells, id, row);
  else if (wouldOverflow(cells.values, first, by)) return "overflow";
  for (let column = 0; column < by.length; column++) cells.values[first + column] += by[column];
  cells.versions[row] = version;
  if (version > cells.version) cells.version = version;
  return "added";
}

function wouldOverflow(values: readonly number[], first: number, by: readonly number[]): boolean {
  for (let column = 0; column < by.length; column++) {
    if (values[first + column] > MAX_TOTAL - by[column]) return true;
  }
  return false;
}

/** Whether these may be added: whole, none negative, not all zero. */
export function areAmounts(by: readonly number[]): boolean {
  let hasAny = false;
  for (const amount of by) {
    if (!Number.isSafeInteger(amount) || amount < 0) return false;
    if (amount > 0) hasAny = true;
  }
  return hasAny;
}

/** The number of one writer, 0 when it is unknown. */
export function cellAt(cells: Cells, id: string, column: number): number {
  const row = findRow(cells.ids, id, 0);
  return cells.ids[row] === id ? cells.values[row * cells.width + column] : 0;
}

/** Sum of a column over the writers that `keep` takes; stays at MAX_TOTAL where it would pass it. */
export function sumCells(cells: Cells, column: number, keep: WriterFilter = everyWriter): number {
  let sum = 0;
  const keepsAll = keep === everyWriter;
  for (let row = 0; row < cells.ids.length; row++) {
    if (keepsAll || keep(cells.ids[row])) sum += cells.values[row * cells.width + column];
  }
  return Math.min(sum, MAX_TOTAL);
}

/** Equal rows; versions do not count. */
export function sameCells(left: Cells, right: Cells): boolean {
  if (left.ids.length !== right.ids.length) return false;
  return (
    left.ids.every((id, row) => id === right.ids[row]) &&
    left.values.every((value, at) => value === right.values[at])
  );
}

/** Whether `claim` knows more about a writer than `own` does. About itself nobody may know more than it. */
export function claimsMore(own: Cells, claim: Cells, id: string): boolean {
  for (let column = 0; column < own.width; column++) {
    if (cellAt(claim, id, column) > cellAt(own, id, column)) return true;
  }
  return false;
}

/** Adds a row without values behind the last one; the caller keeps the order and pushes `width` values. */
export function appendRow(cells: Cells, id: string, version: number): void {
  cells.ids.push(id);
  cells.versions.push(version);
  if (version > cells.version) cells.version = version;
}

function everyWriter(): boolean {
  return true;
}

/** Raises a row to the maximum of itself and another, column by column. */
function raiseRow(own: number[], to: number, other: readonly number[], from: number, width: number): boolean {
  let raised = false;
  for (let column = 0; column < width; column++) {
    if (other[from + column] > own[to + column]) {
      own[to + column] = other[from + column];
      raised = true;
    }
  }
  return raised;
}

/** The row of an id, made with zeros where there is none. It is not before `from`. */
function rowFor(cells: Cells, id: string, from: number): number {
  const row = findRow(cells.ids, id, from);
  if (cells.ids[row] !== id) insertRow(cells, id, row);
  return row;
}

/** Makes room for a row of zeros before row `row`. */
function insertRow(cells: Cells, id: string, row: number): void {
  cells.ids.splice(row, 0, id);
  cells.versions.splice(row, 0, 0);
  for (let column = 0; column < cells.width; column++) cells.values.splice(row * cells.width, 0, 0);
}

/** The first row at or after `from` whose id is not smaller: binary search. */
function findRow(ids: readonly string[], id: string, from: number): number {
  let low = from;
  let high = ids.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ids[middle] < id) low = middle + 1;
    else high = middle;
  }
  return low;
}
