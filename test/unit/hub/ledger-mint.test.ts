// Rights are made once, and never more than a cap in force.

import { describe, expect, it } from "vitest";
import { MAX_SLOTS_PER_PERIOD, decideMint, oldestKept } from "../../../src/hub/ledger-mint.ts";
import type { Minted } from "../../../src/hub/ledger-mint.ts";
import type { MintOutcome } from "../../../src/hub/ledger-requests.ts";
import type { SlotId } from "../../../src/crdt/slot-id.ts";
import { fc } from "../resilience/property.ts";

const SLOTS: readonly SlotId[] = ["weur.0.0.0", "weur.0.0.1", "enam.0.0.0", "apac.3.0.0"];

/** What the object's table holds. */
class Mints {
  readonly periods = new Map<number, Map<SlotId, Minted>>();

  ask(period: number, slot: SlotId, seq: number, want: number, cap: number): MintOutcome {
    const known = [...this.periods.keys()];
    const rows = this.periods.get(period) ?? new Map<SlotId, Minted>();
    const state = {
      newest: known.length === 0 ? null : Math.max(...known),
      minted: this.minted(period),
      slots: rows.size,
      own: rows.get(slot) ?? null,
    };
    const { outcome, write } = decideMint(state, { period, slot, seq, want, cap });
    if (write !== null) {
      this.periods.set(period, rows.set(slot, write));
      const oldest = oldestKept(Math.max(period, state.newest ?? period));
      for (const other of known) if (other < oldest) this.periods.delete(other);
    }
    return outcome;
  }

  minted(period: number): number {
    return [...(this.periods.get(period)?.values() ?? [])].reduce((sum, { total }) => sum + total, 0);
  }
}

describe("rights", () => {
  it("are made as asked while the cap has some, then what is left, then none", () => {
    const mints = new Mints();
    expect(mints.ask(1, "weur.0.0.0", 1, 60, 100)).toEqual({ kind: "minted", total: 60, left: 40 });
    expect(mints.ask(1, "enam.0.0.0", 1, 60, 100)).toEqual({ kind: "minted", total: 40, left: 0 });
    expect(mints.ask(1, "weur.0.0.0", 2, 1, 100)).toEqual({ kind: "minted", total: 60, left: 0 });
  });

  it("are made once for a seq, whatever comes with it", () => {
    const mints = new Mints();
    mints.ask(1, "weur.0.0.0", 5, 10, 100);
    expect(mints.ask(1, "weur.0.0.0", 5, 10, 100)).toEqual({ kind: "minted", total: 10, left: 90 });
    expect(mints.ask(1, "weur.0.0.0", 4, 99, 200)).toEqual({ kind: "minted", total: 10, left: 190 });
  });

  it("stay when the cap falls below them, and grow again when it rises", () => {
    const mints = new Mints();
    mints.ask(1, "weur.0.0.0", 1, 80, 100);
    expect(mints.ask(1, "weur.0.0.0", 2, 10, 50)).toEqual({ kind: "minted", total: 80, left: 0 });
    expect(mints.ask(1, "weur.0.0.0", 3, 50, 120)).toEqual({ kind: "minted", total: 120, left: 0 });
  });

  it("start afresh with each period, two past ones can still be asked, older ones never again", () => {
    const mints = new Mints();
    mints.ask(7, "weur.0.0.0", 1, 100, 100);
    expect(mints.ask(9, "weur.0.0.0", 1, 100, 100)).toEqual({ kind: "minted", total: 100, left: 0 });
    expect(mints.ask(7, "enam.0.0.0", 1, 1, 100)).toEqual({ kind: "minted", total: 0, left: 0 });
    mints.ask(10, "weur.0.0.0", 1, 0 + 1, 100);
    expect(mints.periods.has(7)).toBe(false);
    expect(mints.ask(7, "weur.0.0.0", 2, 1, 100)).toEqual({ kind: "past-period", newest: 10 });
  });

  it("are refused to a slot too many, not to one that is known", () => {
    const own = { total: 1, seq: 1 };
    const request = { period: 1, slot: SLOTS[0], seq: 2, want: 1, cap: 9999 };
    const full = { newest: 1, minted: 4096, slots: MAX_SLOTS_PER_PERIOD };
    expect(decideMint({ ...full, own: null }, request).outcome).toEqual({
      kind: "invalid",
      reason: "too-many-slots",
    });
    expect(decideMint({ ...full, own }, request).outcome).toMatchObject({ kind: "minted", total: 2 });
  });

  it("never pass the largest cap, and a slot's total never falls", () => {
    const asks = fc.record({
      period: fc.integer({ min: 0, max: 5 }),
      slot: fc.constantFrom(...SLOTS),
      seq: fc.integer({ min: 1, max: 12 }),
      want: fc.integer({ min: 1, max: 40 }),
      cap: fc.constantFrom(0, 50, 100),
    });
    fc.assert(
      fc.property(fc.array(asks, { maxLength: 60 }), (all) => {
        const mints = new Mints();
        const totals = new Map<string, number>();
        for (const { period, slot, seq, want, cap } of all) {
          const before = mints.minted(period);
          const outcome = mints.ask(period, slot, seq, want, cap);
          if (outcome.kind !== "minted") continue;
          const key = `${period} ${slot}`;
          expect(outcome.total).toBeGreaterThanOrEqual(totals.get(key) ?? 0);
          totals.set(key, outcome.total);
          expect(mints.minted(period)).toBeLessThanOrEqual(Math.max(before, cap));
          expect(outcome.left).toBe(Math.max(0, cap - mints.minted(period)));
        }
        // Of periods that were dropped, too: what a slot was told is what it will spend.
        for (const period of new Set(all.map((ask) => ask.period))) {
          const told = SLOTS.reduce((sum, slot) => sum + (totals.get(`${period} ${slot}`) ?? 0), 0);
          expect(told).toBeLessThanOrEqual(100);
        }
      }),
      { numRuns: 1000 },
    );
  });
});
