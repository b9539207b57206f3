// The ledger of sagas in the real runtime, with real storage and real workflow instances.

import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import type { Ledger } from "./saga-rig.ts";
import { age, definition, request, sql } from "./saga-rig.ts";

function ledgerOf() {
  return env.SAGA_LEDGER.getByName("saga.test");
}

async function started(ledger: Ledger, key: string): Promise<string> {
  const reply = await ledger.start(request(key));
  if (reply.kind !== "started") throw new Error(reply.kind);
  return reply.id;
}

async function viewOf(ledger: Ledger, id: string) {
  const reply = await ledger.view(id);
  if (reply.kind !== "found") throw new Error(reply.kind);
  return reply.view;
}

const begin = (id: string, run: number) => ({
  id,
  run,
  work: { step: "only", direction: "forward" } as const,
  told: null,
});

describe("start", () => {
  it("stores one instance for one key, however many ask at once", async () => {
    const ledger = ledgerOf();
    const replies = await Promise.all(Array.from({ length: 50 }, () => ledger.start(request("same"))));
    expect(new Set(replies.map((reply) => JSON.stringify({ ...reply, replayed: true }))).size).toBe(1);
    expect(replies.filter((reply) => reply.kind === "started" && !reply.replayed)).toHaveLength(1);
    expect(await sql(ledger, "SELECT COUNT(*) AS count FROM sagas WHERE key = 'same'")).toEqual([
      { count: 1 },
    ]);
  });

  it("keeps the definition that an instance began with", async () => {
    const ledger = ledgerOf();
    const id = await started(ledger, "pinned");
    await ledger.start(request("later", { version: "v2", groups: [] }));
    await evictDurableObject(ledger);
    expect(await viewOf(ledger, id)).toMatchObject({ version: "v1", steps: [{ id: "only" }] });
  });

  it("refuses an id whose secret part is another one", async () => {
    const ledger = ledgerOf();
    const id = await started(ledger, "secret");
    expect(await ledger.view(`${"0".repeat(32)}${id.slice(32)}`)).toEqual({ kind: "unknown" });
  });

  it("gets an executor, which comes back while nothing can be sent", async () => {
    const ledger = ledgerOf();
    const id = await started(ledger, "moves");
    await vi.waitFor(
      async () => expect((await viewOf(ledger, id)).steps[0].forward.deferrals).toBeGreaterThan(1),
      10_000,
    );
    expect((await viewOf(ledger, id)).steps[0].forward.attempts).toBe(0);
  });
});

describe("the watchdog", () => {
  it("makes another executor where there is none, and fences the old one off", async () => {
    const ledger = ledgerOf();
    const id = await started(ledger, "lost");
    const hex = "b".repeat(32);
    const lost = hex + id.slice(32);
    await evictDurableObject(ledger);
    // Under this name no executor was ever created.
    await sql(ledger, "UPDATE sagas SET hex = ? WHERE key = 'lost'", hex);
    await age(ledger, "lost");
    expect(await runDurableObjectAlarm(ledger)).toBe(true);
    expect((await viewOf(ledger, lost)).run).toBe(2);
    expect(await ledger.step(begin(lost, 1))).toEqual({ kind: "stale" });
    expect(await ledger.resume({ id: lost, run: 1 })).toEqual({ kind: "stale" });
    await vi.waitFor(
      async () => expect((await viewOf(ledger, lost)).steps[0].forward.deferrals).toBeGreaterThan(0),
      10_000,
    );
  });

  it("replaces an executor that somebody has paused, also when the ledger was evicted (85)", async () => {
    const ledger = ledgerOf();
    const id = await started(ledger, "paused");
    await vi.waitFor(async () => expect((await viewOf(ledger, id)).state).toBe("running"), 5000);
    const executor = await env.SAGA.get(`${id.split("-").slice(0, 2).join("-")}-r1`);
    await executor.pause();
    await vi.waitFor(async () => expect((await executor.status()).status).toBe("paused"), 5000);
    const before = (await viewOf(ledger, id)).steps[0].forward.deferrals;
    await evictDurableObject(ledger);
    await age(ledger, "paused");
    expect(await runDurableObjectAlarm(ledger)).toBe(true);
    await vi.waitFor(
      async () => expect((await viewOf(ledger, id)).steps[0].forward.deferrals).toBeGreaterThan(before),
      15_000,
    );
    expect((await viewOf(ledger, id)).run).toBe(2);
  }, 30_000);

  it("has patience with an executor that it has heard", async () => {
    const ledger = ledgerOf();
    const id = await started(ledger, "slow");
    await vi.waitFor(async () => expect((await viewOf(ledger, id)).state).toBe("running"), 5000);
    const before = (await ledger.counts()).rescuedTotal;
    await age(ledger, "slow", 10_000);
    await runDurableObjectAlarm(ledger);
    expect((await ledger.counts()).rescuedTotal).toBe(before);
  });

  it("has its alarm again when that was lost and the object begins anew", async () => {
    const ledger = ledgerOf();
    const id = await started(ledger, "unwatched");
    await runInDurableObject(ledger, (_, { storage }) => storage.deleteAlarm());
    await evictDurableObject(ledger);
    await viewOf(ledger, id);
    expect(await runInDurableObject(ledger, (_, { storage }) => storage.getAlarm())).not.toBeNull();
  });

  it("undoes what is too late", async () => {
    const ledger = ledgerOf();
    const id = await started(ledger, "late");
    await vi.waitFor(async () => expect((await viewOf(ledger, id)).state).toBe("running"), 5000);
    await runInDurableObject(ledger, (_, { storage }) => {
      const [{ state }] = storage.sql
        .exec<{ state: string }>("SELECT state FROM sagas WHERE key = 'late'")
        .toArray();
      const late = JSON.stringify({ ...JSON.parse(state), timeoutAt: 1 });
      storage.sql.exec("UPDATE sagas SET state = ?, due_at = 1 WHERE key = 'late'", late);
    });
    await vi.waitFor(async () => {
      await runDurableObjectAlarm(ledger);
      expect(await viewOf(ledger, id)).toMatchObject({ state: "compensated", stop: { reason: "timeout" } });
    }, 10_000);
  });

  it("never lets its alarm go, also when it cannot do its work", async () => {
    const ledger = ledgerOf();
    await started(ledger, "alarm");
    await sql(ledger, "UPDATE sagas SET state = 'no JSON', due_at = 1 WHERE key = 'alarm'");
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    expect(await runDurableObjectAlarm(ledger)).toBe(true);
    expect(log).toHaveBeenCalled();
    log.mockRestore();
    expect(await runInDurableObject(ledger, (_, { storage }) => storage.getAlarm())).not.toBeNull();
    await sql(ledger, "DELETE FROM sagas WHERE key = 'alarm'");
  });
});

describe("two executors of one run", () => {
  it("do not call at the same time: the second comes back when the first has had its time", async () => {
    const ledger = env.SAGA_LEDGER.getByName("saga.other");
    const reply = await ledger.start({ ...request("double"), definition: { ...definition, name: "other" } });
    if (reply.kind !== "started") throw new Error(reply.kind);
    // The real executor is fenced off; these two speak for the next run.
    await runInDurableObject(ledger, (_, { storage }) => {
      const [{ state }] = storage.sql.exec<{ state: string }>("SELECT state FROM sagas").toArray();
      storage.sql.exec("UPDATE sagas SET state = ?", JSON.stringify({ ...JSON.parse(state), run: 9 }));
    });
    const [one, other] = await Promise.all([
      ledger.step(begin(reply.id, 9)),
      ledger.step(begin(reply.id, 9)),
    ]);
    const kinds = [one, other].map((each) => (each.kind === "command" ? each.command.kind : each.kind));
    expect(new Set(kinds)).toEqual(new Set(["call", "later"]));
  });
});
