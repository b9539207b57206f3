// The home of a quota's rights: mints them up to the cap, to slots. A request says how much the slot has been
// minted as far as its hub knows; one that knows less than the ledger is a repetition, and mints nothing.

export interface MintAsk {
  /** Of the quota and period. */
  readonly name: string;
  readonly slot: string;
  readonly want: number;
  readonly minted: number;
  readonly cap: number;
}

export interface MintAnswer {
  /** Minted to the slot in all. */
  readonly total: number;
  readonly left: number;
}

export class LedgerModel {
  readonly #minted = new Map<string, Map<string, number>>();

  mint({ name, slot, want, minted, cap }: MintAsk): MintAnswer {
    const bySlot = this.#minted.get(name) ?? new Map<string, number>();
    this.#minted.set(name, bySlot);
    const left = Math.max(0, cap - this.totalOf(name));
    const total = bySlot.get(slot) ?? 0;
    if (total > minted) return { total, left };
    const units = Math.min(want, left);
    bySlot.set(slot, total + units);
    return { total: total + units, left: left - units };
  }

  totalOf(name: string): number {
    let sum = 0;
    for (const units of this.#minted.get(name)?.values() ?? []) sum += units;
    return sum;
  }
}
