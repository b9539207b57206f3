// Deltas that do not fit: long names, states that no message can carry, parts of different deltas.

import { describe, expect, it } from "vitest";
import { addToGCounter, createGCounter } from "../../../src/crdt/g-counter.ts";
import { MAX_MESSAGE_BYTES, MAX_MESSAGE_IDS } from "../../../src/crdt/wire-format.ts";
import { MAX_CHUNKS } from "../../../src/hub/gossip-delta.ts";
import type { GossipMessage } from "../../../src/hub/gossip.ts";
import { composeHello, receiveMessage } from "../../../src/hub/gossip.ts";
import type { Hub } from "../../../src/hub/hub.ts";
import { peerOf } from "../../../src/hub/peers.ts";
import { addUsage } from "../../../src/hub/usage.ts";
import { ROUND_MS, T0, exchange, messageTo, metHubs, settle, usedHub, valueIn } from "./hubs.ts";

function addMany(hub: Hub, count: number, prefix: string, suffix = ""): void {
  for (let at = 0; at < count; at++) {
    addUsage(hub, "hits", `${prefix}${String(at).padStart(6, "0")}${suffix}`, 1, T0);
  }
}

/** The message as a hub sends it that does not know of these fields. */
function older({ since: _since, target: _target, ...message }: GossipMessage): GossipMessage {
  return message;
}

/** The messages of one whole delta. */
function partsOf(from: Hub, to: string): GossipMessage[] {
  const parts = [messageTo(from, to, T0)];
  while (parts.at(-1)?.version === 0) parts.push(messageTo(from, to, T0));
  return parts;
}

describe("a delta", () => {
  it("of long names that are not ASCII goes in chunks of as many bytes as a message may have", () => {
    const [weur, enam] = metHubs(["weur", "enam"]);
    addMany(weur, 2_000, "", "中".repeat(200));
    const message = messageTo(weur, "enam", T0);
    expect(message.chunks.length).toBeGreaterThan(1);
    expect(message.chunks.every(({ length }) => length <= MAX_MESSAGE_BYTES)).toBe(true);
    exchange(weur, enam, T0);
    expect(enam.states.size).toBe(weur.states.size);
    expect(peerOf(weur, "enam").acked).toBe(weur.version);
  });

  it("of more chunks than a message may have goes on where it ended", () => {
    const [weur, enam] = metHubs(["weur", "enam"]);
    addMany(weur, 40_000, "", "中".repeat(200));
    const parts = partsOf(weur, "enam");
    expect(parts.length).toBeGreaterThan(1);
    expect(Math.max(...parts.map(({ chunks }) => chunks.length))).toBe(MAX_CHUNKS);
    for (const part of parts) receiveMessage(enam, part, T0);
    expect(enam.states.size).toBe(weur.states.size);
    expect(peerOf(enam, "weur").merged).toBe(weur.version);
  });

  it("goes without a state that no message can carry, which is counted", () => {
    const [weur, enam] = metHubs(["weur", "enam"]);
    const crowded = createGCounter();
    for (let epoch = 0; epoch <= MAX_MESSAGE_IDS; epoch++) {
      addToGCounter(crowded, `weur.0.0.${epoch}`, 1, weur.version + 1);
    }
    addUsage(weur, "hits", "a", 1, T0);
    weur.states.set("u:hits:crowded", crowded);
    addUsage(weur, "hits", "z", 2, T0);
    exchange(weur, enam, T0);
    expect(["a", "crowded", "z"].map((key) => valueIn(enam, "hits", key))).toEqual([1, 0, 2]);
    expect(weur.tally.unsendable).toBe(1);
    exchange(weur, enam, T0 + ROUND_MS);
    expect(weur.tally.unsendable).toBe(1);
  });

  it("is not whole with a part of an older one in place of one that was lost", { timeout: 30_000 }, () => {
    const [weur, enam] = metHubs(["weur", "enam"]);
    addMany(weur, 70_000, "a");
    const old = [messageTo(weur, "enam", T0), messageTo(weur, "enam", T0)];
    expect(old.map(({ part, version }) => [part, version])).toEqual([
      [0, 0],
      [1, 0],
    ]);
    // The exchange failed, and what comes now sorts before.
    peerOf(weur, "enam").resume = null;
    addMany(weur, 40_000, "0");
    const parts = partsOf(weur, "enam");
    receiveMessage(enam, parts[0], T0);
    receiveMessage(enam, old[1], T0);
    for (const part of parts.slice(2)) receiveMessage(enam, part, T0);
    expect(peerOf(enam, "weur").merged).toBeLessThan(weur.version);
    settle([weur, enam], T0);
    expect(enam.states.size).toBe(weur.states.size);
  });

  it("is whole although a part came twice, and one of an older one between", { timeout: 30_000 }, () => {
    const [weur, enam] = metHubs(["weur", "enam"]);
    addMany(weur, 70_000, "a");
    const old = messageTo(weur, "enam", T0);
    const late = messageTo(weur, "enam", T0);
    expect(old.version).toBe(0);
    peerOf(weur, "enam").resume = null;
    addMany(weur, 1, "0");
    const parts = partsOf(weur, "enam");
    const arriving = [parts[0], late, parts[1], parts[1], ...parts.slice(2)];
    for (const part of arriving) receiveMessage(enam, part, T0);
    expect(peerOf(enam, "weur").merged).toBe(weur.version);
  });
});

describe("a message of a hub that does not say what its delta builds on", () => {
  it("is understood", () => {
    const [weur, enam] = [usedHub("weur"), usedHub("enam")];
    addMany(weur, 70_000, "a");
    receiveMessage(enam, older(composeHello(weur)), T0);
    for (let round = 0; round < 8; round++) {
      receiveMessage(enam, older(messageTo(weur, "enam", T0)), T0);
      receiveMessage(weur, older(messageTo(enam, "weur", T0)), T0);
    }
    expect(enam.states.size).toBe(weur.states.size);
    expect(peerOf(weur, "enam").acked).toBe(weur.version);
  });

  it("is not taken for everything by a boot that its sender does not know of", () => {
    const [weur] = metHubs(["weur", "enam"]);
    addUsage(weur, "hits", "second", 1, T0);
    const again = usedHub("enam", T0 + 1_000_000);
    receiveMessage(again, older(messageTo(weur, "enam", T0)), T0 + 1_000_000);
    expect(valueIn(again, "hits", "second")).toBe(1);
    expect(peerOf(again, "weur").merged).toBe(0);
  });
});
