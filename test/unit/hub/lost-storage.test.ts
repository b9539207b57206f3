// A hub that has lost all that it had stored, and goes on counting before it hears of that: what it added
// moves to its new identity when a peer shows the old one's greater number.

import { describe, expect, it } from "vitest";
import { composeHello, receiveMessage } from "../../../src/hub/gossip.ts";
import type { Hub } from "../../../src/hub/hub.ts";
import { announceUse } from "../../../src/hub/membership.ts";
import { addUsage, readUsage } from "../../../src/hub/usage.ts";
import { ROUND_MS, Rows, T0, exchange, settle, usedHub, valueIn } from "./hubs.ts";

const LATER = T0 + 60_000;

/** Peers that know so much of weur, and weur without anything stored. */
function afterLoss(known: readonly Readonly<Record<string, number>>[]): {
  readonly peers: readonly Hub[];
  readonly rows: Rows;
  readonly fresh: Hub;
} {
  const peers = known.map((counts, at) => {
    const peer = usedHub(["enam", "apac", "oc"][at]);
    const before = new Rows().start("weur", T0);
    announceUse(before, T0);
    for (const [key, by] of Object.entries(counts)) addUsage(before, "hits", key, by, T0);
    settle([peer, before], T0);
    return peer;
  });
  const rows = new Rows();
  const fresh = rows.start("weur", LATER);
  announceUse(fresh, LATER);
  return { peers, rows, fresh };
}

function add(hub: Hub, key: string, by: number): void {
  addUsage(hub, "hits", key, by, LATER);
}

describe("what a hub added after it had lost its storage", () => {
  it("comes on top of what a peer knows, in a slot of its own", () => {
    const { peers, fresh, rows } = afterLoss([{ k: 100 }]);
    add(fresh, "k", 5);
    rows.store(fresh);
    receiveMessage(peers[0], composeHello(fresh), LATER);
    exchange(fresh, peers[0], LATER);
    expect(fresh.unstored).toContain("u:hits:k");
    settle([fresh, peers[0]], LATER);
    expect([fresh, peers[0]].map((hub) => valueIn(hub, "hits", "k"))).toEqual([105, 105]);
    const { slots } = readUsage(fresh, "hits", "k", ROUND_MS, LATER);
    expect(slots).toEqual({ "weur.0.0.0": 100, [fresh.durableSlot]: 5 });
  });

  it("is counted once, whichever of two peers is heard first and knows more", () => {
    for (const known of [
      [{ k: 100 }, { k: 60 }],
      [{ k: 60 }, { k: 100 }],
    ]) {
      const { peers, fresh } = afterLoss(known);
      add(fresh, "k", 5);
      settle([fresh, peers[0]], LATER);
      add(fresh, "k", 2);
      settle([fresh, ...peers], LATER);
      expect([fresh, ...peers].map((hub) => valueIn(hub, "hits", "k"))).toEqual([107, 107, 107]);
    }
  });

  it("is counted once also where a third region got it under the old identity", () => {
    const { peers, fresh } = afterLoss([{ k: 100 }, {}]);
    add(fresh, "k", 5);
    settle([fresh, peers[1]], LATER);
    expect(valueIn(peers[1], "hits", "k")).toBe(5);
    settle([fresh, ...peers], LATER);
    expect(valueIn(peers[1], "hits", "k")).toBe(105);
  });

  it("moves key by key, also when the loss was proved by another key before", () => {
    const { peers, fresh } = afterLoss([{ first: 10 }, { second: 20 }]);
    add(fresh, "first", 1);
    add(fresh, "second", 2);
    settle([fresh, peers[0]], LATER);
    settle([fresh, ...peers], LATER);
    expect(["first", "second"].map((key) => valueIn(peers[0], "hits", key))).toEqual([11, 22]);
    expect(fresh.tally.amnesia).toBe(1);
  });

  it("moves also in a later boot, as long as no other region has been heard", () => {
    const { peers, fresh, rows } = afterLoss([{ k: 100 }]);
    add(fresh, "k", 5);
    rows.store(fresh, true);
    const again = rows.start("weur", LATER + 1_000);
    add(again, "k", 2);
    settle([again, peers[0]], LATER + 1_000);
    expect(valueIn(peers[0], "hits", "k")).toBe(107);
  });

  it("stays hidden where it is more than what was lost: that proves nothing", () => {
    const { peers, fresh } = afterLoss([{ k: 3 }]);
    add(fresh, "k", 5);
    settle([fresh, peers[0]], LATER);
    expect(valueIn(peers[0], "hits", "k")).toBe(5);
    expect(fresh.tally.amnesia).toBe(0);
  });
});

describe("what a hub had stored before it lost the rest", () => {
  it("is not counted again under the new identity", () => {
    const { peers, fresh, rows } = afterLoss([{}]);
    add(fresh, "k", 60);
    settle([fresh, peers[0]], LATER);
    rows.store(fresh, true);
    // 40 more are known to the peer, and then not stored here.
    add(fresh, "k", 40);
    settle([fresh, peers[0]], LATER);
    const again = rows.start("weur", LATER + 1_000);
    add(again, "k", 5);
    settle([again, peers[0]], LATER + 1_000);
    expect(valueIn(peers[0], "hits", "k")).toBe(105);
  });
});
