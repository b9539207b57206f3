// The base class in the real runtime, through the example's order: transactions, order, failures, alarms,
// deletion.

import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import worker from "../../examples/outbox-object/src/index.ts";
import type { OrderObject } from "../../examples/outbox-object/src/order.ts";
import type { Emit } from "../../durable-objects/outbox-object.ts";
import { FIRST_WAIT_MS } from "../../src/delivery/relay/cursor.ts";
import { heardOf, script } from "./heard.ts";

type Stub = ReturnType<typeof env.ORDERS.getByName>;
type Work = (sql: SqlStorage, emit: Emit) => unknown;

/** Runs a transaction of the test's own inside the object. */
function transact(stub: Stub, work: Work): Promise<unknown> {
  return runInDurableObject(stub, (instance: OrderObject) => {
    const transaction: unknown = Reflect.get(instance, "transaction");
    return typeof transaction === "function" ? transaction.call(instance, work) : null;
  });
}

function sql(stub: Stub, query: string) {
  return runInDurableObject(stub, (_, { storage }) => storage.sql.exec(query).toArray());
}

const typesOf = async (name: string) => (await heardOf(name)).map(({ type }) => type);

describe("a transaction", () => {
  it("that throws stores nothing of its rows and its events", async () => {
    const stub = env.ORDERS.getByName("throws");
    const failing = transact(stub, (own, emit) => {
      own.exec("INSERT INTO orders (state, cents) VALUES ('PLACED', 1)");
      emit("order.placed");
      throw new Error("no");
    });
    await expect(failing).rejects.toThrow("no");
    expect(await stub.read()).toBeNull();
    expect(await stub.outboxState()).toEqual({ waiting: 0, oldestAgeMs: 0, failures: 0 });
  });

  it("cannot wait: what would be stored behind a promise is not", async () => {
    const stub = env.ORDERS.getByName("promise");
    await expect(transact(stub, async (_, emit) => emit("order.placed"))).rejects.toThrow("cannot wait");
    expect((await stub.outboxState()).waiting).toBe(0);
  });

  it("emits nothing after its end", async () => {
    const stub = env.ORDERS.getByName("late");
    let late: Emit | null = null;
    await transact(stub, (_, emit) => {
      late = emit;
    });
    await expect(transact(stub, () => late?.("order.placed"))).rejects.toThrow("after its transaction");
  });

  it.for<[string, Work, string]>([
    ["without a type", (_, emit) => emit(""), "type must not be empty"],
    ["with data that JSON cannot carry", (_, emit) => emit("a", () => 1), "data must be bytes"],
    ["that is too large", (_, emit) => emit("a", "x".repeat(100_000)), "at most 98304 bytes"],
    ["with a bad extension", (_, emit) => emit("a", 1, { extensions: { Bad: 1 } }), "Bad must be named"],
  ])("refuses an event %s", async ([name, work, message]) => {
    const stub = env.ORDERS.getByName(name);
    await expect(transact(stub, work)).rejects.toThrow(message);
    expect((await stub.outboxState()).waiting).toBe(0);
  });
});

describe("its events", () => {
  it("are heard in their order without another call: the alarm was set with them", async () => {
    const stub = env.ORDERS.getByName("alarm");
    await stub.place(5);
    await stub.pay();
    await stub.pay();
    await vi.waitFor(
      async () => expect(await typesOf("alarm")).toEqual(["order.placed", "order.paid"]),
      5_000,
    );
    const [placed, paid] = await heardOf("alarm");
    expect([placed.sequence, paid.sequence]).toEqual(["0000000000000001", "0000000000000002"]);
    expect(placed.id).not.toBe(paid.id);
  });

  it("come again under the same ids when an answer was lost", async () => {
    await script("lost-answer", ["after"]);
    const stub = env.ORDERS.getByName("lost-answer");
    await stub.place(5);
    await vi.waitFor(async () => expect(await heardOf("lost-answer")).toHaveLength(2), 5_000);
    const [first, second] = await heardOf("lost-answer");
    expect(first).toEqual(second);
  });

  it("wait while the gateway cannot take them, longer each time", async () => {
    await script("outage", [503, 503]);
    const stub = env.ORDERS.getByName("outage");
    await stub.place(5);
    await vi.waitFor(
      async () => expect(await stub.outboxState()).toMatchObject({ failures: 1, waiting: 1 }),
      5_000,
    );
    // Nobody may try before the time.
    expect(await stub.flushOutbox()).toMatchObject({ waiting: 1, failures: 1 });
    expect(await heardOf("outage")).toEqual([]);
    await vi.waitFor(async () => expect(await typesOf("outage")).toEqual(["order.placed"]), {
      timeout: 6 * FIRST_WAIT_MS,
      interval: 100,
    });
    await vi.waitFor(async () => expect((await stub.outboxState()).failures).toBe(0), 5_000);
  });

  it("that are refused for good are kept apart, hold nothing back and can be sent again", async () => {
    await script("refused", [400, 400, 202]);
    const stub = env.ORDERS.getByName("refused");
    await transact(stub, (_, emit) => {
      emit("order.bad", 1, { key: "refused" });
      emit("order.good", 2, { key: "refused" });
    });
    await stub.flushOutbox();
    expect(await typesOf("refused")).toEqual(["order.good"]);
    const dead = await stub.deadEvents();
    expect(dead).toMatchObject([{ seq: 1, error: "status 400" }]);
    expect(await stub.replayDead([1, 1, 7])).toBe(1);
    await stub.flushOutbox();
    expect(await typesOf("refused")).toEqual(["order.good", "order.bad"]);
    expect(await stub.deadEvents()).toEqual([]);
  });

  it(
    "are heard after a death between commit and publication that nobody notices",
    { timeout: 30_000 },
    async () => {
      const stub = env.ORDERS.getByName("unnoticed");
      await stub.failAt("before_publish");
      await stub.place(5);
      await vi.waitFor(async () => expect(await typesOf("unnoticed")).toEqual(["order.placed"]), {
        timeout: 20_000,
        interval: 200,
      });
    },
  );

  it("of an object that was evicted go on where they were", async () => {
    const stub = env.ORDERS.getByName("evicted");
    await stub.place(5);
    await stub.flushOutbox();
    await evictDurableObject(stub);
    await stub.pay();
    await stub.flushOutbox();
    expect(await typesOf("evicted")).toEqual(["order.placed", "order.paid"]);
  });

  it("go in batches: 250 of them in one run, each once", async () => {
    const stub = env.ORDERS.getByName("many");
    await transact(stub, (_, emit) => {
      for (let index = 0; index < 250; index++) emit("tick", index);
    });
    expect(await stub.flushOutbox()).toEqual({ waiting: 0, oldestAgeMs: 0, failures: 0 });
    const heard = await heardOf("many");
    expect(heard.map(({ sequence }) => Number(sequence))).toEqual(
      Array.from({ length: 250 }, (_, n) => n + 1),
    );
  });
});

it("writes a row for each event, and two for a batch that is published", async () => {
  const stub = env.ORDERS.getByName("price");
  const cursors: { readonly rowsWritten: number }[] = [];
  const spy = await runInDurableObject(stub, (_, { storage }) => {
    const prototype: SqlStorage = Object.getPrototypeOf(storage.sql);
    const exec = prototype.exec.bind(storage.sql);
    return vi.spyOn(prototype, "exec").mockImplementation((query, ...bindings) => {
      const cursor = exec(query, ...bindings);
      cursors.push(cursor);
      return cursor;
    });
  });
  await transact(stub, (_, emit) => {
    for (let index = 0; index < 100; index++) emit("tick", index);
  });
  await stub.flushOutbox();
  spy.mockRestore();
  const rows = await runInDurableObject(stub, () =>
    cursors.reduce((sum, { rowsWritten }) => sum + rowsWritten, 0),
  );
  expect(rows).toBe(102);
});

describe("old events", () => {
  it("are deleted, but a number never comes back", async () => {
    const stub = env.ORDERS.getByName("collect");
    await transact(stub, (_, emit) => {
      for (let index = 0; index < 5; index++) emit("tick", index);
    });
    await runInDurableObject(stub, async (instance: OrderObject) => {
      Reflect.set(instance, "retentionMs", () => -1);
      await instance.alarm();
    });
    expect(await sql(stub, "SELECT seq FROM tidegate_outbox")).toEqual([{ seq: 5 }]);
    // Even when somebody else deletes the newest row.
    await sql(stub, "DELETE FROM tidegate_outbox");
    await transact(stub, (_, emit) => emit("tick"));
    await stub.flushOutbox();
    const heard = await heardOf("collect");
    expect(heard.map(({ sequence }) => Number(sequence))).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it("that were not published stay", async () => {
    await script("collect-waiting", [503, 503, 503, 503]);
    const stub = env.ORDERS.getByName("collect-waiting");
    await transact(stub, (_, emit) => {
      for (let index = 0; index < 5; index++) emit("tick", index);
    });
    await runInDurableObject(stub, async (instance: OrderObject) => {
      Reflect.set(instance, "retentionMs", () => -1);
      await instance.alarm();
    });
    expect((await stub.outboxState()).waiting).toBe(5);
  });
});

describe("the alarm", () => {
  it("belongs to the user's own code as well, and is not lost when that fails", async () => {
    const stub = env.ORDERS.getByName("own-alarm");
    let calls = 0;
    await runInDurableObject(stub, async (instance: OrderObject, { storage }) => {
      Reflect.set(instance, "onAlarm", () => {
        calls += 1;
        if (calls === 1) throw new Error("first time");
      });
      const setOwnAlarm: unknown = Reflect.get(instance, "setOwnAlarm");
      if (typeof setOwnAlarm === "function") setOwnAlarm.call(instance, Date.now() - 1);
      await instance.alarm();
      expect(await storage.getAlarm()).toBeGreaterThan(Date.now() + 50_000);
      if (typeof setOwnAlarm === "function") setOwnAlarm.call(instance, Date.now() - 1);
      await instance.alarm();
      expect(await storage.getAlarm()).toBeNull();
    });
    expect(calls).toBe(2);
  });

  it("never throws, not even when its tables are gone", async () => {
    const stub = env.ORDERS.getByName("broken");
    await sql(stub, "DROP TABLE tidegate_relay");
    await runInDurableObject(stub, async (instance: OrderObject, { storage }) => {
      await expect(instance.alarm()).resolves.toBeUndefined();
      expect(await storage.getAlarm()).not.toBeNull();
    });
  });
});

it("cannot be killed where it is not local development", async () => {
  const stub = env.ORDERS.getByName("production");
  const isArmed = await runInDurableObject(stub, (instance: OrderObject) => {
    Reflect.set(instance, "env", { ...Object(Reflect.get(instance, "env")), TIDEGATE_LOCAL: undefined });
    return instance.failAt("after_commit");
  });
  expect(isArmed).toBe(false);
});

function call(path: string, init?: RequestInit): Promise<Response> {
  return worker.fetch(new Request(`https://shop${path}`, init), env);
}

it("is reached through the example's Worker", async () => {
  const placed = await call("/orders/web", { method: "POST", body: '{"cents": 7}' });
  expect([placed.status, await placed.json()]).toEqual([201, { state: "PLACED", cents: 7 }]);
  expect(await (await call("/orders/web/pay", { method: "POST" })).json()).toEqual({
    state: "PAID",
    cents: 7,
  });
  expect(await (await call("/orders/web")).json()).toEqual({ state: "PAID", cents: 7 });
  const statuses = [
    call("/orders/web", { method: "POST", body: "{}" }),
    call("/x"),
    call("/orders/a", { method: "PUT" }),
  ];
  expect((await Promise.all(statuses)).map(({ status }) => status)).toEqual([400, 404, 405]);
});
