// The last units of a limit in several regions: who gets them, and that nobody gets them twice.

import { describe, expect, it } from "vitest";
import type { Hub } from "../../../src/hub/hub.ts";
import { leaseUnits, waitsForPeers } from "../../../src/hub/limit-book.ts";
import { isGranted } from "../../../src/hub/limit-bids.ts";
import type { LeaseAsk } from "../../../src/hub/protocol.ts";
import { fc } from "../resilience/property.ts";
import { T0, exchange, metHubs, termsOf } from "./hubs.ts";

const NOW = T0 + 600;
const REGIONS = ["weur", "enam", "apac"];

function ask(hub: Hub, units: number, now: number, waiting = 1, session = "s"): number {
  const terms = termsOf({ units, windowMs: 60_000 });
  const request: LeaseAsk = { terms, need: 1, want: 1, waiting, held: 0, unreported: 0 };
  return leaseUnits(hub, request, `${session}-${hub.region}-${now}`, now).units;
}

/** Everybody with everybody, twice: what was said in the first is acknowledged by then. */
function exchangeAll(hubs: readonly Hub[], now: number): void {
  for (let round = 0; round < 2; round++) {
    for (const one of hubs) for (const other of hubs) if (one !== other) exchange(one, other, now);
  }
}

describe("a bid", () => {
  it("is leased once every peer has heard of it, and not before", () => {
    const hubs = metHubs(REGIONS);
    const [weur] = hubs;
    expect(ask(weur, 1, NOW)).toBe(0);
    expect(waitsForPeers(weur, termsOf({ units: 1, windowMs: 60_000 }))).toBe(true);
    expect(weur.awaited).toBe(true);
    expect(ask(weur, 1, NOW + 1)).toBe(0);
    exchangeAll(hubs, NOW + 2);
    expect(ask(weur, 1, NOW + 3)).toBe(1);
    expect(ask(weur, 1, NOW + 4)).toBe(0);
  });

  it("of several regions for the same units at once is won by as many as there are units", () => {
    for (const units of [1, 2]) {
      const hubs = metHubs(REGIONS);
      for (const hub of hubs) expect(ask(hub, units, NOW)).toBe(0);
      exchangeAll(hubs, NOW + 2);
      const won = hubs.map((hub) => ask(hub, units, NOW + 3));
      expect(won.reduce((sum, one) => sum + one)).toBe(units);
      exchangeAll(hubs, NOW + 4);
      expect(hubs.map((hub) => ask(hub, units, NOW + 5))).toEqual([0, 0, 0]);
    }
  });

  it("never wins what regions before it have taken meanwhile", () => {
    const bids = fc.uniqueArray(fc.constantFrom("afr", "apac", "enam", "oc", "weur"), { minLength: 1 });
    fc.assert(
      fc.property(bids, fc.nat(5), fc.integer({ min: 1, max: 3 }), (regions, open, units) => {
        const before = new Map(regions.map((region) => [region, 7]));
        const after = new Map(regions.map((region) => [region, 7 + units]));
        const winners = regions.filter((region) => {
          const others = (all: ReadonlyMap<string, number>) =>
            new Map([...all].filter(([other]) => other !== region));
          return isGranted({ version: 1, units, open, others: others(before) }, region, others(after));
        });
        expect(winners.length).toBe(Math.min(regions.length, Math.floor(open / units)));
      }),
    );
  });
});

describe("few units in several regions", () => {
  it("are leased to requests that wait, and not ahead of need", () => {
    const [weur] = metHubs(REGIONS);
    expect(ask(weur, 30, NOW, 0)).toBe(0);
    expect(weur.awaited).toBe(false);
    expect(ask(weur, 30, NOW + 1, 4)).toBe(4);
  });

  it("are passed one after the other by hubs that ask each other each time, never too many", () => {
    const order = fc.array(fc.constantFrom(0, 1, 2), { minLength: 25, maxLength: 25 });
    fc.assert(
      fc.property(order, fc.integer({ min: 1, max: 20 }), (turns, units) => {
        const hubs = metHubs(REGIONS);
        let passed = 0;
        for (const [at, turn] of turns.entries()) {
          const now = NOW + at * 5;
          for (let word = 0; word < 3; word++) {
            const got = ask(hubs[turn], units, now + word, 1, `s${at}`);
            passed += got;
            exchangeAll(hubs, now + word);
            if (got > 0) break;
          }
        }
        expect(passed).toBe(units);
      }),
      { numRuns: 60 },
    );
  });
});
