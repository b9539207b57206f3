// A cap over several regions that mint, lease, give, return and crash, with answers lost at every step: what
// isolates hold or have used is never more than the cap (C 5: 38).

import { expect, it } from "vitest";
import { rightsOf } from "../../../src/crdt/bounded-counter.ts";
import { copyState, stateSince, writtenIn } from "../../../src/crdt/replicated.ts";
import type { Replicated } from "../../../src/crdt/replicated.ts";
import type { Hub } from "../../../src/hub/hub.ts";
import { mergeIncoming } from "../../../src/hub/incoming.ts";
import type { Minted } from "../../../src/hub/ledger-mint.ts";
import { decideMint } from "../../../src/hub/ledger-mint.ts";
import { announceUse } from "../../../src/hub/membership.ts";
import type { Refill } from "../../../src/hub/quota-book.ts";
import {
  acceptMint,
  endRefill,
  expireQuotas,
  giveRights,
  leaseRights,
  takeBackRights,
  takeRefills,
} from "../../../src/hub/quota-book.ts";
import { fc } from "../resilience/property.ts";
import { Rows, T0, exchange, settle, termsOf } from "./hubs.ts";

const REGIONS = ["weur", "enam", "apac"] as const;
const PERIOD_MS = 60_000;
const CAP = 40;
const terms = termsOf({ consistency: "capped", units: CAP, windowMs: PERIOD_MS });

type Step =
  | {
      readonly kind: "ask";
      readonly at: number;
      readonly need: number;
      readonly want: number;
      readonly lost: boolean;
    }
  | { readonly kind: "refill"; readonly at: number; readonly lost: boolean }
  | { readonly kind: "return"; readonly at: number; readonly units: number }
  | { readonly kind: "exchange"; readonly at: number; readonly to: number }
  | { readonly kind: "restart"; readonly at: number; readonly stored: boolean }
  | { readonly kind: "time"; readonly ms: number };

const at = fc.nat(2);
const lost = fc.oneof(
  { weight: 3, arbitrary: fc.constant(false) },
  { weight: 1, arbitrary: fc.constant(true) },
);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("ask" as const),
      at,
      need: fc.integer({ min: 1, max: 6 }),
      want: fc.nat(12),
      lost,
    }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("refill" as const), at, lost }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("return" as const), at, units: fc.integer({ min: 1, max: 9 }) }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("exchange" as const), at, to: at }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("restart" as const), at, stored: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("time" as const), ms: fc.constantFrom(200, 1000, 25_000) }),
  },
);

class World {
  now = T0;
  readonly rows = REGIONS.map(() => new Rows());
  readonly hubs: Hub[] = this.rows.map((rows, index) => rows.start(REGIONS[index], T0));
  /** What the ledger has stored, by period and slot. */
  readonly minted = new Map<number, Map<string, Minted>>();
  /** Units that isolates of a region hold or have used, by period. */
  readonly held = new Map<string, number>();
  readonly tally = { granted: 0, minted: 0, given: 0, refused: 0 };

  constructor() {
    for (const hub of this.hubs) announceUse(hub, T0);
    settle(this.hubs, T0);
    for (const [index, rows] of this.rows.entries()) rows.store(this.hubs[index], true);
  }

  take(next: Step): void {
    switch (next.kind) {
      case "ask":
        return this.#ask(next.at, next.need, next.want, next.lost);
      case "refill":
        for (const refill of takeRefills(this.hubs[next.at], this.now)) {
          this.#refill(next.at, refill, next.lost);
        }
        return;
      case "return":
        return this.#giveBack(next.at, next.units);
      case "exchange":
        for (const index of [next.at, next.to]) this.rows[index].store(this.hubs[index]);
        if (next.at !== next.to) exchange(this.hubs[next.at], this.hubs[next.to], this.now);
        return;
      case "restart":
        if (next.stored) this.rows[next.at].store(this.hubs[next.at], true);
        this.hubs[next.at] = this.rows[next.at].start(REGIONS[next.at], this.now);
        return;
      case "time":
        this.now += next.ms;
        for (const hub of this.hubs) expireQuotas(hub, this.now);
    }
  }

  /** The most that was held in any period, over all regions. */
  mostHeld(): number {
    const sums = new Map<string, number>();
    for (const [key, units] of this.held) {
      const [period] = key.split(" ");
      sums.set(period, (sums.get(period) ?? 0) + units);
    }
    return Math.max(0, ...sums.values());
  }

  /** The rights of each hub's own slot in every quota that it knows. */
  ownRights(): number[] {
    return this.hubs.flatMap((hub) =>
      [...hub.states.values()].flatMap((state) =>
        state.kind === "bounded-counter" ? [rightsOf(state, hub.durableSlot)] : [],
      ),
    );
  }

  #ask(index: number, need: number, want: number, isLost: boolean): void {
    const hub = this.hubs[index];
    const ask = { terms, need, want, held: 0, unreported: 0 };
    const answer = leaseRights(hub, ask, "s", this.now);
    // The answer leaves when the lease is stored; lost or not, the units are spent.
    this.rows[index].store(hub);
    if (answer.units === 0) this.tally.refused++;
    if (isLost || answer.units === 0) return;
    const key = `${answer.period} ${index}`;
    this.held.set(key, (this.held.get(key) ?? 0) + answer.units);
    this.tally.granted += answer.units;
  }

  #giveBack(index: number, units: number): void {
    const period = Math.floor(this.now / PERIOD_MS);
    const key = `${period} ${index}`;
    const held = this.held.get(key) ?? 0;
    if (held < units) return;
    this.held.set(key, held - units);
    takeBackRights(this.hubs[index], terms, period, units, this.now);
    this.rows[index].store(this.hubs[index]);
  }

  #refill(index: number, refill: Refill, isLost: boolean): void {
    const gave =
      refill.from === "ledger" ? this.#mint(index, refill, isLost) : this.#give(index, refill, isLost);
    endRefill(this.hubs[index], refill, gave, this.now);
  }

  #mint(index: number, refill: Refill, isLost: boolean): boolean {
    const { period, slot, want } = refill;
    const slots = this.minted.get(period) ?? new Map<string, Minted>();
    this.minted.set(period, slots);
    const minted = [...slots.values()].reduce((sum, { total }) => sum + total, 0);
    const state = {
      newest: Math.max(...this.minted.keys()),
      minted,
      slots: slots.size,
      own: slots.get(slot) ?? null,
    };
    const request = { period, slot, want, cap: CAP, seq: refill.minted + 1 };
    const { outcome, write } = decideMint(state, request);
    if (write !== null) slots.set(slot, write);
    if (isLost || outcome.kind !== "minted") return false;
    acceptMint(this.hubs[index], refill, outcome.total, outcome.left, this.now);
    this.tally.minted += outcome.total - refill.minted;
    return outcome.total > refill.minted;
  }

  #give(index: number, refill: Extract<Refill, { from: "peer" }>, isLost: boolean): boolean {
    const from = REGIONS.findIndex((region) => region === refill.region);
    const giver = this.hubs[from];
    const units = giveRights(giver, refill.name, refill.slot, refill.want, this.now);
    if (units === 0) return false;
    this.rows[from].store(giver);
    const state = giver.states.get(refill.name);
    if (state === undefined || isLost) return false;
    const proof: Replicated = copyState(stateSince(state, 0, writtenIn(giver.region)));
    this.tally.given += units;
    return (
      mergeIncoming(this.hubs[index], giver.region, [{ name: refill.name, state: proof }], this.now).raised >
      0
    );
  }
}

it("what is held in a period never passes the cap, and no region spends rights that it has not", () => {
  const seen = { granted: 0, minted: 0, given: 0, refused: 0 };
  fc.assert(
    fc.property(fc.array(step, { minLength: 40, maxLength: 150, size: "max" }), (steps) => {
      const world = new World();
      for (const next of steps) {
        world.take(next);
        expect(world.mostHeld()).toBeLessThanOrEqual(CAP);
        expect(Math.min(0, ...world.ownRights())).toBe(0);
      }
      for (const slots of world.minted.values()) {
        expect([...slots.values()].reduce((sum, { total }) => sum + total, 0)).toBeLessThanOrEqual(CAP);
      }
      for (const key of ["granted", "minted", "given", "refused"] as const) seen[key] += world.tally[key];
    }),
    { numRuns: 300 },
  );
  for (const amount of Object.values(seen)) expect(amount).toBeGreaterThan(100);
});

it("one region alone gets at all of the cap, and all of them together do", () => {
  for (const asking of [[0], [0, 1, 2]]) {
    const world = new World();
    for (let turn = 0; turn < 400; turn++) {
      for (const index of asking) {
        world.take({ kind: "ask", at: index, need: 1, want: 2, lost: false });
        world.take({ kind: "refill", at: index, lost: false });
        world.take({ kind: "exchange", at: index, to: (index + 1) % 3 });
      }
      world.now += 100;
    }
    expect(world.mostHeld()).toBe(CAP);
  }
});
