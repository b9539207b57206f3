// A saga is stored first and started then, and never only one of the two: the ledger is killed between them,
// and the platform refuses to create executors.

import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import type { SagaLedger } from "../../durable-objects/saga-ledger.ts";
import { UNCREATED_TERMS } from "../../durable-objects/saga-ledger/start-gate.ts";
import { CRITICAL_ROOM } from "../../src/delivery/core/backpressure.ts";
import type { Ledger } from "./saga-rig.ts";
import { age, bindWorkflow, request, sql } from "./saga-rig.ts";

let ledgers = 0;

function newLedger(): Ledger {
  return env.SAGA_LEDGER.getByName(`saga.start${++ledgers}`);
}

/** A stub of a killed object stays broken. */
function again(ledger: Ledger): Ledger {
  return env.SAGA_LEDGER.getByName(ledger.name ?? "");
}

async function start(ledger: Ledger, key: string): Promise<string | null> {
  try {
    const reply = await ledger.start(request(key, { name: (ledger.name ?? "").slice("saga.".length) }));
    return reply.kind === "started" ? reply.id : null;
  } catch {
    return null;
  }
}

async function hasMoved(ledger: Ledger, id: string): Promise<boolean> {
  const reply = await ledger.view(id);
  return reply.kind === "found" && reply.view.steps[0].forward.deferrals > 0;
}

/** Told by the test to the killer, and back: a promise of one object's is never settled by another. */
interface Signals {
  isAnswered: boolean;
  isKilled: boolean;
}

/** When the process dies, seen from the call that creates an executor. */
const DEATHS = {
  "before anything is answered": () => Promise.resolve(),
  "once it is answered, before an executor is created": (_create, signals) => until(() => signals.isAnswered),
  "after its executor is created": (create) => create(),
} as const satisfies Record<string, (create: () => Promise<unknown>, signals: Signals) => Promise<unknown>>;

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe("a ledger that dies while it starts a saga", () => {
  it.for(Object.entries(DEATHS))(
    "%s: neither the record nor the start exists alone",
    { timeout: 30_000 },
    async ([name, untilDeath]) => {
      const ledger = newLedger();
      const signals: Signals = { isAnswered: false, isKilled: false };
      await bindWorkflow(ledger, (real, abort) => ({
        get: (id) => real.get(id),
        async createBatch(batch) {
          await untilDeath(() => real.createBatch(batch), signals);
          signals.isKilled = true;
          abort();
        },
      }));
      const told = await start(ledger, "k");
      signals.isAnswered = true;
      await until(() => signals.isKilled);
      const rows = await vi.waitFor(() => sql(again(ledger), "SELECT key FROM sagas"), 5_000);
      // What is not stored was not answered.
      const mayBeLost = name === "before anything is answered" && told === null;
      expect(rows.length === 1 || mayBeLost).toBe(true);
      const id = (await start(again(ledger), "k")) ?? "";
      expect(told ?? id).toBe(id);
      await age(again(ledger), "k");
      await runDurableObjectAlarm(again(ledger));
      await vi.waitFor(async () => expect(await hasMoved(again(ledger), id)).toBe(true), 15_000);
      expect(await sql(again(ledger), "SELECT key FROM sagas")).toEqual([{ key: "k" }]);
    },
  );

  it("stores it before anything is created", async () => {
    const ledger = newLedger();
    const seen: number[] = [];
    await runInDurableObject(ledger, (instance: SagaLedger, { storage }) => {
      const own: unknown = Reflect.get(instance, "env");
      const createBatch = (batch: readonly { id: string }[]): Promise<void> => {
        const [{ count }] = storage.sql
          .exec<{ count: number }>("SELECT COUNT(*) AS count FROM sagas")
          .toArray();
        seen.push(count - batch.length);
        return Promise.resolve();
      };
      Reflect.set(instance, "env", { ...Object(own), SAGA: { createBatch } });
    });
    await Promise.all(Array.from({ length: 20 }, (_, index) => start(ledger, `k${index}`)));
    expect(seen.length).toBeGreaterThan(0);
    for (const spare of seen) expect(spare).toBeGreaterThanOrEqual(0);
  });
});

describe("a platform that creates no executors now", () => {
  it("is asked again, more slowly and for fewer; each saga gets one executor, in the order of starts", async () => {
    const ledger = newLedger();
    const asked: number[] = [];
    const created: string[] = [];
    await bindWorkflow(ledger, (real) => ({
      get: (id) => real.get(id),
      async createBatch(batch) {
        asked.push(batch.length);
        if (asked.length <= 2) throw new Error("too many requests");
        created.push(...batch.map(({ id }) => id));
        return real.createBatch(batch);
      },
    }));
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const begun: (string | null)[] = [];
    for (let index = 0; index < 30; index++) begun.push(await start(ledger, `k${index}`));
    await vi.waitFor(() => expect(created).toHaveLength(30), 10_000);
    log.mockRestore();
    const named = begun.map((id) => `${id?.split("-").slice(0, 2).join("-")}-r1`);
    expect(created).toEqual(named);
    await vi.waitFor(async () => expect(await hasMoved(ledger, begun[29] ?? "")).toBe(true), 10_000);
  }, 30_000);

  it("is not given another executor's name by the watchdog meanwhile", async () => {
    const ledger = newLedger();
    await bindWorkflow(ledger, (real) => ({
      get: (id) => real.get(id),
      createBatch: () => Promise.reject(new Error("too many requests")),
    }));
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const id = await start(ledger, "k");
    await age(ledger, "k");
    await runDurableObjectAlarm(ledger);
    log.mockRestore();
    const reply = await ledger.view(id ?? "");
    expect(reply).toMatchObject({ view: { run: 1 } });
  });

  it("slows producers down: all but P0 from the watermark, P0 from 1.25 of it, longer and longer", async () => {
    const ledger = newLedger();
    const { highWatermark } = UNCREATED_TERMS;
    await bindWorkflow(ledger, () => ({
      get: () => Promise.reject(new Error("none")),
      createBatch: () => new Promise(() => {}),
    }));
    const refusals = await runInDurableObject(ledger, async (instance: SagaLedger) => {
      const begin = (key: string, trafficClass: 0 | 1) => instance.start(request(key, {}, trafficClass));
      for (let index = 0; index < highWatermark; index++) await begin(`k${index}`, 1);
      const ordinary = await begin("p1", 1);
      const critical = await begin("p0", 0);
      const replayed = await begin("k0", 1);
      for (let index = highWatermark + 1; index < CRITICAL_ROOM * highWatermark; index++) {
        await begin(`k${index}`, 0);
      }
      return [ordinary, critical, replayed, await begin("last", 0)];
    });
    expect(refusals).toMatchObject([
      { kind: "full", retryAfterMs: 300_000 },
      { kind: "started", replayed: false },
      { kind: "started", replayed: true },
      { kind: "full" },
    ]);
  }, 60_000);
});

describe("a platform that does not answer", () => {
  it("about one executor holds no other one up", async () => {
    const ledger = newLedger();
    const created: string[] = [];
    await bindWorkflow(ledger, () => ({
      // The first one's status never comes, and there is no other.
      get: (id) => (id === created[0] ? new Promise(() => {}) : Promise.reject(new Error("none"))),
      createBatch(batch) {
        created.push(...batch.map(({ id }) => id));
        return Promise.resolve();
      },
    }));
    const ids = [await start(ledger, "hangs"), await start(ledger, "other")];
    expect(created).toHaveLength(2);
    for (const key of ["hangs", "other"]) await age(ledger, key);
    expect(await runDurableObjectAlarm(ledger)).toBe(true);
    const views = await Promise.all(ids.map((id) => ledger.view(id ?? "")));
    expect(views).toMatchObject([{ view: { run: 2 } }, { view: { run: 2 } }]);
    expect(await runInDurableObject(ledger, (_, { storage }) => storage.getAlarm())).not.toBeNull();
  }, 20_000);
});
