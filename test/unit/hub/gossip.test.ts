// What two hubs tell each other, message by message: what is sent again, what is believed, what is refused.

import { describe, expect, it } from "vitest";
import { encodeStates } from "../../../src/crdt/encode.ts";
import { decodeStates } from "../../../src/crdt/decode.ts";
import { createGCounter, addToGCounter } from "../../../src/crdt/g-counter.ts";
import { windowTotal } from "../../../src/crdt/sliding-window.ts";
import type { Replicated } from "../../../src/crdt/replicated.ts";
import type { SlotId } from "../../../src/crdt/slot-id.ts";
import type { GossipMessage } from "../../../src/hub/gossip.ts";
import { MAX_CHUNKS } from "../../../src/hub/gossip-delta.ts";
import { DIGEST_MS, composeHello, isMessage, owesPeer } from "../../../src/hub/gossip.ts";
import { receiveMessage } from "../../../src/hub/gossip.ts";
import type { Hub } from "../../../src/hub/hub.ts";
import { noteUse } from "../../../src/hub/limit-book.ts";
import { announceUse } from "../../../src/hub/membership.ts";
import { peerOf } from "../../../src/hub/peers.ts";
import { hasUnstored } from "../../../src/hub/storage.ts";
import { addUsage } from "../../../src/hub/usage.ts";
import { Rows, T0, contentOf, exchange, messageTo, metHubs, newHub, settle, termsOf } from "./hubs.ts";
import { usedHub, valueIn } from "./hubs.ts";

function namesIn({ chunks }: GossipMessage): string[] {
  return chunks.flatMap((chunk) => {
    const decoded = decodeStates(chunk);
    return decoded.kind === "decoded" ? decoded.entries.map(({ name }) => name) : ["undecodable"];
  });
}

function chunkOf(name: string, state: Replicated): Uint8Array {
  const encoded = encodeStates([{ name, state }]);
  if (encoded.kind === "refused") throw new Error(encoded.reason);
  return encoded.bytes;
}

function counterWith(...rows: readonly (readonly [slot: SlotId, by: number])[]): Replicated {
  const counter = createGCounter();
  for (const [slot, by] of rows) addToGCounter(counter, slot, by, 1);
  return counter;
}

/** A message of `from` with other contents than it would send. */
function sayingTo(to: string, from: Hub, chunks: Uint8Array[]): GossipMessage {
  return { ...messageTo(from, to, T0), chunks, digest: null };
}

describe("a message", () => {
  it("holds what the peer has not acknowledged, and nothing twice to one that has (C 5: 20)", () => {
    const [weur, enam] = metHubs(["weur", "enam"]);
    addUsage(weur, "hits", "a", 1, T0);
    expect(namesIn(messageTo(weur, "enam", T0))).toEqual(["u:hits:a"]);
    expect(namesIn(messageTo(weur, "enam", T0))).toEqual(["u:hits:a"]);
    exchange(weur, enam, T0);
    expect(owesPeer(weur, peerOf(weur, "enam"))).toBe(false);
    expect(messageTo(weur, "enam", T0).chunks).toEqual([]);
    addUsage(weur, "hits", "b", 1, T0);
    expect(namesIn(messageTo(weur, "enam", T0))).toEqual(["u:hits:b"]);
  });

  it("holds several changes of a state as one number (C 5: 21), and no rows of other regions", () => {
    const [weur, enam, apac] = metHubs(["weur", "enam", "apac"]);
    addUsage(apac, "hits", "foreign", 1, T0);
    exchange(apac, weur, T0);
    for (let times = 0; times < 5; times++) addUsage(weur, "hits", "own", 1, T0);
    const message = messageTo(weur, "enam", T0);
    expect(namesIn(message)).toEqual(["u:hits:own"]);
    expect(receiveMessage(enam, message, T0)).toMatchObject({ raised: 1 });
    expect(valueIn(enam, "hits", "own")).toBe(5);
  });

  it("never holds what belongs to the region alone", () => {
    const [weur, enam] = metHubs(["weur", "enam"]);
    noteUse(weur, termsOf({ consistency: "regional" }), "s", T0, 5, T0);
    noteUse(weur, termsOf(), "s", T0, 5, T0);
    expect(namesIn(messageTo(weur, "enam", T0))).toEqual(["w:167:api:k"]);
    exchange(weur, enam, T0);
    expect([...enam.states.keys()]).toEqual(["m", "w:167:api:k"]);
  });

  it("that came before changes nothing, and is no change to tell others of (C 5: 31)", () => {
    const [weur, enam] = metHubs(["weur", "enam"]);
    addUsage(weur, "hits", "k", 3, T0);
    const message = messageTo(weur, "enam", T0);
    expect(receiveMessage(enam, message, T0)).toMatchObject({ raised: 1 });
    expect(receiveMessage(enam, message, T0)).toEqual({ kind: "merged", raised: 0, amnesia: false });
    expect(namesIn(messageTo(enam, "apac", T0))).toEqual(["m"]);
    expect(valueIn(enam, "hits", "k")).toBe(3);
  });

  it("acknowledges nothing when it speaks of another boot, or of versions that there are not", () => {
    const [weur, enam] = metHubs(["weur", "enam"]);
    addUsage(weur, "hits", "k", 1, T0);
    exchange(weur, enam, T0);
    const peer = peerOf(weur, "enam");
    const acknowledging = messageTo(enam, "weur", T0);
    for (const wrong of [{ ackBoot: weur.boot - 1 }, { ackVersion: weur.version + 1 }]) {
      receiveMessage(weur, acknowledging, T0);
      expect(peer.acked).toBe(weur.version);
      receiveMessage(weur, { ...acknowledging, ...wrong }, T0);
      expect(peer.acked).toBe(0);
    }
    expect(namesIn(messageTo(weur, "enam", T0))).toContain("u:hits:k");
  });

  it("of a peer's new boot has it told everything, also what it wrote itself (C 5: 24, 26)", () => {
    const rows = new Rows();
    const weur = usedHub("weur");
    const enam = inUse(rows.start("enam", T0));
    settle([weur, enam], T0);
    addUsage(enam, "hits", "theirs", 4, T0);
    addUsage(weur, "hits", "ours", 2, T0);
    noteUse(enam, termsOf(), "s", T0, 9, T0);
    rows.store(enam);
    settle([weur, enam], T0);
    const again = rows.start("enam", T0);
    expect(valueIn(again, "hits", "ours")).toBe(0);
    receiveMessage(weur, messageTo(again, "weur", T0), T0);
    const answer = messageTo(weur, "enam", T0);
    expect(namesIn(answer)).toEqual(["m", "u:hits:ours", "u:hits:theirs", "w:167:api:k"]);
    receiveMessage(again, answer, T0);
    expect(valueIn(again, "hits", "ours")).toBe(2);
    expect(valueIn(again, "hits", "theirs")).toBe(4);
    const window = again.states.get("w:167:api:k");
    expect(window?.kind === "sliding-window" && windowTotal(window, T0, 167)).toBe(9);
  });
});

describe("a message that is none", () => {
  const [weur, enam] = metHubs(["weur", "enam"]);
  addUsage(enam, "hits", "k", 1, T0);
  const good = messageTo(enam, "weur", T0);
  const count = ["0", -1, 0.5, NaN, 2 ** 53, undefined, null];
  // Older hubs do not send these.
  const later = count.filter((value) => value !== undefined);
  const wrong: Record<string, readonly unknown[]> = {
    from: ["", "WEUR", "a.b", "r".repeat(33), 7, undefined],
    boot: [...count, 0, 2 ** 32],
    inUse: [undefined, 1, "true"],
    chunks: [
      undefined,
      {},
      [[1, 2]],
      [new Uint8Array([1])],
      [good.chunks[0], new Uint8Array()],
      [good.chunks[0], good.chunks[0].slice(0, -1)],
      Array.from({ length: MAX_CHUNKS + 1 }, () => good.chunks[0]),
    ],
    since: later,
    part: count,
    target: later,
    version: count,
    ackBoot: count,
    ackVersion: count,
    digest: ["0", -1, 0.5, undefined],
  };
  const cases = Object.entries(wrong).flatMap(([field, values]) =>
    values.map((value) => [`${field} ${String(value)}`, { ...good, [field]: value }] as const),
  );

  it("has one field after the other tried", () => {
    expect(Object.keys(wrong)).toEqual(Object.keys(good));
    expect(isMessage(good)).toBe(true);
    expect(isMessage({ ...good, newer: "field" })).toBe(true);
    expect([undefined, null, "x", 1, []].filter(isMessage)).toEqual([]);
  });

  it.for(cases)("is refused whole: %s", ([, message]) => {
    const before = contentOf(weur);
    const outcome = receiveMessage(weur, message, T0);
    expect(outcome).toEqual({ kind: "refused", reason: "malformed" });
    expect(contentOf(weur)).toBe(before);
  });

  it("is one that says to be from here", () => {
    const mirror = { ...good, from: "weur" };
    expect(receiveMessage(weur, mirror, T0)).toEqual({ kind: "refused", reason: "malformed" });
    expect(weur.peers.has("weur")).toBe(false);
  });

  it("is one from a boot before the last one that was heard", () => {
    const hub = usedHub("weur");
    expect(receiveMessage(hub, { ...good, boot: 3 }, T0).kind).toBe("merged");
    addUsage(enam, "hits", "k", 5, T0);
    const older = { ...messageTo(enam, "weur", T0), boot: 2 };
    expect(receiveMessage(hub, older, T0)).toEqual({ kind: "refused", reason: "not-a-peer" });
    expect(valueIn(hub, "hits", "k")).toBe(1);
  });

  it("is one from a region that is not in use: nothing of it is taken", () => {
    const hub = usedHub("weur");
    const before = contentOf(hub);
    expect(receiveMessage(hub, { ...good, inUse: false }, T0)).toEqual({
      kind: "refused",
      reason: "not-a-peer",
    });
    expect(receiveMessage(hub, composeHello(newHub("apac")), T0).kind).toBe("refused");
    expect(contentOf(hub)).toBe(before);
  });
});

describe("a region speaks for itself alone", () => {
  it("what it says of a third one is dropped (C 5: 41)", () => {
    const [weur, enam] = metHubs(["weur", "enam"]);
    const claim = counterWith(["apac.0.0.0", 50], ["enam.0.0.0", 5], ["weur.0.0.7", 3]);
    receiveMessage(weur, sayingTo("weur", enam, [chunkOf("u:hits:k", claim)]), T0);
    const counter = weur.states.get("u:hits:k");
    expect(counter?.kind === "g-counter" && counter.cells.ids).toEqual(["enam.0.0.0", "weur.0.0.7"]);
  });

  it("a state of another kind than its name says, or of no name, is skipped and the rest taken", () => {
    const [weur, enam] = metHubs(["weur", "enam"]);
    const counter = counterWith(["enam.0.0.0", 5]);
    const chunks = ["w:167:api:k", "z:what:is:this", "r:1000:api:k", "u:hits:k", "o:up"].map((name) =>
      chunkOf(name, counter),
    );
    receiveMessage(weur, sayingTo("weur", enam, chunks), T0);
    expect([...weur.states.keys()]).toEqual(["m", "u:hits:k"]);
  });

  it("nobody raises the numbers that this boot counts in memory", () => {
    const [weur, enam] = metHubs(["weur", "enam"]);
    noteUse(weur, termsOf(), "s", T0, 5, T0);
    const before = contentOf(weur);
    noteUse(enam, termsOf(), "s", T0, 500, T0);
    const forged = weur.ephemeralSlot;
    enam.ephemeralSlot = forged;
    noteUse(enam, termsOf(), "s", T0, 900, T0);
    const claims = sayingTo("weur", enam, [
      chunkOf("w:167:api:k", enam.states.get("w:167:api:k") ?? counterWith()),
    ]);
    receiveMessage(weur, claims, T0);
    const window = weur.states.get("w:167:api:k");
    const [span] = window?.kind === "sliding-window" ? window.timed.spans : [];
    expect(span.cells.ids.map((id, row) => [id, span.cells.values[row]])).toEqual([
      [`enam.0.0.${enam.boot}`, 500],
      [forged, 5],
    ]);
    expect(contentOf(weur)).not.toBe(before);
  });
});

describe("a hub whose stored numbers were lost", () => {
  it("goes on in a new slot once a peer proves it, and counts neither too little nor twice", () => {
    const [weur, enam] = metHubs(["weur", "enam"]);
    addUsage(weur, "hits", "k", 100, T0);
    settle([weur, enam], T0);
    // The boot number alone was kept.
    const rows = new Rows();
    rows.boot = weur.boot;
    const used = inUse(rows.start("weur", T0));
    expect(used.durableSlot).toBe("weur.0.0.0");
    const [, pulled] = exchange(used, enam, T0);
    expect(pulled).toMatchObject({ kind: "merged", amnesia: true });
    const slot = used.durableSlot;
    expect(slot).not.toBe("weur.0.0.0");
    expect(used.tally.amnesia).toBe(1);
    expect(hasUnstored(used)).toBe(true);
    addUsage(used, "hits", "k", 1, T0);
    settle([used, enam], T0);
    expect([used, enam].map((hub) => valueIn(hub, "hits", "k"))).toEqual([101, 101]);
    rows.store(used, true);
    const restarted = rows.start("weur", T0);
    expect(restarted.durableSlot).toBe(slot);
    expect(valueIn(restarted, "hits", "k")).toBe(101);
  });

  it("does not find a loss where there is none: its own numbers come back to it as they are", () => {
    const rows = new Rows();
    const enam = usedHub("enam");
    let weur = inUse(rows.start("weur", T0));
    for (let boot = 0; boot < 3; boot++) {
      addUsage(weur, "hits", "k", 10, T0);
      rows.store(weur);
      settle([weur, enam], T0);
      rows.store(weur, true);
      weur = rows.start("weur", T0);
    }
    settle([weur, enam], T0);
    expect(weur.durableSlot).toBe("weur.0.0.0");
    expect(weur.tally.amnesia).toBe(0);
    expect([weur, enam].map((hub) => valueIn(hub, "hits", "k"))).toEqual([30, 30]);
  });
});

describe("a digest", () => {
  it("is sent once in DIGEST_MS, and finds what was lost: everything comes again (C 5: 23)", () => {
    const [weur, enam] = metHubs(["weur", "enam"]);
    addUsage(weur, "hits", "k", 5, T0);
    settle([weur, enam], T0);
    enam.states.delete("u:hits:k");
    settle([weur, enam], T0 + DIGEST_MS - 1);
    expect(valueIn(enam, "hits", "k")).toBe(0);
    expect(messageTo(weur, "enam", T0 + DIGEST_MS - 1).digest).toBeNull();
    settle([weur, enam], T0 + DIGEST_MS);
    expect(valueIn(enam, "hits", "k")).toBe(5);
  });

  it("of equal numbers is equal, whatever the order in which they came", () => {
    const hubs = [metHubs(["weur", "enam"]), metHubs(["weur", "enam"])];
    const keys = ["a", "b", "c"];
    for (const key of keys) addUsage(hubs[0][0], "hits", key, 1, T0);
    for (const key of keys.toReversed()) addUsage(hubs[1][0], "hits", key, 1, T0);
    const digests = hubs.map(([weur]) => messageTo(weur, "apac", T0).digest);
    expect(digests[0]).not.toBeNull();
    expect(digests[0]).toBe(digests[1]);
    addUsage(hubs[1][0], "hits", "a", 1, T0);
    expect(messageTo(hubs[1][0], "sam", T0).digest).not.toBe(digests[0]);
  });
});

function inUse(hub: Hub): Hub {
  announceUse(hub, T0);
  return hub;
}
