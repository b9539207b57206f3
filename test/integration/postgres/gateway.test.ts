// Relays as their users run them: a real Postgres, `tidegate start` with its address, a webhook at the other
// end. Rows become events, whoever dies in between.

import { setTimeout as pause } from "node:timers/promises";
import type pg from "pg";
import { afterAll, beforeAll, describe, it, vi } from "vitest";
import { outboxTable } from "../../../src/delivery/relay/columns.ts";
import { tableDefinition } from "../../../src/delivery/relay/table-definition.ts";
import {
  startGateway,
  startRegions,
  startUpstream,
  type RunningRegions,
  type RunningUpstream,
} from "../rig/index.ts";
import { startPostgres, type TestDatabase } from "./database.ts";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SOON = { timeout: 20_000, interval: 50 };

interface Heard {
  readonly id: string;
  readonly type: string;
  readonly key: string;
  readonly sequence: string;
  readonly body: string;
}

let database: TestDatabase;
let client: pg.Client;
let receiver: RunningUpstream;
const heard = new Map<string, Heard[]>();

beforeAll(async () => {
  database = await startPostgres({ authMethod: "scram-sha-256" });
  client = await database.connect();
  receiver = await startUpstream((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const field = (name: string): string => String(request.headers[name] ?? "");
      const path = request.url ?? "";
      const [id, type, key, sequence] = ["webhook-id", "ce-type", "ce-partitionkey", "ce-sequence"].map(
        field,
      );
      const body = Buffer.concat(chunks).toString();
      heard.set(path, [...(heard.get(path) ?? []), { id, type, key, sequence, body }]);
      response.end();
    });
  });
}, 60_000);

afterAll(async () => {
  await receiver.stop();
  await database.stop();
}, 30_000);

async function createTable(order: "key" | "none", name: string, columns: Record<string, string> = {}) {
  const checked = outboxTable(order, name, columns);
  if (checked.kind !== "table") throw new Error(JSON.stringify(checked));
  await client.query(tableDefinition(checked.table));
}

function configOf(relays: object, hook: string, deliver: object = {}) {
  return {
    upstreams: {},
    routes: [{ path: "/seen", methods: ["POST"], event: "seen" }],
    subscriptions: {
      hook: {
        events: ["order.*"],
        deliver: { webhook: `${receiver.url}${hook}`, secrets: ["env:HOOK"], timeout: "1s" },
        ordered: true,
        ...deliver,
      },
    },
    relays,
  };
}

const args = (): string[] => ["--env", `DB=${database.url}`, "--env", `HOOK=${SECRET}`];

async function relayState(url: string, token: string, name = "shop"): Promise<Record<string, unknown>> {
  const response = await fetch(`${url}/_gateway/state`, { headers: { authorization: `Bearer ${token}` } });
  const { relays }: { relays: Record<string, Record<string, unknown>> } = JSON.parse(await response.text());
  return relays[name];
}

function idsAt(path: string): Set<string> {
  return new Set((heard.get(path) ?? []).map(({ id }) => id));
}

/** How often a key's event arrived for the first time behind a later one. */
function inversions(events: readonly Heard[]): number {
  const newest = new Map<string, string>();
  const seen = new Set<string>();
  let count = 0;
  for (const { id, key, sequence } of events) {
    if (seen.has(id)) continue;
    seen.add(id);
    if (sequence < (newest.get(key) ?? "")) count += 1;
    else newest.set(key, sequence);
  }
  return count;
}

/**
 * TIDEGATE_RELAY_KILLS=2: also with a webhook, whose consumer's leases a kill leaves behind for half a
 * minute.
 */
const WAYS = ["pull", "webhook"].slice(0, Number(process.env.TIDEGATE_RELAY_KILLS || 1));

/** Pulls until it is stopped, through kills and restarts; what it got is heard at the path. */
async function pullInto(path: string, gateway: RunningRegions, signal: AbortSignal): Promise<void> {
  const headers = { authorization: `Bearer ${gateway.adminToken}`, "content-type": "application/json" };
  const post = async (action: string, body: object): Promise<unknown> => {
    const url = `${gateway.url("weur")}/_gateway/subscriptions/hook/${action}`;
    return (await fetch(url, { method: "POST", headers, body: JSON.stringify(body) })).json();
  };
  while (!signal.aborted) {
    try {
      const { events }: { events: { leaseId: string; event: Record<string, string> }[] } = JSON.parse(
        JSON.stringify(await post("pull", { max: 100, leaseMs: 2_000 })),
      );
      for (const { event } of events) {
        const { id, type, partitionkey: key, sequence } = event;
        heard.set(path, [...(heard.get(path) ?? []), { id, type, key, sequence, body: "" }]);
      }
      await post("ack", { leaseIds: events.map(({ leaseId }) => leaseId) });
    } catch {
      // It is down.
    }
    await pause(20);
  }
}

/** Writes a row now and then until it is stopped; their ids. */
async function writeInto(table: string, signal: AbortSignal): Promise<Set<string>> {
  const own = await database.connect();
  const written = new Set<string>();
  for (let index = 0; !signal.aborted; index++) {
    const text = `INSERT INTO ${table} (key, type, payload) VALUES ($1, 'order.paid', $2) RETURNING id::text`;
    const { rows } = await own.query<{ id: string }>(text, [`k${index % 20}`, { index }]);
    written.add(rows[0].id);
    await pause(10);
  }
  return written;
}

describe("a relay in the gateway", { timeout: 120_000 }, () => {
  it.for(WAYS)(
    "loses no row and no order when everything is killed in the middle: %s",
    async (way, { expect }) => {
      const [table, path] = [`killed_${way}`, `/killed-${way}`];
      await createTable("key", table);
      const config = configOf(
        { shop: { hyperdrive: "DB", table } },
        path,
        way === "pull" ? { deliver: { pull: true } } : {},
      );
      const gateway = await startRegions({ config, regions: ["weur"], args: args() });
      const [writer, puller] = [new AbortController(), new AbortController()];
      const writing = writeInto(table, writer.signal);
      const pulling = way === "pull" ? pullInto(path, gateway, puller.signal) : Promise.resolve();
      try {
        await vi.waitFor(() => expect(idsAt(path).size).toBeGreaterThan(30), SOON);
        await gateway.kill();
        const atKill = idsAt(path).size;
        await gateway.restart();
        await vi.waitFor(() => expect(idsAt(path).size).toBeGreaterThan(atKill + 30), {
          ...SOON,
          timeout: 60_000,
        });
        writer.abort();
        const written = await writing;
        await vi.waitFor(() => expect(idsAt(path)).toEqual(written), { timeout: 60_000, interval: 100 });
        expect(inversions(heard.get(path) ?? [])).toBe(0);
        await vi.waitFor(async () => {
          const state = await relayState(gateway.url("weur"), gateway.adminToken);
          expect(state).toMatchObject({ lag: 0, failingSince: null, alert: false });
        }, SOON);
      } finally {
        writer.abort();
        puller.abort();
        await Promise.all([writing, pulling]);
        await gateway.stop();
      }
    },
  );

  it("publishes tables that a team has made by itself, without a place for what is given up", async ({
    expect,
  }) => {
    await client.query(`
      CREATE TABLE own_outbox (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), key text NOT NULL,
        seq bigint, type text NOT NULL, payload jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
        published_at timestamptz, attempts int NOT NULL DEFAULT 0, last_error text);
      CREATE INDEX ON own_outbox (key, seq) WHERE published_at IS NULL;
      CREATE TABLE own_outbox_seq (key text PRIMARY KEY, next bigint NOT NULL);
      CREATE TABLE own_outbox_lease (key text PRIMARY KEY, owner text, until timestamptz, fence bigint);
      CREATE FUNCTION own_number() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO own_outbox_seq AS counter VALUES (NEW.key, 2)
          ON CONFLICT (key) DO UPDATE SET next = counter.next + 1 RETURNING next - 1 INTO NEW.seq;
        RETURN NEW; END $$;
      CREATE TRIGGER own_number BEFORE INSERT ON own_outbox FOR EACH ROW EXECUTE FUNCTION own_number();`);
    const relays = { shop: { hyperdrive: "DB", table: "own_outbox", onPoison: "skip" } };
    const gateway = await startGateway({ config: configOf(relays, "/own"), args: args() });
    try {
      await client.query(
        "INSERT INTO own_outbox (key, type, payload) SELECT 'k' || i % 5, 'order.paid', to_jsonb(i) " +
          "FROM generate_series(1, 100) AS i",
      );
      await client.query("INSERT INTO own_outbox (key, type, payload) VALUES ('bad', '', '1')");
      await vi.waitFor(() => expect(idsAt("/own").size).toBe(100), SOON);
      expect(inversions(heard.get("/own") ?? [])).toBe(0);
      await vi.waitFor(async () => {
        const { rows } = await client.query(
          "SELECT key, last_error FROM own_outbox WHERE published_at IS NULL",
        );
        expect(rows).toEqual([{ key: "bad", last_error: "type must not be empty" }]);
        const state = await relayState(gateway.url, gateway.adminToken);
        expect(state).toMatchObject({ lag: 1, failingSince: null, counts: { published: 100 } });
      }, SOON);
    } finally {
      await gateway.stop();
    }
  });

  it("shares a table with the relay of another gateway", async ({ expect }) => {
    await createTable("key", "shared_outbox");
    const config = configOf({ shop: { hyperdrive: "DB", table: "shared_outbox" } }, "/shared", {
      ordered: false,
    });
    const [one, other] = await Promise.all([
      startGateway({ config, args: args() }),
      startGateway({ config, args: args() }),
    ]);
    try {
      const text =
        "INSERT INTO shared_outbox (key, type, payload) SELECT 'k' || (i % 20), 'order.paid', '{}' " +
        "FROM generate_series(1, 120) AS i RETURNING id::text";
      const { rows } = await client.query<{ id: string }>(text);
      await vi.waitFor(() => expect(idsAt("/shared").size).toBe(rows.length), SOON);
      const states = await Promise.all(
        [one, other].map(({ url, adminToken }) => relayState(url, adminToken)),
      );
      const published = states.map(({ counts }) => Number(Reflect.get(Object(counts), "published")));
      expect(published[0] + published[1]).toBe(rows.length);
    } finally {
      await Promise.all([one.stop(), other.stop()]);
    }
  });

  it("publishes a plain table, leaves out what it cannot, and says of another one that it is not there", async ({
    expect,
  }) => {
    const columns = { type: "kind", payload: "document", key: "customer" };
    await createTable("none", "plain_outbox", columns);
    const relays = {
      shop: { hyperdrive: "DB", table: "plain_outbox", order: "none", columns },
      late: { hyperdrive: "DB", table: "late_outbox", order: "none" },
    };
    const gateway = await startGateway({
      config: configOf(relays, "/plain", { ordered: false }),
      args: args(),
    });
    const state = (name: string) => relayState(gateway.url, gateway.adminToken, name);
    const metrics = async (): Promise<string> => {
      const headers = { authorization: `Bearer ${gateway.adminToken}` };
      return (await fetch(`${gateway.url}/_gateway/metrics`, { headers })).text();
    };
    try {
      await client.query(
        "INSERT INTO plain_outbox (kind, document, customer) SELECT 'order.placed', jsonb_build_object('n', i), 'c' " +
          "FROM generate_series(1, 120) AS i",
      );
      await client.query("INSERT INTO plain_outbox (kind, document) VALUES ('', '{}')");
      const large = "jsonb_build_object('text', repeat('x', 100000))";
      await client.query(`INSERT INTO plain_outbox (kind, document) VALUES ('order.large', ${large})`);
      await vi.waitFor(async () => {
        expect(await state("late")).toMatchObject({
          error: expect.stringContaining("does not exist"),
          lag: null,
        });
      }, SOON);
      expect(await metrics()).toContain('tidegate_relay_failing{tidegate_relay="late"} 1');
      expect(gateway.stderr().match(/relay-failing/g)).toHaveLength(1);
      await createTable("none", "late_outbox");
      await client.query("INSERT INTO late_outbox (event_type, payload) VALUES ('order.late', '{}')");
      await vi.waitFor(() => expect(idsAt("/plain").size).toBe(121), SOON);
      await vi.waitFor(async () => {
        expect(await state("shop")).toMatchObject({
          lag: 2,
          failingSince: null,
          counts: { published: 120, dead: 2 },
        });
        expect(await state("late")).toMatchObject({ lag: 0, failingSince: null, counts: { published: 1 } });
      }, SOON);
      const text = "SELECT status, count(*)::int AS count FROM plain_outbox GROUP BY status ORDER BY status";
      expect((await client.query(text)).rows).toEqual([
        { status: "PENDING", count: 2 },
        { status: "PUBLISHED", count: 120 },
      ]);
      for (const said of [
        /relay-row-refused.*type must not be empty/,
        /relay-row-refused.*payload is larger than 98304 bytes/,
        /relay-recovered.*"relay":"late"/,
      ]) {
        expect(gateway.stderr()).toMatch(said);
      }
      const shown = await metrics();
      expect(shown).toContain('tidegate_relay_failing{tidegate_relay="late"} 0');
      expect(shown).toContain('tidegate_relay_rows_total{tidegate_relay="late",event="published"} 1');
      expect(shown).toContain('tidegate_relay_lag{tidegate_relay="shop"} 2');
      const first = heard.get("/plain")?.find(({ body }) => body === '{"n": 1}');
      expect(first).toMatchObject({ type: "order.placed", key: "c" });
    } finally {
      await gateway.stop();
    }
  });
});
