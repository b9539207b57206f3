// A capped limit in one hub: what an isolate is given, when more is asked for, and what is given away.

import { describe, expect, it } from "vitest";
import { rightsOf } from "../../../src/crdt/bounded-counter.ts";
import type { Hub } from "../../../src/hub/hub.ts";
import { quotaName } from "../../../src/hub/names.ts";
import type { LeaseAsk } from "../../../src/hub/protocol.ts";
import {
  NEXT_PERIOD_LEAD_MS,
  PERIODS_KEPT,
  acceptMint,
  endRefill,
  expireQuotas,
  giveRights,
  isOldQuota,
  leaseRights,
  takeBackRights,
  takeRefills,
} from "../../../src/hub/quota-book.ts";
import { takeCommit } from "../../../src/hub/storage.ts";
import { Rows, T0, settle, termsOf, usedHub } from "./hubs.ts";

const PERIOD_MS = 60_000;
const PERIOD = T0 / PERIOD_MS;
const terms = termsOf({ consistency: "capped", units: 100, windowMs: PERIOD_MS });
const NAME = quotaName(PERIOD_MS, PERIOD, "api", "k");

function ask(need: number, want = need): LeaseAsk {
  return { terms, need, want, held: 0, unreported: 0 };
}

function mint(hub: Hub, total: number, left = 100, now = T0, name = NAME): void {
  const refill = { name, terms, period: PERIOD, slot: hub.durableSlot, want: 1, minted: 0 };
  acceptMint(hub, { ...refill, from: "ledger" }, total, left, now);
}

function rightsIn(hub: Hub, name = NAME): number {
  const counter = hub.states.get(name);
  return counter?.kind === "bounded-counter" ? rightsOf(counter, hub.durableSlot) : 0;
}

describe("an ask for rights", () => {
  it("gets nothing where there are none, and is what has them asked for", () => {
    const hub = usedHub("weur");
    expect(takeRefills(hub, T0)).toEqual([]);
    expect(leaseRights(hub, ask(2, 5), "s", T0)).toMatchObject({
      units: 0,
      period: PERIOD,
      forMs: PERIOD_MS,
    });
    const [refill, ...others] = takeRefills(hub, T0);
    expect(others).toEqual([]);
    expect(refill).toMatchObject({
      from: "ledger",
      name: NAME,
      slot: "weur.0.0.0",
      period: PERIOD,
      minted: 0,
    });
    expect(refill.want).toBeGreaterThanOrEqual(5);
    expect(takeRefills(hub, T0)).toEqual([]);
    endRefill(hub, refill, false, T0);
    expect(takeRefills(hub, T0)).toHaveLength(1);
  });

  it("gets what it needs or nothing, and never more than there is", () => {
    const hub = usedHub("weur");
    mint(hub, 10);
    expect(leaseRights(hub, ask(11), "s", T0).units).toBe(0);
    expect(rightsIn(hub)).toBe(10);
    const { units } = leaseRights(hub, ask(8, 100), "s", T0);
    expect(units).toBeGreaterThanOrEqual(8);
    expect(units).toBeLessThanOrEqual(10);
    expect(rightsIn(hub)).toBe(10 - units);
  });

  it("leaves some to other isolates", () => {
    const hub = usedHub("weur");
    mint(hub, 100);
    const first = leaseRights(hub, ask(1, 1000), "a", T0).units;
    expect(first).toBeLessThan(100);
    expect(leaseRights(hub, ask(1, 1000), "b", T0).units).toBeGreaterThan(0);
  });

  it("is answered after what it spends is marked to be stored", () => {
    const hub = usedHub("weur");
    mint(hub, 10);
    takeCommit(hub, true);
    leaseRights(hub, ask(1), "s", T0);
    expect(takeCommit(hub, false)?.states.map(([name]) => name)).toEqual([NAME]);
    leaseRights(hub, ask(100), "s", T0);
    expect(takeCommit(hub, false)).toBeNull();
  });

  it("waits for the next period when the ledger and the other regions have none left", () => {
    const hub = usedHub("weur");
    leaseRights(hub, ask(1), "s", T0);
    mint(hub, 0, 0);
    expect(takeRefills(hub, T0)).toEqual([]);
    expect(leaseRights(hub, ask(1), "s", T0 + 10)).toMatchObject({ units: 0, retryMs: PERIOD_MS - 10 });
  });
});

describe("minted rights", () => {
  it("count by their total, whichever answer comes first, twice or late", () => {
    const hub = usedHub("weur");
    for (const total of [5, 12, 12, 5, 0]) mint(hub, total);
    expect(rightsIn(hub)).toBe(12);
  });

  it("are asked for by how many were minted, so that the ledger tells a repetition", () => {
    const hub = usedHub("weur");
    mint(hub, 5);
    leaseRights(hub, ask(5), "s", T0);
    expect(takeRefills(hub, T0)).toMatchObject([{ minted: 5 }]);
  });

  it("and spent ones are there after a restart: nothing is spent twice", () => {
    const rows = new Rows();
    const hub = rows.start("weur", T0);
    mint(hub, 10);
    leaseRights(hub, ask(7), "s", T0);
    rows.store(hub);
    const again = rows.start("weur", T0);
    expect(rightsIn(again)).toBe(3);
    expect(leaseRights(again, ask(4), "s", T0).units).toBe(0);
  });
});

describe("rights that come back", () => {
  it("can be spent again, up to what was leased and not a unit more", () => {
    const hub = usedHub("weur");
    mint(hub, 10);
    leaseRights(hub, ask(6), "s", T0);
    expect(takeBackRights(hub, terms, PERIOD, 7, T0)).toBe(false);
    expect(takeBackRights(hub, terms, PERIOD, 6, T0)).toBe(true);
    expect(rightsIn(hub)).toBe(10);
    expect(takeBackRights(hub, terms, PERIOD, 1, T0)).toBe(false);
  });

  it("of a period that is not known are nothing", () => {
    const hub = usedHub("weur");
    expect([PERIOD - 9, PERIOD + 9, -1].map((period) => takeBackRights(hub, terms, period, 1, T0))).toEqual([
      false,
      false,
      false,
    ]);
  });
});

describe("rights for another region", () => {
  it("are taken from what is not needed here: nothing where nobody asks, half of it at most where many do", () => {
    const hub = usedHub("weur");
    mint(hub, 40);
    expect(giveRights(hub, NAME, "enam.0.0.0", 15, T0)).toBe(15);
    expect(rightsIn(hub)).toBe(25);
    leaseRights(hub, ask(1, 1), "s", T0);
    leaseRights(hub, ask(500), "s", T0);
    const before = rightsIn(hub);
    const given = giveRights(hub, NAME, "enam.0.0.0", 100, T0);
    expect(given).toBe(Math.floor(before / 2));
    expect(rightsIn(hub)).toBe(before - given);
  });

  it("are not given to oneself, to nobody, of nothing, or in no amount", () => {
    const hub = usedHub("weur");
    mint(hub, 40);
    expect(giveRights(hub, NAME, hub.durableSlot, 5, T0)).toBe(0);
    expect(["enam", "mint", "burn", "", "enam.0.0"].map((to) => giveRights(hub, NAME, to, 5, T0))).toEqual([
      0, 0, 0, 0, 0,
    ]);
    expect([0, -1, 0.5, NaN, Infinity].map((want) => giveRights(hub, NAME, "enam.0.0.0", want, T0))).toEqual([
      0, 0, 0, 0, 0,
    ]);
    expect(giveRights(hub, "q:1:1:other:k", "enam.0.0.0", 5, T0)).toBe(0);
    expect(giveRights(hub, "m", "enam.0.0.0", 5, T0)).toBe(0);
    expect(rightsIn(hub)).toBe(40);
  });

  it("are asked of the one that has most once the ledger has none", () => {
    const hubs = ["weur", "enam", "apac"].map((region) => usedHub(region));
    const [weur, enam, apac] = hubs;
    settle(hubs, T0);
    mint(enam, 10);
    mint(apac, 30);
    settle(hubs, T0);
    leaseRights(weur, ask(3), "s", T0);
    mint(weur, 0, 0);
    const [refill] = takeRefills(weur, T0);
    expect(refill).toMatchObject({ from: "peer", region: "apac" });
    endRefill(weur, refill, false, T0);
    expect(takeRefills(weur, T0 + 10)).toEqual([]);
    leaseRights(weur, ask(3), "s", T0 + 1500);
    expect(takeRefills(weur, T0 + 1500)).toMatchObject([{ from: "peer" }]);
  });
});

describe("a period", () => {
  it("has its own rights (C 5: 54)", () => {
    const hub = usedHub("weur");
    mint(hub, 10);
    expect(leaseRights(hub, ask(1, 0), "s", T0 + PERIOD_MS - 1)).toMatchObject({
      units: 1,
      period: PERIOD,
      forMs: 1,
    });
    expect(leaseRights(hub, ask(1), "s", T0 + PERIOD_MS)).toMatchObject({ units: 0, period: PERIOD + 1 });
    expect(rightsIn(hub)).toBe(9);
  });

  it("that begins soon has rights asked for ahead, while somebody asks", () => {
    const hub = usedHub("weur");
    mint(hub, 100);
    const soon = T0 + PERIOD_MS - NEXT_PERIOD_LEAD_MS;
    leaseRights(hub, ask(2), "s", soon - 1);
    expect(takeRefills(hub, soon - 1)).toEqual([]);
    const [refill, ...others] = takeRefills(hub, soon);
    expect(refill).toMatchObject({ period: PERIOD + 1, name: quotaName(PERIOD_MS, PERIOD + 1, "api", "k") });
    expect(others).toEqual([]);
    const idle = usedHub("weur");
    mint(idle, 100);
    expect(takeRefills(idle, soon)).toEqual([]);
  });

  it("that is over is kept for PERIODS_KEPT more, then forgotten in storage too", () => {
    const rows = new Rows();
    const hub = rows.start("weur", T0);
    mint(hub, 10);
    leaseRights(hub, ask(1), "s", T0);
    rows.store(hub, true);
    const last = T0 + (PERIODS_KEPT + 1) * PERIOD_MS;
    expect([isOldQuota(NAME, last - 1), isOldQuota(NAME, last), isOldQuota("m", last)]).toEqual([
      false,
      true,
      false,
    ]);
    expireQuotas(hub, last - 1);
    expect(hub.states.has(NAME)).toBe(true);
    expireQuotas(hub, last);
    expect([hub.states.has(NAME), hub.quotas.has(NAME)]).toEqual([false, false]);
    rows.store(hub, true);
    expect(rows.states.has(NAME)).toBe(false);
  });
});
