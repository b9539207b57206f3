// The relay against a real Postgres: writers and relays at the same time, a relay that stalls, rows that
// cannot be published. What the receiver got is compared with what the writers committed.

import { randomUUID } from "node:crypto";
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventKey, type CloudEvent } from "../../../src/delivery/events/cloud-event.ts";
import { outboxTable, type KeyTable, type PlainTable } from "../../../src/delivery/relay/columns.ts";
import { numberOf, type Connection } from "../../../src/delivery/relay/connection.ts";
import { FIRST_TURN, passKeys, type KeyRelay } from "../../../src/delivery/relay/key-pass.ts";
import { passPlain } from "../../../src/delivery/relay/plain-pass.ts";
import type { EventPublisher, PublishOutcome } from "../../../src/delivery/relay/publisher.ts";
import { keyStatements, plainStatements } from "../../../src/delivery/relay/statements.ts";
import { NEW_PROGRESS, relayStep, type PostgresRelay } from "../../../src/delivery/relay/step.ts";
import { tableDefinition } from "../../../src/delivery/relay/table-definition.ts";
import { startPostgres, type TestDatabase } from "./database.ts";

const EVENTS = 2_000;
const WRITERS = 8;
const RELAYS = 4;
const KEYS = 20;
/** TIDEGATE_STALL_MS=60000: a relay stalls for a minute. A lease is a third of it. */
const STALL_MS = Number(process.env.TIDEGATE_STALL_MS || 1_800);

let database: TestDatabase;

beforeAll(async () => {
  database = await startPostgres();
}, 60_000);

afterAll(() => database.stop(), 30_000);

async function keyTable(name: string, columns: Record<string, string> = {}): Promise<KeyTable> {
  const checked = outboxTable("key", name, columns);
  if (checked.kind !== "table" || checked.table.order !== "key") throw new Error(JSON.stringify(checked));
  await (await database.connect()).query(tableDefinition(checked.table));
  return checked.table;
}

async function plainTable(name: string, columns: Record<string, string> = {}): Promise<PlainTable> {
  const checked = outboxTable("none", name, columns);
  if (checked.kind !== "table" || checked.table.order !== "none") throw new Error(JSON.stringify(checked));
  await (await database.connect()).query(tableDefinition(checked.table));
  return checked.table;
}

function connectionTo(client: pg.Client): Connection {
  return {
    query: (text, parameters) =>
      client.query(
        text,
        parameters.map((each) => each),
      ),
  };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

function keyRelay(table: KeyTable, changes: Partial<KeyRelay> = {}): KeyRelay {
  return {
    table,
    owner: randomUUID(),
    source: "/relays/shop",
    leaseMs: 30_000,
    onPoison: "block",
    canBury: true,
    ...changes,
  };
}

/** What a receiver got, in the order in which it arrived. */
class Receiver implements EventPublisher {
  readonly events: CloudEvent[] = [];
  /** Asked before each publication; null: it is taken. */
  answer: (events: readonly CloudEvent[]) => Promise<PublishOutcome | null> = async () => null;

  async publish(events: readonly CloudEvent[]): Promise<PublishOutcome> {
    const outcome = await this.answer(events);
    if (outcome !== null) return outcome;
    this.events.push(...events);
    return { kind: "published" };
  }

  get ids(): Set<string> {
    return new Set(this.events.map(({ id }) => id));
  }

  /** How often an event arrived for the first time behind a later one of its key. */
  inversions(): number {
    const seen = new Set<string>();
    const newest = new Map<string, number>();
    let count = 0;
    for (const event of this.events) {
      if (seen.has(event.id)) continue;
      seen.add(event.id);
      const key = eventKey(event) ?? "";
      const seq = Number(event.extensions.sequence);
      if (seq < (newest.get(key) ?? 0)) count += 1;
      newest.set(key, Math.max(seq, newest.get(key) ?? 0));
    }
    return count;
  }
}

function ports(client: pg.Client, publisher: EventPublisher) {
  return { connection: connectionTo(client), publisher, now: Date.now, random: Math.random };
}

/** Steps until it is told that all is done. */
async function runRelay(
  relay: PostgresRelay,
  publisher: EventPublisher,
  isDone: () => boolean,
): Promise<number> {
  const client = await database.connect();
  let progress = NEW_PROGRESS;
  let stale = 0;
  while (!isDone()) {
    const step = await relayStep(relay, progress, ports(client, publisher));
    if (step.kind === "database-failed") throw new Error(step.error);
    ({ progress } = step);
    stale += step.report.stale;
    await pause(Math.min(progress.pauseMs, 20));
  }
  return stale;
}

describe("order per key", () => {
  it(
    "loses nothing and keeps every key in order, though a relay stalls",
    { timeout: 60_000 + 2 * STALL_MS },
    async () => {
      const table = await keyTable("orders_outbox");
      const receiver = new Receiver();
      const leaseMs = STALL_MS / 3;
      let written = 0;
      let hasStalled = false;
      let stalledIds: string[] = [];
      const stalling: EventPublisher = {
        async publish(events) {
          if (hasStalled || receiver.events.length < 100) return await receiver.publish(events);
          // Longer than its lease: others take its keys over, then it goes on as if nothing had been.
          hasStalled = true;
          stalledIds = events.map(({ id }) => id);
          await pause(STALL_MS);
          return await receiver.publish(events);
        },
      };
      const isDone = () => written === EVENTS && receiver.ids.size === EVENTS && hasStalled;
      const writers = Array.from({ length: WRITERS }, async (_, writer) => {
        const client = await database.connect();
        for (let index = 0; index < EVENTS / WRITERS; index += 2) {
          // Two events in a transaction, in the order of their keys.
          const keys = [(writer * 7 + index) % KEYS, (writer * 3 + index * 5) % KEYS].toSorted(
            (a, b) => a - b,
          );
          await client.query("BEGIN");
          for (const key of keys) {
            await client.query(
              "INSERT INTO orders_outbox (key, type, payload) VALUES ($1, 'order.paid', $2)",
              [`order-${String(key).padStart(2, "0")}`, JSON.stringify({ writer, index })],
            );
          }
          await client.query("COMMIT");
          written += 2;
        }
      });
      const relays = Array.from({ length: RELAYS }, (_, index) =>
        runRelay(
          { order: "key", relay: keyRelay(table, { leaseMs }) },
          index === 0 ? stalling : receiver,
          isDone,
        ),
      );
      const [stale] = await Promise.all(relays);
      await Promise.all(writers);
      expect(receiver.ids.size).toBe(EVENTS);
      expect(receiver.inversions()).toBe(0);
      // The one that stalled published again what others had published, and could mark nothing of it.
      expect(stalledIds.length).toBeGreaterThan(0);
      expect(stale).toBe(stalledIds.length);
      const { rows } = await (await database.connect()).query(keyStatements(table, true).lag);
      expect(rows).toEqual([{ lag: 0, oldestAgeMs: "0" }]);
      expect((await (await database.connect()).query("SELECT * FROM orders_outbox_lease")).rows).toEqual([]);
    },
  );

  it("takes no mark from a relay whose key somebody else has claimed since", async () => {
    const table = await keyTable("fenced");
    const [client, other] = [await database.connect(), await database.connect()];
    await client.query("INSERT INTO fenced (key, type, payload) VALUES ('a', 't', '1')");
    const receiver = new Receiver();
    const gate = Promise.withResolvers<void>();
    const second = Promise.withResolvers<ReturnType<typeof passKeys>>();
    receiver.answer = async () => {
      await other.query("UPDATE fenced_lease SET until = now()");
      const taken = Promise.withResolvers<void>();
      const waiting = new Receiver();
      waiting.answer = async () => {
        taken.resolve();
        await gate.promise;
        return null;
      };
      second.resolve(passKeys(keyRelay(table), FIRST_TURN, ports(other, waiting)));
      await taken.promise;
      return null;
    };
    const first = await passKeys(keyRelay(table), FIRST_TURN, ports(client, receiver));
    expect(first.report).toMatchObject({ published: 0, stale: 1 });
    expect((await client.query("SELECT published_at FROM fenced")).rows).toEqual([{ published_at: null }]);
    gate.resolve();
    expect((await second.promise).report).toMatchObject({ published: 1, stale: 0 });
  });

  it("numbers the events of each key without gaps, whatever is rolled back", async () => {
    await keyTable("gaps");
    const [a, b] = [await database.connect(), await database.connect()];
    const insert = "INSERT INTO gaps (key, type, payload) VALUES ('k', 't', '1')";
    await a.query("BEGIN");
    await a.query(insert);
    // It has to wait: its number depends on whether the other one commits.
    const waiting = b.query(insert);
    await a.query("ROLLBACK");
    await waiting;
    await b.query(insert);
    const { rows } = await b.query("SELECT seq::int AS seq FROM gaps ORDER BY seq");
    expect(rows).toEqual([{ seq: 1 }, { seq: 2 }]);
  });

  it("takes no row without a key: nobody would look for it", async () => {
    await keyTable("keyless_outbox");
    const client = await database.connect();
    const write = (key: string) =>
      client.query("INSERT INTO keyless_outbox (key, type, payload) VALUES ($1, 'order.paid', '{}')", [key]);
    await expect(write("")).rejects.toThrow("check constraint");
    await write(" ");
  });

  it("leaves keys alone for a while after a failed publication, and counts its tries", async () => {
    const table = await keyTable("failing");
    const client = await database.connect();
    await client.query(
      "INSERT INTO failing (key, type, payload) VALUES ('a', 't', '1'), ('a', 't', '2'), ('b', 't', '3')",
    );
    const receiver = new Receiver();
    receiver.answer = async () => ({ kind: "failed", error: "down", retryAfterMs: 60_000 });
    const { report } = await passKeys(keyRelay(table), FIRST_TURN, ports(client, receiver));
    expect(report).toMatchObject({ published: 0, failures: ["down"] });
    const { rows } = await client.query(
      "SELECT payload::text AS payload, attempts, last_error FROM failing ORDER BY payload::text",
    );
    expect(rows).toEqual([
      { payload: "1", attempts: 1, last_error: "down" },
      { payload: "2", attempts: 0, last_error: null },
      { payload: "3", attempts: 1, last_error: "down" },
    ]);
    // Nobody tries them before their time, not even another relay; other keys are free.
    receiver.answer = async () => null;
    await client.query("INSERT INTO failing (key, type, payload) VALUES ('a', 't', '4'), ('c', 't', '5')");
    const again = await passKeys(keyRelay(table), FIRST_TURN, ports(client, receiver));
    expect(again.report).toMatchObject({ published: 1, failures: [] });
    await client.query("UPDATE failing_lease SET until = now()");
    const later = await passKeys(keyRelay(table), FIRST_TURN, ports(client, receiver));
    expect(later.report).toMatchObject({ published: 4, stale: 0 });
    expect(receiver.inversions()).toBe(0);
    expect((await client.query("SELECT * FROM failing WHERE last_error IS NOT NULL")).rows).toEqual([]);
  });

  it.for(["block", "skip"] as const)("of a row that nobody can publish does: %s", async (onPoison) => {
    const table = await keyTable(`poison_${onPoison}`);
    const client = await database.connect();
    const values = "('a', 't', '1'), ('a', '', '2'), ('a', 't', '3'), ('b', 'refused', '4'), ('b', 't', '5')";
    await client.query(`INSERT INTO poison_${onPoison} (key, type, payload) VALUES ${values}`);
    const receiver = new Receiver();
    receiver.answer = async (events) =>
      events.some(({ type }) => type === "refused") ? { kind: "refused", error: "status 400" } : null;
    const relay = keyRelay(table, { onPoison });
    for (let pass = 0; pass < 3; pass++) await passKeys(relay, FIRST_TURN, ports(client, receiver));
    const payloads = receiver.events.map(({ data }) => (data.kind === "json" ? data.text : ""));
    expect(payloads.toSorted()).toEqual(onPoison === "block" ? ["1"] : ["1", "3", "5"]);
    const { rows } = await client.query(
      `SELECT payload::text AS payload, last_error, dead_at IS NULL AS waits FROM poison_${onPoison}
       WHERE last_error IS NOT NULL ORDER BY payload::text`,
    );
    expect(rows).toEqual([
      { payload: "2", last_error: "type must not be empty", waits: onPoison === "block" },
      { payload: "4", last_error: "status 400", waits: onPoison === "block" },
    ]);
  });

  it("begins no publication under a lease that may be over", async () => {
    const table = await keyTable("late");
    const client = await database.connect();
    await client.query("INSERT INTO late (key, type, payload) VALUES ('a', 't', '1')");
    const receiver = new Receiver();
    let clock = 0;
    const slow = { ...ports(client, receiver), now: () => (clock += 20_000) };
    expect((await passKeys(keyRelay(table), FIRST_TURN, slow)).report.published).toBe(0);
    expect(receiver.events).toEqual([]);
    expect((await passKeys(keyRelay(table), FIRST_TURN, ports(client, receiver))).report.published).toBe(1);
  });

  it(
    "gives every key its turn when there are many, and passes over keys that are held",
    { timeout: 30_000 },
    async () => {
      const table = await keyTable("many_keys");
      const client = await database.connect();
      await client.query(`INSERT INTO many_keys (key, type, payload)
      SELECT 'k' || lpad(n::text, 4, '0'), 't', '1' FROM generate_series(1, 600) n`);
      await client.query(`INSERT INTO many_keys_lease
      SELECT 'k' || lpad(n::text, 4, '0'), 'other', now() + interval '1 hour', 0 FROM generate_series(1, 550) n`);
      const receiver = new Receiver();
      let progress = NEW_PROGRESS;
      for (let pass = 0; pass < 10; pass++) {
        const step = await relayStep(
          { order: "key", relay: keyRelay(table) },
          progress,
          ports(client, receiver),
        );
        ({ progress } = step);
      }
      expect(receiver.ids.size).toBe(50);
    },
  );

  it("reads tables whose columns have other names, in a schema", async () => {
    await (await database.connect()).query("CREATE SCHEMA shop");
    const table = await keyTable("shop.Outbox", { key: "order", type: "kind", payload: "body", seq: "Nr" });
    const client = await database.connect();
    await client.query(
      `INSERT INTO shop."Outbox" ("order", kind, body) VALUES ('1', 'order.paid', '{"a": 12345678901234567890}')`,
    );
    const receiver = new Receiver();
    await passKeys(keyRelay(table), FIRST_TURN, ports(client, receiver));
    expect(receiver.events).toMatchObject([
      {
        type: "order.paid",
        source: "/relays/shop",
        subject: "1",
        extensions: { partitionkey: "1", sequence: "0000000000000001" },
        data: { kind: "json", text: '{"a": 12345678901234567890}' },
      },
    ]);
    expect(receiver.events[0].time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  });
});

describe("no order, plain table", () => {
  it("loses nothing, and no two relays publish a row", { timeout: 60_000 }, async () => {
    const table = await plainTable("outbox");
    const receiver = new Receiver();
    // Gives others the chance to take the same rows.
    receiver.answer = async () => {
      await pause(2);
      return null;
    };
    let written = 0;
    const isDone = () => written === EVENTS && receiver.ids.size === EVENTS;
    const writers = Array.from({ length: WRITERS }, async () => {
      const client = await database.connect();
      for (let index = 0; index < EVENTS / WRITERS; index++) {
        await client.query("INSERT INTO outbox (event_type, payload) VALUES ('order.paid', '{}')");
        written += 1;
      }
    });
    const relay = { order: "none", relay: { table, source: "/relays/shop" } } as const;
    await Promise.all([
      ...writers,
      ...Array.from({ length: RELAYS }, () => runRelay(relay, receiver, isDone)),
    ]);
    expect(receiver.ids.size).toBe(EVENTS);
    expect(receiver.events).toHaveLength(EVENTS);
    const { rows } = await (
      await database.connect()
    ).query(
      "SELECT status, COUNT(*)::int AS count, COUNT(published_at)::int AS stamped FROM outbox GROUP BY status",
    );
    expect(rows).toEqual([{ status: "PUBLISHED", count: EVENTS, stamped: EVENTS }]);
  });

  it("gives its rows back when the relay's connection dies in the middle", async () => {
    const table = await plainTable("dying");
    const [client, other] = [await database.connect(), await database.connect()];
    await client.query("INSERT INTO dying (event_type, payload) VALUES ('t', '1'), ('t', '2')");
    const receiver = new Receiver();
    const pid = numberOf((await client.query("SELECT pg_backend_pid() AS pid")).rows[0], "pid");
    receiver.answer = async () => {
      await other.query("SELECT pg_terminate_backend($1)", [pid]);
      return null;
    };
    const relay = { order: "none", relay: { table, source: "/relays/shop" } } as const;
    const step = await relayStep(relay, NEW_PROGRESS, ports(client, receiver));
    expect(step.kind).toBe("database-failed");
    receiver.answer = async () => null;
    expect((await passPlain(relay.relay, new Map(), ports(other, receiver))).report.published).toBe(2);
    expect([receiver.events.length, receiver.ids.size]).toEqual([4, 2]);
  });

  it("leaves out what nobody can publish, and says so once", async () => {
    const table = await plainTable("plain_poison", { key: "aggregate_id" });
    const client = await database.connect();
    await client.query(`INSERT INTO plain_poison (event_type, payload, aggregate_id)
      VALUES ('', '1', 'a'), ('refused', '2', 'a'), ('t', '3', 'a')`);
    const receiver = new Receiver();
    receiver.answer = async (events) =>
      events.some(({ type }) => type === "refused") ? { kind: "refused", error: "status 400" } : null;
    const relay = { table, source: "/relays/shop" };
    const first = await passPlain(relay, new Map(), ports(client, receiver));
    expect(first.report).toMatchObject({ published: 1, dead: 2 });
    expect(receiver.events).toMatchObject([{ subject: "a", extensions: { partitionkey: "a" } }]);
    const second = await passPlain(relay, first.poison, ports(client, receiver));
    expect(second.report).toMatchObject({ published: 0, dead: 0 });
    expect((await client.query(plainStatements(table).lag)).rows).toMatchObject([{ lag: 2 }]);
  });

  it("marks nothing when the publication fails", async () => {
    const table = await plainTable("plain_failing");
    const client = await database.connect();
    await client.query("INSERT INTO plain_failing (event_type, payload) VALUES ('t', '1')");
    const receiver = new Receiver();
    receiver.answer = async () => {
      throw new Error("reset");
    };
    const { report } = await passPlain({ table, source: "/s" }, new Map(), ports(client, receiver));
    expect(report).toMatchObject({ published: 0, dead: 0, failures: ["Error: reset"], isFull: false });
    expect((await client.query("SELECT status FROM plain_failing")).rows).toEqual([{ status: "PENDING" }]);
  });
});
