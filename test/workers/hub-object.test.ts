// The hub among others in the real runtime: real SQLite, real alarms, calls between real objects. Every test
// has a shard of its own: hubs of different shards never speak to each other.

import { abortAllDurableObjects, evictDurableObject } from "cloudflare:test";
import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { RegionHub } from "../../durable-objects/region-hub.ts";
import type { LimitTerms, Report, SyncReply, SyncRequest } from "../../src/hub/protocol.ts";
import { hubName } from "../../src/region/placement.ts";
import { ledgerName } from "../../src/region/hub-peers.ts";

/** Rounds are a second apart, and rights are asked for again a second after they were not given. */
const PATIENCE_MS = 30_000;
const POLL = { timeout: 25_000, interval: 20 };

let shards = 1;

function hubOf(region: string, shard: number) {
  return env.HUB.getByName(hubName(region, shard));
}

type Stub = ReturnType<typeof hubOf>;

function newHub(region = "weur"): Stub {
  return hubOf(region, shards++);
}

function sql(hub: Stub, query: string) {
  return runInDurableObject(hub, (_, { storage }) => storage.sql.exec(query).toArray());
}

function tablesOf(hub: Stub): Promise<Record<string, SqlStorageValue>[]> {
  return sql(hub, "SELECT name FROM sqlite_master WHERE name NOT LIKE '\\_cf%' ESCAPE '\\' ORDER BY name");
}

function alarmOf(hub: Stub): Promise<number | null> {
  return runInDurableObject(hub, (_, { storage }) => storage.getAlarm());
}

/** Rows that a hub writes while `work` runs, by what each statement says of itself; other hubs write too. */
async function rowsWritten(hub: Stub, work: () => Promise<unknown>): Promise<number> {
  const cursors: { readonly rowsWritten: number }[] = [];
  const spy = await runInDurableObject(hub, (_, { storage }) => {
    const own = storage.sql;
    const prototype: SqlStorage = Object.getPrototypeOf(own);
    const { exec } = prototype;
    return vi.spyOn(prototype, "exec").mockImplementation(function run(this: SqlStorage, query, ...bindings) {
      const cursor = exec.call(this, query, ...bindings);
      if (this === own) cursors.push(cursor);
      return cursor;
    });
  });
  await work();
  spy.mockRestore();
  return runInDurableObject(hub, () => cursors.reduce((sum, cursor) => sum + cursor.rowsWritten, 0));
}

function reportOf(session: string, seq: number, by: number, keys = ["k"]): Report {
  const counts = keys.map((key) => ({ counter: "hits", key, by }));
  return { session, seq, config: "c", counts, uses: [], returns: [] };
}

function syncOf(report: Report, region = "weur"): SyncRequest {
  return { region, session: report.session, report, asks: [], urgent: false };
}

async function valueOf(hub: Stub, key = "k"): Promise<number | undefined> {
  return (await hub.read("hits", key))?.value;
}

function unitsOf(reply: SyncReply): number {
  return reply.kind === "synced" ? reply.leases.reduce((sum, { units }) => sum + units, 0) : 0;
}

describe("a batch", () => {
  it("counts once when it comes twice, at once, after an eviction and after a crash", async () => {
    const hub = newHub();
    const name = hub.name ?? "";
    const batch = syncOf(reportOf("s", 1, 5));
    const replies = await Promise.all(Array.from({ length: 10 }, () => hub.sync(batch)));
    expect(replies.every((reply) => reply.kind === "synced" && reply.seq === 1)).toBe(true);
    expect(await valueOf(hub)).toBe(5);
    await evictDurableObject(hub);
    expect(await hub.sync(batch)).toMatchObject({ kind: "synced", seq: 1 });
    expect(await valueOf(hub)).toBe(5);
    await abortAllDurableObjects();
    const again = env.HUB.getByName(name);
    expect(await again.sync(batch)).toMatchObject({ kind: "synced", seq: 1 });
    expect(await again.sync(syncOf(reportOf("s", 2, 3)))).toMatchObject({ kind: "synced", seq: 2 });
    expect(await valueOf(again)).toBe(8);
  });

  it("is stored when its answer leaves: a crash right behind it loses nothing", async () => {
    for (let seq = 1; seq <= 5; seq++) {
      const hub = hubOf("weur", 900);
      expect(await hub.sync(syncOf(reportOf("s", seq, 1)))).toMatchObject({ kind: "synced", seq });
      await abortAllDurableObjects();
    }
    expect(await valueOf(hubOf("weur", 900))).toBe(5);
  });

  it("of a session that the hub does not know is refused, and nothing of it counts", async () => {
    const hub = newHub();
    expect(await hub.sync(syncOf(reportOf("s", 7, 5)))).toEqual({
      kind: "refused",
      reason: "unknown-session",
    });
    expect(await hub.sync(syncOf(reportOf("s", 1, 5), "enam"))).toEqual({
      kind: "refused",
      reason: "wrong-region",
    });
    expect(await valueOf(hub)).toBe(0);
    expect(await sql(hub, "SELECT id FROM sessions")).toEqual([]);
    expect(await hub.sync(syncOf(reportOf("s", 1, 5)))).toMatchObject({ kind: "synced", seq: 1 });
  });

  it("that cannot be stored is not acknowledged, and the hub goes on from its rows (C 5: 30)", async () => {
    const hub = newHub();
    const name = hub.name ?? "";
    await hub.add("hits", "k", 1);
    const logged = vi.spyOn(console, "error").mockImplementation(() => undefined);
    await sql(hub, "CREATE TRIGGER full BEFORE INSERT ON states BEGIN SELECT RAISE(ABORT, 'full'); END");
    const outcome = await hub.sync(syncOf(reportOf("s", 1, 5))).then(
      () => "acknowledged",
      () => "failed",
    );
    expect(outcome).toBe("failed");
    expect(logged).toHaveBeenCalled();
    logged.mockRestore();
    const again = env.HUB.getByName(name);
    await sql(again, "DROP TRIGGER full");
    expect(await valueOf(again)).toBe(1);
    expect(await again.sync(syncOf(reportOf("s", 1, 5)))).toMatchObject({ kind: "synced", seq: 1 });
    expect(await valueOf(again)).toBe(6);
  });
});

describe("adding", () => {
  it("counts each of 200 at once, and all of them are stored together", async () => {
    const hub = newHub();
    const rows = await rowsWritten(hub, async () => {
      const replies = await Promise.all(Array.from({ length: 200 }, () => hub.add("hits", "k", 2)));
      expect(replies.every(({ kind }) => kind === "added")).toBe(true);
    });
    expect(await valueOf(hub)).toBe(400);
    expect(rows).toBeLessThanOrEqual(20);
    await abortAllDurableObjects();
  });

  it("answers what it does not understand with a value", async () => {
    const hub = newHub();
    const wrong: [unknown, unknown, unknown][] = [
      ["not a name", "k", 1],
      ["hits", "", 1],
      ["hits", "k".repeat(300), 1],
      ["hits", "k", 0],
      ["hits", "k", -1],
      ["hits", "k", 0.5],
      ["hits", "k", 2 ** 53],
      ["hits", "k", "1"],
      [undefined, undefined, undefined],
    ];
    const replies = await Promise.all(wrong.map((values) => hub.add(...values)));
    expect(replies.every(({ kind }) => kind === "malformed")).toBe(true);
    expect(await hub.read("not a name", "k")).toBeNull();
    expect(await hub.gossip({ from: "enam" })).toBeNull();
    expect(await hub.gossip(undefined)).toBeNull();
    expect(await hub.give("q:1:1:api:k", "enam.0.0.0", 5)).toBeNull();
    expect(await hub.sync(null)).toEqual({ kind: "refused", reason: "malformed" });
    expect(await tablesOf(hub)).toEqual([]);
  });

  it("says when a counter can hold no more", async () => {
    const hub = newHub();
    expect(await hub.add("hits", "k", Number.MAX_SAFE_INTEGER)).toEqual({ kind: "added" });
    expect(await hub.add("hits", "k", 1)).toEqual({ kind: "overflow" });
    expect(await valueOf(hub)).toBe(Number.MAX_SAFE_INTEGER);
  });
});

describe("rows", () => {
  it("are one for each state and session that changed, none where nothing must be stored", async () => {
    const hub = newHub();
    await hub.sync(syncOf(reportOf("s", 1, 1, ["a", "b", "c"])));
    const second = syncOf(reportOf("s", 2, 1, ["a", "b", "c"]));
    expect(await rowsWritten(hub, () => hub.sync(second))).toBe(4);
    expect(await rowsWritten(hub, () => hub.sync(second))).toBe(0);
    const terms: LimitTerms = { limit: "api", key: "k", consistency: "global", units: 10, windowMs: 60_000 };
    const uses = [{ terms, at: Date.now(), units: 1 }];
    const soft = syncOf({ ...reportOf("s", 3, 1, []), uses });
    expect(await rowsWritten(hub, () => hub.sync(soft))).toBe(0);
    expect(await sql(hub, "SELECT id, seq FROM sessions")).toEqual([{ id: "s", seq: 2 }]);
  });

  it("of many isolates that speak at once are written in one transaction", async () => {
    const hub = newHub();
    await hub.add("hits", "k", 1);
    const rows = await rowsWritten(hub, () =>
      Promise.all(Array.from({ length: 50 }, (_, index) => hub.sync(syncOf(reportOf(`s${index}`, 1, 1))))),
    );
    expect(rows).toBeGreaterThanOrEqual(51);
    expect(rows).toBeLessThanOrEqual(55);
    expect(await valueOf(hub)).toBe(51);
  });

  it("are none for a hub that was only asked whether it is there, and it sets no alarm", async () => {
    const shard = shards++;
    const [used, unused] = [hubOf("weur", shard), hubOf("enam", shard)];
    await used.add("hits", "k", 1);
    await used.wake();
    await unused.snapshot();
    const { peers } = await used.describe();
    expect(peers).toEqual({});
    expect(await tablesOf(unused)).toEqual([]);
    expect(await alarmOf(unused)).toBeNull();
    expect((await tablesOf(used)).map(({ name }) => name)).toContain("states");
    expect(await alarmOf(used)).not.toBeNull();
  });
});

describe("hubs of two regions", { timeout: PATIENCE_MS }, () => {
  it("exchange what they have counted, by calls and alarms alone (C 5: 16, 41)", async () => {
    const shard = shards++;
    const [weur, enam] = [hubOf("weur", shard), hubOf("enam", shard)];
    await Promise.all([weur.add("hits", "k", 10), enam.add("hits", "k", 100)]);
    for (const hub of [weur, enam]) await runDurableObjectAlarm(hub);
    for (const hub of [weur, enam]) {
      await vi.waitFor(async () => expect(await valueOf(hub)).toBe(110), POLL);
    }
    const reading = await weur.read("hits", "k");
    expect(reading?.slots).toEqual({ [`enam.${shard}.0.0`]: 100, [`weur.${shard}.0.0`]: 10 });
    await enam.add("hits", "k", 1000);
    await runDurableObjectAlarm(enam);
    await vi.waitFor(async () => expect(await valueOf(weur)).toBe(1110), POLL);
    expect((await weur.describe()).peers).toMatchObject({ enam: { failures: 0 } });
  });

  it("know each other's counts after both crashed", async () => {
    const shard = shards++;
    await hubOf("weur", shard).add("hits", "k", 10);
    await hubOf("enam", shard).add("hits", "k", 100);
    await abortAllDurableObjects();
    const [weur, enam] = [hubOf("weur", shard), hubOf("enam", shard)];
    for (const hub of [weur, enam]) {
      await vi.waitFor(async () => expect(await valueOf(hub)).toBe(110), POLL);
    }
  });
});

describe("an alarm", () => {
  it("is armed by the first use, for later, and again by itself", async () => {
    const hub = newHub();
    await hub.add("hits", "k", 1);
    const before = Date.now();
    expect(await alarmOf(hub)).toBeGreaterThan(before);
    for (let round = 0; round < 3; round++) {
      expect(await runDurableObjectAlarm(hub)).toBe(true);
      const at = (await alarmOf(hub)) ?? 0;
      expect(at).toBeGreaterThan(Date.now());
      expect(at).toBeLessThan(Date.now() + 3000);
    }
  });

  it("that fails does not throw, says so, and comes again", async () => {
    const hub = newHub();
    await hub.add("hits", "k", 1);
    await runInDurableObject(hub, (object) => Reflect.set(object, "env", { ...env, TIDEGATE_REGIONS: 7 }));
    const logged = vi.spyOn(console, "error").mockImplementation(() => undefined);
    expect(await runDurableObjectAlarm(hub)).toBe(true);
    expect(String(logged.mock.calls[0])).toContain("round-failed");
    logged.mockRestore();
    expect(await alarmOf(hub)).toBeGreaterThan(Date.now());
    expect(await hub.add("hits", "k", 1)).toEqual({ kind: "added" });
  });

  it("is armed again after a crash by whoever calls first", async () => {
    const hub = newHub();
    const name = hub.name ?? "";
    await hub.add("hits", "k", 1);
    await runInDurableObject(hub, (_, { storage }) => storage.deleteAlarm());
    await abortAllDurableObjects();
    const again = env.HUB.getByName(name);
    await again.snapshot();
    expect(await alarmOf(again)).not.toBeNull();
  });
});

describe("an override", () => {
  it("is there after an eviction and a crash, and so is its clearing", async () => {
    const hub = newHub();
    const name = hub.name ?? "";
    const until = Date.now() + 60_000;
    expect(await hub.override("up", { until, breaker: "open" })).toEqual({ kind: "written" });
    await evictDurableObject(hub);
    expect(await hub.overrides()).toMatchObject({ up: { until, breaker: "open", region: "weur" } });
    expect((await hub.snapshot()).overrides).toEqual({ up: { until, breaker: "open" } });
    expect(await hub.override("up", null)).toEqual({ kind: "written" });
    await abortAllDurableObjects();
    expect(await env.HUB.getByName(name).overrides()).toEqual({});
  });

  it("that is none is refused", async () => {
    const hub = newHub();
    const until = Date.now() + 60_000;
    expect(await hub.override("not a name", { until })).toEqual({ kind: "malformed" });
    expect(await hub.override("up", { until: NaN })).toEqual({ kind: "malformed" });
    expect(await hub.override("up", { until, cursor: 513 })).toEqual({ kind: "malformed" });
    expect(await hub.overrides()).toEqual({});
  });
});

describe("a hub", () => {
  it("has a name of its own kind; any other object is refused", async () => {
    const refused = await runInDurableObject(newHub(), (_, state) => {
      const named = (name: string | undefined) => Object.create(state, { id: { value: { name } } });
      return ["weur", "hub:weur", "hub:WEUR:0", "hub:weur:00", "hub:weur:0:1", "", undefined].map((name) => {
        try {
          return typeof new RegionHub(named(name), env);
        } catch (error) {
          return String(error);
        }
      });
    });
    for (const text of refused) expect(text).toContain("a hub is named hub:<region>:<shard>");
  });

  it("has a new slot in memory after each start and the same one in storage", async () => {
    const hub = newHub();
    const before = await hub.describe();
    await evictDurableObject(hub);
    const after = await hub.describe();
    expect(after.boot).toBeGreaterThan(before.boot);
    expect(after.slots.ephemeral).not.toBe(before.slots.ephemeral);
    expect(after.slots.durable).toBe(before.slots.durable);
  });

  it("takes no faults outside local development", async () => {
    const hub = newHub();
    expect(await hub.setFaults({ loss: 1 })).toBe(false);
    await hub.abort();
    expect(await hub.add("hits", "k", 1)).toEqual({ kind: "added" });
  });
});

describe("a capped limit", { timeout: PATIENCE_MS }, () => {
  const CAP = 40;
  const terms = { limit: "plan", consistency: "capped", units: CAP, windowMs: 86_400_000 } as const;

  function askOf(region: string, key: string): SyncRequest {
    const ask = { terms: { ...terms, key }, need: 1, want: 4, held: 0, unreported: 0 };
    return { region, session: "s", report: null, asks: [ask], urgent: true };
  }

  it("is minted by the ledger of its key, and two regions together lease all of it and no more", async () => {
    const shard = shards++;
    const key = `shard-${shard}`;
    const hubs = ["weur", "enam"].map((region) => [region, hubOf(region, shard)] as const);
    let leased = 0;
    await vi.waitFor(async () => {
      for (const [region, hub] of hubs) leased += unitsOf(await hub.sync(askOf(region, key)));
      expect(leased).toBeGreaterThanOrEqual(CAP);
    }, POLL);
    for (const [region, hub] of hubs) leased += unitsOf(await hub.sync(askOf(region, key)));
    expect(leased).toBe(CAP);
    const ledger = env.LEDGER.getByName(ledgerName("plan", key));
    const mints = await runInDurableObject(ledger, (_, { storage }) =>
      storage.sql.exec<{ total: number }>("SELECT SUM(total) AS total FROM mints").one(),
    );
    expect(mints.total).toBe(CAP);
  });

  it("does not lease again after a crash what it leased before", async () => {
    const shard = shards++;
    const key = `shard-${shard}`;
    let leased = 0;
    for (let turn = 0; turn < 40; turn++) {
      leased += unitsOf(await hubOf("weur", shard).sync(askOf("weur", key)));
      if (turn % 8 === 0) await abortAllDurableObjects();
    }
    expect(leased).toBeGreaterThan(0);
    expect(leased).toBeLessThanOrEqual(CAP);
  });
});
