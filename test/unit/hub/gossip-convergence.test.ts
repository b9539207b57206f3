// Hubs that do anything and reach each other badly agree once they can talk (C 5: 8, 27, 32, 37, 40): what is
// sent are absolute numbers, so loss, duplicates and any order cost time alone.

import { expect, it } from "vitest";
import { copyState, countRows, sameState } from "../../../src/crdt/replicated.ts";
import type { Replicated } from "../../../src/crdt/replicated.ts";
import { windowTotal } from "../../../src/crdt/sliding-window.ts";
import type { GossipMessage } from "../../../src/hub/gossip.ts";
import { receiveMessage } from "../../../src/hub/gossip.ts";
import type { Hub } from "../../../src/hub/hub.ts";
import { isEmptyAfter, noteUse } from "../../../src/hub/limit-book.ts";
import { isShared } from "../../../src/hub/names.ts";
import { readOverrides, writeOverride } from "../../../src/hub/overrides.ts";
import { acceptMint, giveRights, leaseRights } from "../../../src/hub/quota-book.ts";
import { noteFailure } from "../../../src/hub/rounds.ts";
import { peerOf } from "../../../src/hub/peers.ts";
import { addUsage } from "../../../src/hub/usage.ts";
import { cellsOf } from "../../../src/hub/window-cells.ts";
import { fc } from "../resilience/property.ts";
import { Rows, T0, arrived, messageTo, metHubs, settle, termsOf, usedHub, valueIn } from "./hubs.ts";

const REGIONS = ["weur", "enam", "apac"] as const;
const capped = termsOf({ consistency: "capped", windowMs: 3_600_000, units: 100 });
const QUOTA = `q:3600000:${T0 / 3_600_000}:api:k`;

type Change = "usage" | "override" | "use" | "regional" | "mint" | "lease" | "give";
type Fate = "both" | "push-lost" | "pull-lost" | "push-twice" | "push-late" | "pull-late";
type Step =
  | { readonly kind: "change"; readonly at: number; readonly what: Change; readonly n: number }
  | { readonly kind: "exchange"; readonly from: number; readonly to: number; readonly fate: Fate }
  | { readonly kind: "late"; readonly index: number }
  | { readonly kind: "restart"; readonly at: number };

const region = fc.nat(2);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("change" as const),
      at: region,
      what: fc.constantFrom<Change>("usage", "override", "use", "regional", "mint", "lease", "give"),
      n: fc.nat(3),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("exchange" as const),
      from: region,
      to: region,
      fate: fc.constantFrom<Fate>("both", "push-lost", "pull-lost", "push-twice", "push-late", "pull-late"),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("late" as const), index: fc.nat(50) }) },
);

/** What was done in all regions, by a model that only adds up. */
interface Model {
  hits: Map<string, number>;
  used: number;
  minted: Map<string, number>;
}

function change(hub: Hub, what: Change, n: number, model: Model): void {
  const key = `k${n}`;
  switch (what) {
    case "usage":
      addUsage(hub, "hits", key, n + 1, T0);
      model.hits.set(key, (model.hits.get(key) ?? 0) + n + 1);
      return;
    case "override":
      writeOverride(hub, key, n === 0 ? null : { until: T0 + 60_000, cursor: n }, T0);
      return;
    case "use":
      noteUse(hub, termsOf({ key }), "s", T0, n + 1, T0);
      model.used += n + 1;
      return;
    case "regional":
      noteUse(hub, termsOf({ key, consistency: "regional" }), "s", T0, n + 1, T0);
      return;
    case "mint": {
      const total = (model.minted.get(hub.region) ?? 0) + n;
      model.minted.set(hub.region, total);
      const refill = { name: QUOTA, terms: capped, period: 0, slot: hub.durableSlot, want: n, minted: 0 };
      acceptMint(hub, { ...refill, from: "ledger" }, total, 1, T0);
      return;
    }
    case "lease":
      leaseRights(hub, { terms: capped, need: 1, want: n, held: 0, unreported: 0 }, "s", T0);
      return;
    case "give":
      giveRights(hub, QUOTA, `${REGIONS[n % 3]}.0.0.0`, n, T0);
  }
}

interface Letter {
  readonly to: number;
  readonly message: GossipMessage;
}

/** How much of a message that must not be refused was news. */
function merge(hub: Hub, message: GossipMessage): number {
  const outcome = receiveMessage(hub, message, T0);
  if (outcome.kind === "refused") throw new Error(outcome.reason);
  return outcome.raised;
}

/** The shared states with something in them; windows with the horizon that the clock allows. */
function shared(hub: Hub): Map<string, Replicated> {
  const states = new Map<string, Replicated>();
  for (const [name, state] of hub.states) {
    const copy = copyState(state);
    if (copy.kind === "sliding-window") isEmptyAfter(copy, name, T0);
    if (isShared(name) && countRows(copy) > 0) states.set(name, copy);
  }
  return states;
}

/** Units of the global limit in all keys. */
function usedIn(hub: Hub): number {
  let units = 0;
  for (const [name, state] of hub.states) {
    if (!name.startsWith("w:") || state.kind !== "sliding-window") continue;
    units += windowTotal(state, T0, cellsOf(termsOf().windowMs).cellMs);
  }
  return units;
}

const restart = fc.record({ kind: fc.constant("restart" as const), at: region });
const length = { minLength: 10, maxLength: 60, size: "max" } as const;

/** Hubs and what they have stored, under a network that loses, doubles and keeps messages. */
class World {
  readonly hubs = metHubs(REGIONS);
  readonly rows = REGIONS.map(() => new Rows());
  readonly model: Model = { hits: new Map(), used: 0, minted: new Map() };
  late: Letter[] = [];
  readonly seen = new Set<string>();

  take(next: Step): void {
    switch (next.kind) {
      case "change":
        change(this.hubs[next.at], next.what, next.n, this.model);
        this.rows[next.at].store(this.hubs[next.at]);
        return;
      case "exchange":
        this.seen.add(next.fate);
        if (next.from !== next.to) this.#talk(next.from, next.to, next.fate);
        return;
      case "restart":
        this.rows[next.at].store(this.hubs[next.at]);
        this.hubs[next.at] = this.rows[next.at].start(REGIONS[next.at], T0);
        // A call that is under way ends with the object that it was made to.
        this.late = this.late.filter(({ to }) => to !== next.at);
        return;
      case "late": {
        if (this.late.length === 0) return;
        // It stays in the list: it may come again.
        const { to, message } = this.late[next.index % this.late.length];
        receiveMessage(this.hubs[to], message, T0);
      }
    }
  }

  #talk(at: number, other: number, fate: Fate): void {
    const [from, to] = [this.hubs[at], this.hubs[other]];
    for (const index of [at, other]) this.rows[index].store(this.hubs[index]);
    const message = arrived(structuredClone(messageTo(from, to.region, T0)));
    if (fate === "push-late") this.late.push({ to: other, message });
    const isLost = fate === "push-lost" || fate === "push-late";
    if (!isLost) merge(to, message);
    if (fate === "push-twice" && merge(to, message) > 0) throw new Error("the second copy was news");
    const reply = isLost ? null : messageTo(to, from.region, T0);
    if (fate === "pull-late" && reply !== null) this.late.push({ to: at, message: reply });
    if (reply === null || fate === "pull-late" || fate === "pull-lost") noteFailure(peerOf(from, to.region));
    else merge(from, reply);
  }
}

/** What two hubs do not agree on, by name. */
function differences(one: Hub, other: Hub): string[] {
  const [left, right] = [shared(one), shared(other)];
  return [...new Set([...left.keys(), ...right.keys()])].filter((name) => {
    const [mine, theirs] = [left.get(name), right.get(name)];
    return mine === undefined || theirs === undefined || !sameState(mine, theirs);
  });
}

it("hubs agree on every shared state after lossy exchanges, and the sums are those of what was done", () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(fc.array(step, length), (steps) => {
      const { hubs, model, ...world } = playOut(steps, seen);
      expect(world.differing).toEqual([]);
      for (const hub of hubs) {
        for (const [key, sum] of model.hits) expect(valueIn(hub, "hits", key)).toBe(sum);
        expect(usedIn(hub)).toBe(model.used);
      }
    }),
    { numRuns: 500 },
  );
  expect(seen.size).toBe(6);
});

it("hubs that start anew in between agree as well, and lose nothing that was stored (C 5: 29)", () => {
  const seen = new Set<string>();
  const steps = fc.oneof({ weight: 10, arbitrary: step }, { weight: 1, arbitrary: restart });
  fc.assert(
    fc.property(fc.array(steps, length), (all) => {
      const { hubs, model, ...world } = playOut(all, seen);
      expect(world.differing).toEqual([]);
      for (const hub of hubs) {
        for (const [key, sum] of model.hits) expect(valueIn(hub, "hits", key)).toBe(sum);
        expect(usedIn(hub)).toBeLessThanOrEqual(model.used);
        expect(hub.durableEpoch).toBe(0);
      }
    }),
    { numRuns: 500 },
  );
});

function textOf(readings: Readonly<Record<string, unknown>>): string {
  const names = Object.keys(readings).toSorted();
  return JSON.stringify(names.map((name) => [name, readings[name]]));
}

function playOut(steps: readonly Step[], seen: Set<string>) {
  const world = new World();
  for (const next of steps) world.take(next);
  for (const fate of world.seen) seen.add(fate);
  const { hubs, model } = world;
  settle(hubs, T0);
  const differing = hubs.slice(1).flatMap((hub) => differences(hubs[0], hub));
  const readings = new Set(hubs.map((hub) => textOf(readOverrides(hub, T0))));
  return { hubs, model, differing: readings.size === 1 ? differing : [...differing, "overrides"] };
}

it("whoever comes last catches up by gossip alone, also with what it missed of third regions (C 5: 26)", () => {
  const [weur, enam] = metHubs(["weur", "enam"]);
  for (const hub of [weur, enam]) addUsage(hub, "hits", "k", 5, T0);
  settle([weur, enam], T0);
  const apac = usedHub("apac");
  addUsage(apac, "hits", "k", 1, T0);
  peerOf(apac, "weur");
  settle([weur, enam, apac], T0);
  for (const hub of [weur, enam, apac]) {
    expect(valueIn(hub, "hits", "k")).toBe(11);
    expect([...hub.peers.keys()].toSorted()).toEqual(
      ["apac", "enam", "weur"].filter((r) => r !== hub.region),
    );
  }
});

it("both sides of a split go on counting, and nothing of it is lost when it heals (C 5: 27, 28)", () => {
  const hubs = metHubs(["weur", "enam", "apac", "sam", "oc"]);
  const [one, other] = [hubs.slice(0, 3), hubs.slice(3)];
  for (const hub of hubs) addUsage(hub, "hits", "k", 1, T0);
  settle(one, T0);
  settle(other, T0);
  expect(hubs.map((hub) => valueIn(hub, "hits", "k"))).toEqual([3, 3, 3, 2, 2]);
  for (const hub of hubs) addUsage(hub, "hits", "k", 10, T0);
  settle(hubs, T0);
  expect(hubs.map((hub) => valueIn(hub, "hits", "k"))).toEqual([55, 55, 55, 55, 55]);
});
