import { describe, it } from "vitest";
import type { Hub } from "../../../src/hub/hub.ts";
import { NOTHING_STORED, bootHub } from "../../../src/hub/hub.ts";
import { answerLoadAsk, loadStatusOf, noteReportedLoad } from "../../../src/hub/load-book.ts";
import type { LoadStatus } from "../../../src/hub/load-status.ts";
import { STORE_EVERY_MS, loadByRegion, writeLoadStatus } from "../../../src/hub/load-status.ts";
import { loadName } from "../../../src/hub/names.ts";
import { Rows } from "./hubs.ts";

const NOW = 1_800_000_000_000;
const TERMS = { upstream: "shop", max: 1000, adaptive: true, retryShare: 0.1 };

/** Two isolates, so that the hub's limit is the one that counts. */
function ask(hub: Hub, now: number, limit = 100): void {
  for (const session of ["one", "two"]) {
    answerLoadAsk(hub, session, { terms: TERMS, inflight: 10, waiting: 0, limit }, now);
  }
}

function statusOf(hub: Hub): LoadStatus | null {
  const book = hub.loads.get("shop");
  return book === undefined ? null : loadStatusOf(book);
}

describe("the load of an upstream", () => {
  it("is stored when it has changed, and no more often than every ten seconds", ({ expect }) => {
    const hub = bootHub("weur", 0, NOTHING_STORED, NOW);
    ask(hub, NOW);
    hub.unstored.clear();
    ask(hub, NOW + STORE_EVERY_MS - 1);
    expect(hub.unstored.has(loadName("shop"))).toBe(false);
    ask(hub, NOW + STORE_EVERY_MS);
    expect(hub.unstored.has(loadName("shop"))).toBe(true);
    hub.unstored.clear();
    for (let atMs = STORE_EVERY_MS; atMs <= 3 * STORE_EVERY_MS; atMs += 1000) ask(hub, NOW + atMs);
    expect(hub.unstored.has(loadName("shop"))).toBe(false);
  });

  it("goes on after a restart at four fifths of the limit that was stored, with its baseline", ({
    expect,
  }) => {
    const rows = new Rows();
    const hub = bootHub("weur", 0, NOTHING_STORED, NOW);
    writeLoadStatus(hub, "shop", { cursor: 300, cut: 0.5, limit: 100, baselineMs: 40 }, NOW);
    rows.store(hub);
    const restarted = rows.start("weur", NOW + 1000);
    ask(restarted, NOW + 1000);
    expect(statusOf(restarted)).toMatchObject({ limit: 80, baselineMs: 40 });
  });

  it("is given to the first isolate after a restart, whatever that one begins with", ({ expect }) => {
    const rows = new Rows();
    const hub = bootHub("weur", 0, NOTHING_STORED, NOW);
    writeLoadStatus(hub, "shop", { cursor: 512, cut: 0, limit: 50, baselineMs: null }, NOW);
    rows.store(hub);
    const restarted = rows.start("weur", NOW + 1000);
    const fresh = { terms: TERMS, inflight: 0, waiting: 0, limit: 256 };
    expect(answerLoadAsk(restarted, "new", fresh, NOW + 1000)?.limit).toBe(40);
  });

  it("is told to other regions, each by its own row", ({ expect }) => {
    const hub = bootHub("weur", 0, NOTHING_STORED, NOW);
    const status = { cursor: 300, cut: 0.5, limit: 100, baselineMs: 40 };
    writeLoadStatus(hub, "shop", status, NOW);
    expect([...loadByRegion(hub, "shop")]).toEqual([["weur", status]]);
  });

  it("is logged when the cursor begins to cut", ({ expect }) => {
    const hub = bootHub("weur", 0, NOTHING_STORED, NOW);
    ask(hub, NOW);
    expect(hub.loadChanges).toEqual([]);
    const nothing = { served: [], refused: 0, throttled: 0, timedOut: 0, busyMs: 0, refusedInflight: 0 };
    const load = { spanMs: 1000, arrivals: [300, 100], settled: 100, ok: 20, signals: 5, lineBusyMs: 900 };
    const entry = { terms: TERMS, ...load, ...nothing, originals: 100, retries: 0 };
    noteReportedLoad(hub, "one", entry, NOW + 2000);
    ask(hub, NOW + 2000);
    expect(hub.loadChanges).toHaveLength(1);
    const [change] = hub.loadChanges;
    expect(change).toMatchObject({ upstream: "shop", cursor: 300, isolates: 2 });
    expect(change.cut).toBeCloseTo(1 - (1.2 * 20) / 100, 5);
  });
});
