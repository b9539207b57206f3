// What a hub stores and what becomes of it after a restart (C 5: 29).

import { describe, expect, it } from "vitest";
import { sameState } from "../../../src/crdt/replicated.ts";
import { encodeStates } from "../../../src/crdt/encode.ts";
import { createGCounter } from "../../../src/crdt/g-counter.ts";
import { createPnCounter } from "../../../src/crdt/pn-counter.ts";
import type { Hub } from "../../../src/hub/hub.ts";
import { bootHub } from "../../../src/hub/hub.ts";
import { isDurable, usageName } from "../../../src/hub/names.ts";
import { writeOverride } from "../../../src/hub/overrides.ts";
import { acceptMint, leaseRights } from "../../../src/hub/quota-book.ts";
import { hasUnstored, readStoredHub, takeCommit } from "../../../src/hub/storage.ts";
import { addUsage } from "../../../src/hub/usage.ts";
import { fc } from "../resilience/property.ts";
import { Rows, T0, exchange, reportOf, settle, syncOf, synced, termsOf, usedHub, valueIn } from "./hubs.ts";

type Step = readonly [kind: "usage" | "override" | "mint" | "use" | "session" | "foreign", n: number];

const steps = fc.array(
  fc.tuple(fc.constantFrom("usage", "override", "mint", "use", "session", "foreign"), fc.nat(5)),
  { minLength: 1, maxLength: 30 },
) as fc.Arbitrary<Step[]>;

const capped = termsOf({ consistency: "capped", windowMs: 60_000, units: 50 });

function take(hub: Hub, other: Hub, [kind, n]: Step): void {
  switch (kind) {
    case "usage":
      addUsage(hub, "hits", `k${n}`, n + 1, T0);
      return;
    case "override":
      writeOverride(hub, `up${n}`, n === 0 ? null : { until: T0 + n * 1000, cursor: n }, T0);
      return;
    case "mint": {
      const period = Math.floor(T0 / capped.windowMs);
      const name = `q:60000:${period}:api:k`;
      const refill = { name, terms: capped, period, slot: hub.durableSlot, want: 1, minted: 0 };
      acceptMint(hub, { ...refill, from: "ledger" }, 5 * n, 1, T0);
      leaseRights(hub, { terms: capped, need: 1, want: n, held: 0, unreported: 0 }, "s", T0);
      return;
    }
    case "session":
    case "use": {
      const id = `s${n}`;
      const seq = (hub.sessions.get(id)?.seq ?? 0) + 1;
      const uses = kind === "use" ? [{ terms: termsOf(), at: T0, units: 1 }] : [];
      const counts = kind === "use" ? [] : [{ counter: "batched", key: id, by: 1 }];
      synced(hub, syncOf("weur", id, reportOf(id, seq, { uses, counts })));
      return;
    }
    case "foreign":
      addUsage(other, "hits", `k${n}`, n + 1, T0);
      exchange(other, hub, T0);
  }
}

describe("a hub's rows", () => {
  it("give back every stored state and session of a hub, and none of what lives in memory", () => {
    fc.assert(
      fc.property(steps, (all) => {
        const rows = new Rows();
        const hub = rows.start("weur", T0);
        const other = usedHub("enam");
        for (const [index, next] of all.entries()) {
          take(hub, other, next);
          if (index % 3 === 0) rows.store(hub);
        }
        rows.store(hub, true);
        expect(hasUnstored(hub)).toBe(false);
        expect(takeCommit(hub, true)).toBeNull();
        const again = rows.start("weur", T0);
        const durable = [...hub.states].filter(([name]) => isDurable(name));
        // What holds no row yet was never written.
        expect([...again.states.keys()].toSorted()).toEqual(
          durable
            .map(([name]) => name)
            .filter((name) => rows.states.has(name))
            .toSorted(),
        );
        for (const [name, state] of again.states) {
          const before = hub.states.get(name);
          expect(before !== undefined && sameState(before, state)).toBe(true);
        }
        for (const [id, { seq }] of again.sessions) {
          expect(hub.sessions.get(id)?.seq).toBeGreaterThanOrEqual(seq);
        }
        expect([...again.sessions.keys()].toSorted()).toEqual([...hub.sessions.keys()].toSorted());
        expect(again.overridden).toEqual(hub.overridden);
      }),
    );
  });

  it("are written for what has changed since the last commit, and for nothing else", () => {
    const hub = usedHub("weur");
    addUsage(hub, "hits", "a", 1, T0);
    expect(takeCommit(hub, false)?.states.map(([name]) => name)).toEqual(["m", "u:hits:a"]);
    addUsage(hub, "hits", "b", 1, T0);
    addUsage(hub, "hits", "b", 1, T0);
    const commit = takeCommit(hub, false);
    expect(commit).toMatchObject({ meta: false, sessions: [], droppedSessions: [] });
    expect(commit?.states.map(([name]) => name)).toEqual(["u:hits:b"]);
    expect(takeCommit(hub, true)).toBeNull();
  });

  it("of other regions wait for a commit that takes them, and hold up no answer", () => {
    const [hub, other] = [usedHub("weur"), usedHub("enam")];
    settle([hub, other], T0);
    takeCommit(hub, true);
    addUsage(other, "hits", "k", 1, T0);
    exchange(other, hub, T0);
    expect(hasUnstored(hub)).toBe(false);
    expect(takeCommit(hub, false)).toBeNull();
    expect(takeCommit(hub, true)?.states.map(([name]) => name)).toEqual(["u:hits:k"]);
  });

  it("that this version cannot read are left out and left alone", () => {
    const rows = new Rows();
    const hub = rows.start("weur", T0);
    addUsage(hub, "hits", "k", 3, T0);
    rows.store(hub);
    const counter = rows.states.get("u:hits:k") ?? new Uint8Array();
    const wrongKind = encodeStates([{ name: "u:hits:z", state: createPnCounter() }]);
    const two = ["a", "b"].map((name) => ({ name, state: createGCounter() }));
    const both = encodeStates(two);
    if (wrongKind.kind !== "encoded" || both.kind !== "encoded") throw new Error("encoding");
    const unreadable: [string, Uint8Array][] = [
      ["z:new:family", counter],
      ["u:hits:broken", counter.slice(0, -1)],
      ["u:hits:newer", Uint8Array.from(counter, (byte, at) => (at === 2 ? 2 : byte))],
      ["u:hits:empty", new Uint8Array()],
      ["u:hits:wrong-kind", wrongKind.bytes],
      ["u:hits:two", both.bytes],
    ];
    for (const [name, bytes] of unreadable) rows.states.set(name, bytes);
    const again = rows.start("weur", T0);
    expect([...again.states.keys()]).toEqual(["u:hits:k"]);
    addUsage(again, "hits", "k", 1, T0);
    rows.store(again, true);
    for (const [name, bytes] of unreadable) expect(rows.states.get(name)).toEqual(bytes);
    expect(valueIn(rows.start("weur", T0), "hits", "k")).toBe(4);
  });
});

describe("a restart", () => {
  it("changes the slot of what lives in memory and keeps that of what is stored", () => {
    const rows = new Rows();
    const boots = [1, 2, 3].map(() => rows.start("weur", T0));
    const [first, second, third] = boots.map(({ boot }) => boot);
    expect(second).toBeGreaterThan(first);
    expect(third).toBeGreaterThan(second);
    expect(boots.map(({ ephemeralSlot }) => ephemeralSlot)).toEqual(
      [first, second, third].map((boot) => `weur.0.0.${boot}`),
    );
    expect(boots.map(({ durableSlot }) => durableSlot)).toEqual(["weur.0.0.0", "weur.0.0.0", "weur.0.0.0"]);
  });

  it("has a number that no boot before had, also when the count of boots was lost", () => {
    const lost = new Rows().start("weur", T0);
    const later = new Rows().start("weur", T0 + 1000);
    expect(later.boot).toBeGreaterThan(lost.boot);
    const counted = new Rows();
    counted.boot = later.boot + 7;
    expect(counted.start("weur", T0).boot).toBe(later.boot + 8);
  });

  it("loses what was not stored, and the count goes on from what was", () => {
    const rows = new Rows();
    const hub = rows.start("weur", T0);
    addUsage(hub, "hits", "k", 5, T0);
    rows.store(hub);
    addUsage(hub, "hits", "k", 7, T0);
    const again = rows.start("weur", T0);
    expect(valueIn(again, "hits", "k")).toBe(5);
    addUsage(again, "hits", "k", 1, T0);
    expect(valueIn(again, "hits", "k")).toBe(6);
  });

  it("does not let a hub change what was handed to it, nor what it hands out", () => {
    const counter = createGCounter();
    const stored = { boot: 4, durableEpoch: 2, states: new Map([[usageName("hits", "k"), counter]]) };
    const hub = bootHub("weur", 0, { ...stored, sessions: new Map() }, T0);
    addUsage(hub, "hits", "k", 5, T0);
    expect(counter.cells.ids).toEqual([]);
    const commit = takeCommit(hub, true);
    const bytes = commit?.states.find(([name]) => name === "u:hits:k")?.[1]?.slice();
    addUsage(hub, "hits", "k", 5, T0);
    expect(commit?.states.find(([name]) => name === "u:hits:k")?.[1]).toEqual(bytes);
    const read = readStoredHub({ boot: 4, durableEpoch: 2, states: [], sessions: [["s", 7]] });
    bootHub("weur", 0, read, T0).sessions.clear();
    expect(read.sessions.get("s")).toBe(7);
  });
});
