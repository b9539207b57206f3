// What a hub that has started again knows of other regions, and what it says while it does not know better.

import { describe, expect, it } from "vitest";
import { receiveMessage } from "../../../src/hub/gossip.ts";
import type { Hub } from "../../../src/hub/hub.ts";
import { leaseUnits, noteUse } from "../../../src/hub/limit-book.ts";
import { announceUse, isNewcomer, meetRegions } from "../../../src/hub/membership.ts";
import { readOverrides, writeOverride } from "../../../src/hub/overrides.ts";
import { PEER_GONE_MS, isGone, peerOf } from "../../../src/hub/peers.ts";
import { noteFailure } from "../../../src/hub/rounds.ts";
import { addUsage, readUsage } from "../../../src/hub/usage.ts";
import { ROUND_MS, Rows, T0, exchange, messageTo, settle, termsOf, usedHub, valueIn } from "./hubs.ts";

/** enam, which has met weur and stored that, and its next boot. */
function restarted(now = T0): { readonly weur: Hub; readonly enam: Hub; readonly rows: Rows } {
  const rows = new Rows();
  const before = rows.start("enam", T0);
  announceUse(before, T0);
  const weur = usedHub("weur");
  settle([weur, before], T0);
  rows.store(before, true);
  const enam = rows.start("enam", now);
  announceUse(enam, now);
  return { weur, enam, rows };
}

describe("a hub that has started again", () => {
  it("knows the regions that it has stored", () => {
    const { enam } = restarted();
    expect([...enam.peers.keys()]).toEqual(["weur"]);
    expect(isGone(peerOf(enam, "weur"), T0 + PEER_GONE_MS)).toBe(false);
    expect(isGone(peerOf(enam, "weur"), T0 + PEER_GONE_MS + 1)).toBe(true);
  });

  it("is a newcomer until each of them was heard, or did not answer", () => {
    const now = T0 + 10_000;
    const { weur, enam } = restarted(now);
    expect(isNewcomer(enam, now + 5_000)).toBe(true);
    exchange(enam, weur, now + 5_000);
    expect(isNewcomer(enam, now + 5_000)).toBe(false);
    const silent = restarted(now).enam;
    noteFailure(peerOf(silent, "weur"));
    expect(isNewcomer(silent, now + 5_000)).toBe(false);
  });

  it("claims little of a limit that others may have used up", () => {
    const now = T0 + 5_000;
    const { enam } = restarted(now);
    const terms = termsOf({ windowMs: 60_000 });
    const { units } = leaseUnits(enam, { terms, need: 1, want: 1_000, held: 0, unreported: 0 }, "s", now);
    expect(units).toBeGreaterThan(0);
    expect(units).toBeLessThanOrEqual(10);
  });

  it("gives no bound for a reading while a region was never heard, and its own age for that of the rest", () => {
    const now = T0 + 5_000;
    const { weur, enam } = restarted(now);
    const read = (at: number) => readUsage(enam, "hits", "k", ROUND_MS, at);
    expect(read(now)).toMatchObject({ ageMs: 0, boundMs: null });
    expect(read(now + 700)).toMatchObject({ ageMs: 700, boundMs: null });
    exchange(enam, weur, now + 800);
    expect(read(now + 900)).toMatchObject({ ageMs: 100, boundMs: 3 * ROUND_MS });
  });

  it("gets everything, also when a delta for its boot before comes first", () => {
    const rows = new Rows();
    let enam = rows.start("enam", T0);
    announceUse(enam, T0);
    rows.store(enam);
    const weur = usedHub("weur");
    settle([weur, enam], T0);
    rows.store(enam, true);
    writeOverride(weur, "up", { until: T0 + 60_000, cursor: 3 }, T0);
    addUsage(weur, "hits", "k", 5, T0);
    settle([weur, enam], T0);
    // What came from weur was not stored.
    enam = rows.start("enam", T0);
    addUsage(weur, "other", "k", 1, T0);
    settle([weur, enam], T0);
    expect(Object.keys(readOverrides(enam, T0))).toEqual(["up"]);
    expect(valueIn(enam, "hits", "k")).toBe(5);
  });

  it("can write an override, though another region's clock is ahead", () => {
    const { weur, enam, rows } = restarted();
    writeOverride(weur, "up", { until: T0 + 600_000, cursor: 3 }, T0 + 30_000);
    settle([weur, enam], T0);
    expect(Object.keys(readOverrides(enam, T0))).toEqual(["up"]);
    rows.store(enam, true);
    expect(writeOverride(rows.start("enam", T0), "up", null, T0 + 1)).toBe(true);
  });

  it("is told what is known of itself, also when an old message of it comes first", () => {
    const rows = new Rows();
    let enam = rows.start("enam", T0);
    announceUse(enam, T0);
    rows.store(enam);
    const weur = usedHub("weur");
    const old = messageTo(weur, "enam", T0);
    noteUse(enam, termsOf(), "s", T0, 7, T0);
    receiveMessage(enam, old, T0);
    exchange(enam, weur, T0);
    rows.store(enam);
    enam = rows.start("enam", T0);
    receiveMessage(enam, old, T0);
    meetRegions(enam);
    for (let round = 0; round < 3; round++) exchange(weur, enam, T0);
    expect([...enam.states.keys()]).toContain("w:167:api:k");
  });

  it("does not take the word of an old message for what a peer's new boot has", () => {
    const rows = new Rows();
    const before = rows.start("enam", T0);
    announceUse(before, T0);
    rows.store(before);
    const weur = usedHub("weur");
    settle([weur, before], T0);
    addUsage(weur, "hits", "k", 1, T0);
    exchange(before, weur, T0);
    const old = messageTo(before, "weur", T0);
    const again = usedHub("enam", T0 + 10_000_000);
    const claim = { ...messageTo(again, "weur", T0), ackBoot: weur.boot, ackVersion: old.ackVersion };
    receiveMessage(weur, claim, T0);
    expect(peerOf(weur, "enam").acked).toBe(0);
  });
});
