// Usage counters in one hub: what is added, what is read, and what happens at their bounds.

import { describe, expect, it } from "vitest";
import { describeHub } from "../../../src/hub/description.ts";
import { MAX_STATES } from "../../../src/hub/hub.ts";
import { createGCounter } from "../../../src/crdt/g-counter.ts";
import { PEER_GONE_MS } from "../../../src/hub/peers.ts";
import { OVERFLOW_KEY, addUsage, readUsage } from "../../../src/hub/usage.ts";
import { ROUND_MS, T0, exchange, metHubs, settle, usedHub, valueIn } from "./hubs.ts";

describe("a usage counter", () => {
  it("adds up over regions, each in its own slot (C 5: 2, 16)", () => {
    const hubs = metHubs(["weur", "enam", "apac"]);
    for (const [index, hub] of hubs.entries()) addUsage(hub, "hits", "k", 10 ** index, T0);
    settle(hubs, T0);
    for (const hub of hubs) {
      const { value, slots } = readUsage(hub, "hits", "k", ROUND_MS, T0);
      expect(value).toBe(111);
      expect(slots).toEqual({ "apac.0.0.0": 100, "enam.0.0.0": 10, "weur.0.0.0": 1 });
    }
  });

  it("that nobody has added to reads 0 (C 5: 1), and reading makes no state", () => {
    const hub = usedHub("weur");
    const before = hub.states.size;
    expect(readUsage(hub, "hits", "k", ROUND_MS, T0)).toEqual({
      value: 0,
      slots: {},
      ageMs: 0,
      boundMs: 3 * ROUND_MS,
    });
    expect(hub.states.size).toBe(before);
  });

  it("may be called as what every object has", () => {
    const hub = usedHub("weur");
    for (const name of ["constructor", "toString", "hits"]) addUsage(hub, name, "k", 2, T0);
    addUsage(hub, "toString", "l", 3, T0);
    expect(describeHub(hub, T0).counters).toEqual({ constructor: 2, toString: 5, hits: 2 });
  });

  it("says when it can hold no more, and keeps what it has", () => {
    const hub = usedHub("weur");
    expect(addUsage(hub, "hits", "k", Number.MAX_SAFE_INTEGER, T0)).toBe("added");
    expect(addUsage(hub, "hits", "k", 1, T0)).toBe("overflow");
    expect(valueIn(hub, "hits", "k")).toBe(Number.MAX_SAFE_INTEGER);
  });

  it("counts new keys under one that stands for the rest when the hub is full", () => {
    const hub = usedHub("weur");
    addUsage(hub, "hits", "known", 1, T0);
    for (let index = hub.states.size; index < MAX_STATES - 1; index++) {
      hub.states.set(`u:full:${index}`, createGCounter());
    }
    addUsage(hub, "hits", "last", 1, T0);
    expect(hub.states.size).toBe(MAX_STATES);
    for (const key of ["new", "newer", "new"]) addUsage(hub, "hits", key, 2, T0);
    addUsage(hub, "hits", "known", 1, T0);
    expect(["known", "last", "new", "newer", OVERFLOW_KEY].map((key) => valueIn(hub, "hits", key))).toEqual([
      2, 1, 0, 0, 6,
    ]);
    expect(hub.states.size).toBe(MAX_STATES + 1);
  });
});

describe("a reading", () => {
  it("is as old as the region that was heard longest ago, and bounded while all answer", () => {
    const hubs = metHubs(["weur", "enam", "apac"]);
    const [weur, enam] = hubs;
    exchange(weur, enam, T0 + 2000);
    const read = (now: number) => readUsage(weur, "hits", "k", ROUND_MS, now);
    expect(read(T0 + 2500)).toMatchObject({ ageMs: 2500, boundMs: 3000 });
    expect(read(T0 + 3000)).toMatchObject({ ageMs: 3000, boundMs: 3000 });
    expect(read(T0 + 3001)).toMatchObject({ ageMs: 3001, boundMs: null });
  });

  it("no longer waits for a region that has been silent for PEER_GONE_MS, and still counts it", () => {
    const [weur, enam] = metHubs(["weur", "enam"]);
    addUsage(enam, "hits", "k", 4, T0);
    exchange(enam, weur, T0);
    const read = (now: number) => readUsage(weur, "hits", "k", ROUND_MS, now);
    expect(read(T0 + PEER_GONE_MS)).toMatchObject({ value: 4, ageMs: PEER_GONE_MS, boundMs: null });
    expect(read(T0 + PEER_GONE_MS + 1)).toMatchObject({ value: 4, ageMs: 0, boundMs: 3000 });
  });
});
