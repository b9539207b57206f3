// When a hub speaks to its peers: at once where it matters, one exchange at a time, no word left behind.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { GossipMessage } from "../../../src/hub/gossip.ts";
import { MAX_CHUNKS, MAX_CHUNK_ROWS } from "../../../src/hub/gossip-delta.ts";
import type { Hub } from "../../../src/hub/hub.ts";
import { NOTHING_STORED, bootHub } from "../../../src/hub/hub.ts";
import { announceUse } from "../../../src/hub/membership.ts";
import { peerOf } from "../../../src/hub/peers.ts";
import { writeOverride } from "../../../src/hub/overrides.ts";
import { addUsage } from "../../../src/hub/usage.ts";
import { EAGER_MS, HubPeers } from "../../../src/region/hub-peers.ts";

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

const SILENT = { store: () => {}, keep: () => {} };

function hubOf(region: string): Hub {
  const hub = bootHub(region, 0, NOTHING_STORED, Date.now());
  announceUse(hub, Date.now());
  hub.urgent = false;
  return hub;
}

function idFromName(name: string): string {
  return name;
}

function peersOf(hub: Hub, gossip: (message: GossipMessage) => Promise<GossipMessage | null>): HubPeers {
  const HUB = { idFromName, get: () => ({ gossip, give: () => Promise.resolve(null) }) };
  const LEDGER = { idFromName, get: () => ({ mint: () => Promise.reject(new Error("no ledger")) }) };
  return new HubPeers(hub, { HUB, LEDGER }, SILENT);
}

/** weur's calls to enam, which answers after `delayMs`. */
function pair(delayMs: number) {
  const [weur, enam] = [hubOf("weur"), hubOf("enam")];
  const sent: GossipMessage[] = [];
  const answering = peersOf(enam, () => Promise.resolve(null));
  const peers = peersOf(weur, async (message) => {
    sent.push(message);
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    return answering.answer(message, Date.now());
  });
  peerOf(weur, "enam");
  return { weur, enam, peers, sent };
}

describe("an exchange", () => {
  it("follows at once when something urgent happens while one is under way", async () => {
    const { weur, peers, sent } = pair(30);
    peers.exchange("enam");
    await vi.advanceTimersByTimeAsync(10);
    expect(sent).toHaveLength(1);
    writeOverride(weur, "app", { breaker: "open", until: Date.now() + 60_000 }, Date.now());
    peers.follow();
    await vi.advanceTimersByTimeAsync(EAGER_MS + 40);
    expect(sent).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(sent).toHaveLength(2);
  });

  it("that has not been composed yet takes along what is urgent", async () => {
    const { weur, peers, sent } = pair(0);
    peers.exchange("enam");
    await vi.advanceTimersByTimeAsync(1);
    peers.exchange("enam");
    await vi.advanceTimersByTimeAsync(1);
    writeOverride(weur, "app", { breaker: "open", until: Date.now() + 60_000 }, Date.now());
    peers.follow();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(sent).toHaveLength(2);
  });

  it("is not repeated at once when it fails", async () => {
    const weur = hubOf("weur");
    peerOf(weur, "enam");
    let calls = 0;
    const peers = peersOf(weur, async () => {
      calls++;
      await new Promise((resolve) => setTimeout(resolve, 10));
      return null;
    });
    peers.exchange("enam");
    await vi.advanceTimersByTimeAsync(5);
    weur.urgent = true;
    peers.follow();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(calls).toBe(1);
  });

  it("goes on until a delta that takes several messages is whole", async () => {
    const { weur, enam, peers, sent } = pair(0);
    const keys = MAX_CHUNK_ROWS * MAX_CHUNKS + 10;
    for (let key = 0; key < keys; key++) addUsage(weur, "calls", `k${key}`, 1, Date.now());
    peers.exchange("enam");
    await vi.advanceTimersByTimeAsync(3 * EAGER_MS);
    expect(sent.length).toBeGreaterThan(1);
    const counted = [...enam.states.keys()].filter((name) => name.startsWith("u:"));
    expect(counted).toHaveLength(keys);
  });
});
