// Who a hub is over its lives, and what it makes of messages that come late.

import { describe, it } from "vitest";
import type { Hub, StoredHub } from "../../../src/hub/hub.ts";
import { NOTHING_STORED, bootHub } from "../../../src/hub/hub.ts";
import { composeHello, composeMessage, receiveMessage } from "../../../src/hub/gossip.ts";
import { announceUse } from "../../../src/hub/membership.ts";
import { usageName } from "../../../src/hub/names.ts";
import { writeOverride } from "../../../src/hub/overrides.ts";
import { peerOf } from "../../../src/hub/peers.ts";
import { beginRound, forgetFailures, nextRoundMs } from "../../../src/hub/rounds.ts";
import { addUsage, readUsage } from "../../../src/hub/usage.ts";

const NOW = 1_900_000_000_000;
const ROUND_MS = 1_000;

function usedHub(region: string, now = NOW, stored: StoredHub = NOTHING_STORED): Hub {
  const hub = bootHub(region, 0, stored, now);
  announceUse(hub, now);
  return hub;
}

function storedOf(hub: Hub): StoredHub {
  return { boot: hub.boot, durableEpoch: hub.durableEpoch, states: hub.states, sessions: new Map() };
}

function send(from: Hub, to: Hub, now: number): void {
  receiveMessage(to, composeMessage(from, peerOf(from, to.region), now), now);
}

describe("a hub that boots", () => {
  it("has a number that no boot before it had, even if the count of them was lost", ({ expect }) => {
    const first = bootHub("weur", 0, NOTHING_STORED, NOW);
    const second = bootHub("weur", 0, storedOf(first), NOW);
    const forgetful = bootHub("weur", 0, NOTHING_STORED, NOW + 2_000);
    expect(second.boot).toBe(first.boot + 1);
    expect(forgetful.boot).toBeGreaterThan(second.boot);
    expect(forgetful.ephemeralSlot).not.toBe(second.ephemeralSlot);
  });

  it("takes a durable identity after a loss that nobody had, whatever it had forgotten", ({ expect }) => {
    const peer = usedHub("enam");
    const epochs = new Set<number>();
    for (let life = 0; life < 3; life++) {
      // Its storage is as empty as at the first time, again and again.
      const hub = usedHub("weur", NOW + life * 10_000);
      for (const now of [1, 2, 3]) {
        send(peer, hub, hub.bootedAt + now);
        addUsage(hub, "calls", "acme", 10, hub.bootedAt + now);
        send(hub, peer, hub.bootedAt + now);
      }
      expect(epochs).not.toContain(hub.durableEpoch);
      epochs.add(hub.durableEpoch);
    }
    expect(readUsage(peer, "calls", "acme", ROUND_MS, NOW).value).toBe(90);
  });

  it("can change an override that was made when the clock was ahead", ({ expect }) => {
    const hub = usedHub("weur", NOW + 5_000);
    expect(writeOverride(hub, "payments", { until: NOW + 60_000, cursor: 1 }, NOW + 5_000)).toBe(true);
    const again = bootHub("weur", 0, storedOf(hub), NOW);
    expect(writeOverride(again, "payments", { until: NOW + 60_000, cursor: 2 }, NOW)).toBe(true);
  });
});

describe("a message that comes late", () => {
  it("is not taken for all that came before it by a hub that has forgotten that", ({ expect }) => {
    const from = usedHub("enam");
    const to = usedHub("weur");
    addUsage(from, "calls", "first", 1, NOW);
    send(from, to, NOW);
    send(to, from, NOW);
    addUsage(from, "calls", "second", 1, NOW);
    const late = composeMessage(from, peerOf(from, "weur"), NOW);
    const again = usedHub("weur", NOW + 1_000);
    receiveMessage(again, late, NOW + 1_000);
    expect(again.states.has(usageName("calls", "second"))).toBe(true);
    for (let round = 0; round < 3; round++) {
      send(again, from, NOW + 2_000);
      send(from, again, NOW + 2_000);
    }
    expect(again.states.has(usageName("calls", "first"))).toBe(true);
  });
});

describe("a region that does not answer a greeting", () => {
  it("is greeted at once when the hub is woken, as when a partition has healed", ({ expect }) => {
    const hub = usedHub("weur");
    const greetsAt = (second: number): boolean =>
      beginRound(hub, ["weur", "enam"], ROUND_MS, NOW + second * ROUND_MS).greet.includes("enam");
    for (let second = 0; second <= 33; second++) greetsAt(second);
    const before = greetsAt(34);
    forgetFailures(hub);
    expect([before, greetsAt(35)]).toEqual([false, true]);
  });

  it("is greeted again, less and less often, until it says whether it is in use", ({ expect }) => {
    const hub = usedHub("weur");
    const greeted: number[] = [];
    for (let second = 0; second < 60; second++) {
      const now = NOW + second * ROUND_MS;
      const { greet } = beginRound(hub, ["weur", "enam"], ROUND_MS, now);
      if (greet.includes("enam")) greeted.push(second);
    }
    expect(greeted).toEqual([0, 1, 2, 3, 5, 9, 17, 33]);
    expect(nextRoundMs(hub, ROUND_MS, NOW + 60_000)).not.toBeNull();
    receiveMessage(hub, composeHello(bootHub("enam", 0, NOTHING_STORED, NOW)), NOW + 60_000);
    expect(nextRoundMs(hub, ROUND_MS, NOW + 60_000)).toBeNull();
  });
});
