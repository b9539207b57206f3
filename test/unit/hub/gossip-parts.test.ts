// A delta that is too large for one message comes in parts, and counts when all have come in a row (C 5: 22).

import { describe, expect, it } from "vitest";
import type { SlotId } from "../../../src/crdt/slot-id.ts";
import { addToGCounter, createGCounter } from "../../../src/crdt/g-counter.ts";
import type { GossipMessage } from "../../../src/hub/gossip.ts";
import { receiveMessage } from "../../../src/hub/gossip.ts";
import { MAX_CHUNKS, MAX_CHUNK_ROWS } from "../../../src/hub/gossip-delta.ts";
import type { Hub } from "../../../src/hub/hub.ts";
import { nextVersion } from "../../../src/hub/hub.ts";
import { peerOf } from "../../../src/hub/peers.ts";
import { noteFailure } from "../../../src/hub/rounds.ts";
import { addUsage } from "../../../src/hub/usage.ts";
import { T0, exchange, messageTo, metHubs, settle, valueIn } from "./hubs.ts";

const ROWS_EACH = MAX_CHUNK_ROWS / 2;
const STATES_PER_MESSAGE = (MAX_CHUNKS * MAX_CHUNK_ROWS) / ROWS_EACH;

/** Adds counters of many rows each, as so many epochs of a region would leave them. */
function addLarge(hub: Hub, count: number, prefix = "a"): void {
  const large = createGCounter();
  for (let epoch = 0; epoch < ROWS_EACH; epoch++) {
    const slot: SlotId = `${hub.region}.0.0.${epoch}`;
    addToGCounter(large, slot, 1, 1);
  }
  for (let index = 0; index < count; index++) {
    const version = nextVersion(hub, T0);
    const { ids, values } = large.cells;
    const versions = ids.map(() => version);
    const cells = { width: 1, ids: ids.slice(), values: values.slice(), versions, version };
    hub.states.set(`u:${prefix}:${String(index).padStart(4, "0")}`, { kind: "g-counter", cells });
  }
}

/** All parts that a hub sends until one of them says that it is the last. */
function partsOf(hub: Hub, to: string): GossipMessage[] {
  const parts: GossipMessage[] = [];
  do parts.push(messageTo(hub, to, T0));
  while (parts.at(-1)?.version === 0 && parts.length < 100);
  return parts;
}

/** The parts arrive, all but one; gives what the receiver then has acknowledged. */
function arriveBut(hub: Hub, parts: readonly GossipMessage[], lost: number | null): number {
  for (const part of parts.filter((_, index) => index !== lost)) {
    expect(receiveMessage(hub, part, T0).kind).toBe("merged");
  }
  return messageTo(hub, parts[0].from, T0).ackVersion;
}

describe("a large delta", () => {
  it("comes in parts of so many rows, in the order of names, and its version with the last one", () => {
    const [weur, enam] = metHubs(["weur", "enam"]);
    addLarge(weur, 2 * STATES_PER_MESSAGE + 1);
    const parts = partsOf(weur, "enam");
    expect(parts.map(({ part, version }) => [part, version])).toEqual([
      [0, 0],
      [1, 0],
      [2, weur.version],
    ]);
    expect(parts.map(({ chunks }) => chunks.length)).toEqual([MAX_CHUNKS, MAX_CHUNKS, 1]);
    expect(arriveBut(enam, parts, null)).toBe(weur.version);
    expect(enam.states.size).toBe(weur.states.size);
  });

  it("that just fits into one message is no part of anything", () => {
    const [weur] = metHubs(["weur", "enam"]);
    addLarge(weur, STATES_PER_MESSAGE);
    expect(partsOf(weur, "enam").map(({ part, version }) => [part, version])).toEqual([[0, weur.version]]);
    addLarge(weur, 1, "b");
    expect(partsOf(weur, "enam")).toHaveLength(2);
  });

  it.for([0, 1, 2])("does not count when part %i was lost, and comes again from the start", (lost) => {
    const [weur, enam] = metHubs(["weur", "enam"]);
    const before = messageTo(enam, "weur", T0).ackVersion;
    addLarge(weur, 2 * STATES_PER_MESSAGE + 1);
    const parts = partsOf(weur, "enam");
    expect(arriveBut(enam, parts, lost)).toBe(before);
    noteFailure(peerOf(weur, "enam"));
    receiveMessage(weur, messageTo(enam, "weur", T0), T0);
    const again = partsOf(weur, "enam");
    expect(again.map(({ part }) => part)).toEqual([0, 1, 2]);
    expect(arriveBut(enam, again, null)).toBe(weur.version);
    expect(enam.states.size).toBe(weur.states.size);
  });

  it("does not count when its parts come in another order, or without the first", () => {
    for (const order of [[2], [0, 2, 1], [1, 2]]) {
      const [weur, enam] = metHubs(["weur", "enam"]);
      const before = messageTo(enam, "weur", T0).ackVersion;
      addLarge(weur, 2 * STATES_PER_MESSAGE + 1);
      const parts = partsOf(weur, "enam");
      const inOrder = order.map((at) => parts[at]);
      expect(arriveBut(enam, inOrder, null)).toBe(before);
      expect(arriveBut(enam, parts, null)).toBe(parts[2].version);
    }
  });

  it("leaves what changes meanwhile to the next one", () => {
    const [weur, enam] = metHubs(["weur", "enam"]);
    addLarge(weur, STATES_PER_MESSAGE + 1, "b");
    const target = weur.version;
    const first = messageTo(weur, "enam", T0);
    addUsage(weur, "a", "earlier-name", 7, T0);
    addUsage(weur, "c", "later-name", 7, T0);
    const second = messageTo(weur, "enam", T0);
    expect([first.version, second.version]).toEqual([0, target]);
    expect(arriveBut(enam, [first, second], null)).toBe(target);
    expect(valueIn(enam, "a", "earlier-name")).toBe(0);
    settle([weur, enam], T0);
    expect(valueIn(enam, "a", "earlier-name")).toBe(7);
    expect(valueIn(enam, "c", "later-name")).toBe(7);
  });

  it("goes on with the answers of a peer that asks, one part to each", () => {
    const [weur, enam] = metHubs(["weur", "enam"]);
    addLarge(weur, 3 * STATES_PER_MESSAGE);
    for (let times = 0; times < 3; times++) {
      expect(enam.states.has(`u:a:${String(3 * STATES_PER_MESSAGE - 1).padStart(4, "0")}`)).toBe(false);
      exchange(enam, weur, T0);
    }
    expect(enam.states.size).toBe(weur.states.size);
    exchange(enam, weur, T0);
    expect(peerOf(weur, "enam").acked).toBe(weur.version);
  });
});
