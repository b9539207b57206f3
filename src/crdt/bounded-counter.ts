// A quota that is never passed: rights to spend, split among the writers (Balegas et al., arXiv 1503.09052).
//
//   rights(r) = sum of transfers to r - sum of transfers from r - spent(r) + returned(r)
//   used      = sum over r of spent(r) - returned(r)  <=  minted - burned  <=  cap
//
// Transfers are absolute totals per pair: `mint>r` is written by the quota's home alone, every other pair and
// both totals of r by r alone. What a writer gave away or spent is its own and exact; what it was given may
// be known late. So a decision on one's own rights is safe under any loss, duplicate, order or partition.
// Rights that a writer leased out count as spent; what comes back unused is returned. A writer that lost its
// storage starts as a new slot, without rights: the old one's are stranded, never spent twice.

import type { AddOutcome, Cells } from "./cells.ts";
import {
  addToRow,
  areAmounts,
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

/** Where rights come from and where they end; no slot is called so. */
export const MINT = "mint";
export const BURN = "burn";
export const USE_COLUMNS = 2;
const SPENT = 0;
const RETURNED = 1;
const ARROW = ">";

export interface BoundedCounter {
  readonly kind: "bounded-counter";
  /** By `from>to`. */
  readonly transfers: Cells;
  /** By slot: spent, returned. */
  readonly uses: Cells;
}

export type RightsOutcome = AddOutcome | "over-cap" | "too-few-rights" | "not-spent" | "to-itself";

export function createBoundedCounter(): BoundedCounter {
  return { kind: "bounded-counter", transfers: createCells(1), uses: createCells(USE_COLUMNS) };
}

/** The row of a transfer. */
export function transferId(from: string, to: string): string {
  return from + ARROW + to;
}

/** Who wrote a row of transfers: the giver. For minted rights that is `mint`. */
export function giverOf(transfer: string): string {
  return transfer.slice(0, transfer.indexOf(ARROW));
}

/** Who a row of transfers gives to. */
export function takerOf(transfer: string): string {
  return transfer.slice(transfer.indexOf(ARROW) + 1);
}

/** What a writer may spend. Exact for the caller's own slot; for others an estimate, possibly negative. */
export function rightsOf(counter: BoundedCounter, holder: string): number {
  const { transfers, uses } = counter;
  let rights = cellAt(uses, holder, RETURNED) - cellAt(uses, holder, SPENT);
  for (let row = 0; row < transfers.ids.length; row++) {
    if (takerOf(transfers.ids[row]) === holder) rights += transfers.values[row];
    if (giverOf(transfers.ids[row]) === holder) rights -= transfers.values[row];
  }
  return rights;
}

/** Rights in force: minted and not burned. */
export function grantedRights(counter: BoundedCounter): number {
  const minted = sumCells(counter.transfers, 0, (transfer) => giverOf(transfer) === MINT);
  return minted - sumCells(counter.transfers, 0, (transfer) => takerOf(transfer) === BURN);
}

/** Rights spent and not returned, over all writers. */
export function usedRights(counter: BoundedCounter): number {
  return sumCells(counter.uses, SPENT) - sumCells(counter.uses, RETURNED);
}

/** Makes rights, as long as those in force stay within `cap`. Only the quota's home may, on its own state. */
export function mintRights(
  counter: BoundedCounter,
  to: SlotId,
  amount: number,
  cap: number,
  version: number,
): RightsOutcome {
  if (!areAmounts([amount])) return "invalid-amount";
  if (grantedRights(counter) + amount > cap) return "over-cap";
  return addToRow(counter.transfers, transferId(MINT, to), [amount], version);
}

/** Gives own rights away. Store it before it is sent. */
export function transferRights(
  counter: BoundedCounter,
  from: SlotId,
  to: SlotId | typeof BURN,
  amount: number,
  version: number,
): RightsOutcome {
  if (!areAmounts([amount])) return "invalid-amount";
  if (from === to) return "to-itself";
  if (rightsOf(counter, from) < amount) return "too-few-rights";
  return addToRow(counter.transfers, transferId(from, to), [amount], version);
}

/** Spends, or leases out, own rights. Store it before it is used. */
export function spendRights(
  counter: BoundedCounter,
  holder: SlotId,
  amount: number,
  version: number,
): RightsOutcome {
  if (!areAmounts([amount])) return "invalid-amount";
  if (rightsOf(counter, holder) < amount) return "too-few-rights";
  return addToRow(counter.uses, holder, [amount, 0], version);
}

/** Takes back what was leased out and not used. It must not be called twice for one lease. */
export function returnRights(
  counter: BoundedCounter,
  holder: SlotId,
  amount: number,
  version: number,
): RightsOutcome {
  if (!areAmounts([amount])) return "invalid-amount";
  const outstanding = cellAt(counter.uses, holder, SPENT) - cellAt(counter.uses, holder, RETURNED);
  if (amount > outstanding) return "not-spent";
  return addToRow(counter.uses, holder, [0, amount], version);
}

export function copyBoundedCounter(counter: BoundedCounter): BoundedCounter {
  return { kind: "bounded-counter", transfers: copyCells(counter.transfers), uses: copyCells(counter.uses) };
}

/** A new counter; neither argument changes. */
export function mergeBoundedCounters(left: BoundedCounter, right: BoundedCounter): BoundedCounter {
  return {
    kind: "bounded-counter",
    transfers: mergeCells(left.transfers, right.transfers),
    uses: mergeCells(left.uses, right.uses),
  };
}

/** The same in place; returns how many rows were raised. */
export function mergeBoundedCounterInto(
  target: BoundedCounter,
  source: BoundedCounter,
  version: number,
): number {
  const given = mergeCellsInto(target.transfers, source.transfers, version);
  return given + mergeCellsInto(target.uses, source.uses, version);
}

/** What was raised here after version `since`; `keep` is asked for the giver of a transfer. */
export function boundedCounterSince(
  counter: BoundedCounter,
  since: number,
  keep?: WriterFilter,
): BoundedCounter {
  const keepTransfer = keep === undefined ? undefined : (transfer: string) => keep(giverOf(transfer));
  return {
    kind: "bounded-counter",
    transfers: cellsSince(counter.transfers, since, keepTransfer),
    uses: cellsSince(counter.uses, since, keep),
  };
}

export function sameBoundedCounter(left: BoundedCounter, right: BoundedCounter): boolean {
  return sameCells(left.transfers, right.transfers) && sameCells(left.uses, right.uses);
}
