// What an isolate is leased when its asks and its reports cross on the way, and what a hub claims for that.

import { describe, expect, it } from "vitest";
import { createGCounter } from "../../../src/crdt/g-counter.ts";
import type { Hub } from "../../../src/hub/hub.ts";
import { MAX_STATES } from "../../../src/hub/hub.ts";
import { leaseUnits, noteUse } from "../../../src/hub/limit-book.ts";
import type { LeaseAsk } from "../../../src/hub/protocol.ts";
import { leaseRights } from "../../../src/hub/quota-book.ts";
import { beginRound } from "../../../src/hub/rounds.ts";
import { serveSync } from "../../../src/hub/sync.ts";
import { ROUND_MS, T0, exchange, metHubs, reportOf, syncOf, synced, termsOf, usedHub } from "./hubs.ts";

/** Regions have met by now, and hear each other. */
const NOW = T0 + 600;
const TERMS = termsOf({ units: 1_000, windowMs: 60_000 });
const CLAIMED = "k:3000:api:k";

function askOf(ask: Partial<LeaseAsk>): LeaseAsk {
  return { terms: TERMS, need: 1, want: 60, held: 0, unreported: 0, ...ask };
}

function claimedIn(hub: Hub, name = CLAIMED): number {
  const claims = hub.states.get(name);
  if (claims?.kind !== "sliding-window") return 0;
  return claims.timed.spans.flatMap(({ cells }) => cells.values).reduce((sum, units) => sum + units, 0);
}

function fullHub(): Hub {
  const hub = usedHub("weur");
  for (let at = hub.states.size; at < MAX_STATES; at++) hub.states.set(`u:full:${at}`, createGCounter());
  return hub;
}

/** A hub with a peer that has applied report 1 of `s`, with 50 units. */
function reported(): Hub {
  const [weur] = metHubs(["weur", "enam"]);
  synced(weur, syncOf("weur", "s", reportOf("s", 1, { uses: [{ terms: TERMS, at: T0, units: 50 }] })));
  return weur;
}

describe("units that were used before the lease", () => {
  it("count once when the report that says them came before the ask", () => {
    for (const ask of [
      askOf({ unreported: 50, seq: 1, inFlight: 50 }),
      // It was frozen after the ask was sent.
      askOf({ unreported: 50, seq: 0, inFlight: 0 }),
    ]) {
      const hub = reported();
      const { units } = leaseUnits(hub, ask, "s", NOW);
      expect(units).toBeGreaterThan(0);
      expect(claimedIn(hub)).toBe(50 + units);
    }
  });

  it("count as long as the report has not come, and those that it does not say", () => {
    const [early] = metHubs(["weur", "enam"]);
    const first = leaseUnits(early, askOf({ unreported: 50, seq: 1, inFlight: 50 }), "s", NOW);
    expect(claimedIn(early)).toBe(50 + first.units);
    const hub = reported();
    const { units } = leaseUnits(hub, askOf({ unreported: 57, seq: 1, inFlight: 50 }), "s", NOW);
    expect(claimedIn(hub)).toBe(57 + units);
  });

  it("count as they are told by an isolate that does not number its reports", () => {
    const hub = reported();
    const { units } = leaseUnits(hub, askOf({ unreported: 50 }), "s", NOW);
    expect(claimedIn(hub)).toBe(100 + units);
  });

  it("are numbered within bounds, or the request is malformed", () => {
    for (const wrong of [{ seq: -1 }, { seq: 0.5 }, { inFlight: -1 }, { seen: Number.NaN }]) {
      const request = syncOf("weur", "s", null, [askOf({ ...wrong })]);
      expect(serveSync(usedHub("weur"), request, T0)).toEqual({ kind: "refused", reason: "malformed" });
    }
  });
});

describe("a lease", () => {
  it("is claimed for as many units as it has: what nobody holds is left to other regions", () => {
    const [weur] = metHubs(["weur", "enam"]);
    for (const [session, want] of [
      ["a", 3],
      ["b", 40],
    ] as const) {
      const before = claimedIn(weur);
      const { units } = leaseUnits(weur, askOf({ want }), session, NOW);
      expect(units).toBe(2 * want);
      expect(claimedIn(weur)).toBe(before + units);
    }
  });

  it("that is on its way is not given a second time", () => {
    const [weur] = metHubs(["weur", "enam"]);
    const first = leaseUnits(weur, askOf({ seen: 0 }), "s", NOW);
    const crossed = leaseUnits(weur, askOf({ seen: 0 }), "s", NOW);
    const held = (): number => weur.limits.get("w:1000:api:k")?.holders.get("s")?.units ?? 0;
    expect(held()).toBe(first.units + crossed.units);
    expect(claimedIn(weur)).toBe(held());
    // Both have arrived: nothing is on its way any more.
    const last = askOf({ held: held(), want: 1, seen: crossed.answer ?? 0 });
    const { units } = leaseUnits(weur, last, "s", NOW);
    expect(held()).toBe(first.units + crossed.units + units);
  });

  it("from before a cell's end needs no second claim in the next one", () => {
    const [weur] = metHubs(["weur", "enam"]);
    const { units } = leaseUnits(weur, askOf({}), "s", T0 + 2_900);
    const before = claimedIn(weur);
    expect(before).toBe(units);
    const next = leaseUnits(weur, askOf({ held: units, want: units / 2, seen: 1 }), "s", T0 + 3_100);
    expect(claimedIn(weur)).toBe(before + next.units);
  });

  it("does not make its region the only active one before others can have been heard", () => {
    const [weur, enam] = metHubs(["weur", "enam"]);
    let total = 0;
    for (let at = 0; at < 20; at++) {
      total += leaseUnits(weur, askOf({ want: 1_000 }), `s${at}`, NOW + at).units;
    }
    expect(total).toBeGreaterThan(400);
    expect(total).toBeLessThanOrEqual(550);
    exchange(weur, enam, NOW + 100);
    for (let at = 0; at < 20; at++) {
      total += leaseUnits(weur, askOf({ want: 1_000 }), `t${at}`, NOW + 100 + at).units;
    }
    expect(total).toBeGreaterThan(580);
    expect(total).toBeLessThanOrEqual(1_000);
  });
});

describe("a hub that can follow no more keys", () => {
  it("admits those of soft limits, uncounted", () => {
    const hub = fullHub();
    for (const consistency of ["regional", "global"] as const) {
      const terms = termsOf({ key: "new", consistency });
      const lease = (ask: Partial<LeaseAsk>) => leaseUnits(hub, askOf({ terms, ...ask }), "s", T0);
      expect(lease({ need: 1, want: 7 })).toMatchObject({ units: 7, used: 0, retryMs: 0 });
      expect(lease({ need: 9, want: 7 })).toMatchObject({ units: 9 });
      expect(lease({ need: 1, want: 5_000 })).toMatchObject({ units: 100 });
      expect(lease({ need: 101, want: 101 })).toMatchObject({ units: 0 });
      noteUse(hub, terms, "s", T0, 5, T0);
    }
    expect(hub.states.size).toBe(MAX_STATES);
    expect(hub.limits.size).toBe(0);
  });

  it("refuses those of capped limits", () => {
    const terms = termsOf({ key: "new", consistency: "capped" });
    expect(leaseRights(fullHub(), askOf({ terms }), "s", T0)).toMatchObject({ units: 0, used: 100 });
  });
});

describe("windows", () => {
  it("of other regions' keys are dropped when they are over", () => {
    const [weur, enam] = metHubs(["weur", "enam"]);
    for (let at = 0; at < 10; at++) noteUse(weur, termsOf({ key: `k${at}` }), "s", T0, 1, T0);
    exchange(weur, enam, T0);
    for (const hub of [weur, enam]) {
      beginRound(hub, [], ROUND_MS, T0 + 3_600_000);
      expect([...hub.states.keys()].filter((name) => name.startsWith("w:"))).toEqual([]);
    }
  });
});
