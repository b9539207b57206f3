// Events as their publishers and subscribers see them: `tidegate start` as a process, real receivers.
import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { Webhook } from "standardwebhooks";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { startGateway, startUpstream, type RunningGateway, type RunningUpstream } from "./rig/index.ts";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OLD_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const SOON = { timeout: 10_000, interval: 20 };

interface Received {
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
  readonly at: number;
}

type Behaviour = (received: Received, response: ServerResponse, before: number) => void;

let gateway: RunningGateway;
let receiver: RunningUpstream;
const received: Received[] = [];
const behaviours = new Map<string, Behaviour>();

/** What came to a path so far. */
function at(path: string): Received[] {
  return received.filter((each) => each.path === path);
}

function admin(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${gateway.url}/_gateway/${path}`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${gateway.adminToken}`,
      "content-type": "application/json",
      ...headers,
    },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

async function state(name: string): Promise<Record<string, unknown>> {
  const response = await fetch(`${gateway.url}/_gateway/state`, {
    headers: { authorization: `Bearer ${gateway.adminToken}` },
  });
  const { subscriptions } = await jsonOf<{ subscriptions: Record<string, Record<string, unknown>> }>(
    response,
  );
  return subscriptions[name];
}

async function jsonOf<Body>(response: Response): Promise<Body> {
  const body: Body = JSON.parse(await response.text());
  return body;
}

let events = 0;

function byText(one: unknown, other: unknown): number {
  return String(one).localeCompare(String(other));
}

/** Publishes an event of this type; its id. */
async function publish(
  type: string,
  data: unknown = {},
  more: Record<string, unknown> = {},
): Promise<string> {
  const id = `evt-${(events += 1)}`;
  const event = { specversion: "1.0", id, source: "/shop", type, data, ...more };
  const response = await admin("events", event, { "content-type": "application/cloudevents+json" });
  expect(response.status).toBe(202);
  expect(await response.json()).toMatchObject({ id, ids: [id] });
  return id;
}

function isSigned({ headers, body }: Received, secret: string): boolean {
  const flat = Object.entries(headers).map(([name, value]) => [name, String(value)]);
  try {
    new Webhook(secret).verify(body, Object.fromEntries(flat));
    return true;
  } catch {
    return false;
  }
}

beforeAll(async () => {
  receiver = await startUpstream((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const path = request.url ?? "";
      const one = { path, headers: request.headers, body: Buffer.concat(chunks).toString(), at: Date.now() };
      const before = at(path).length;
      received.push(one);
      const behave = behaviours.get(path);
      if (behave === undefined) response.end("ok");
      else behave(one, response, before);
    });
  });
  const webhook = (path: string): object => ({
    webhook: `${receiver.url}${path}`,
    secrets: ["env:HOOK", "env:OLD_HOOK"],
  });
  gateway = await startGateway({
    config: {
      upstreams: { stock: { targets: [receiver.url] } },
      routes: [
        { path: "/v1/track", methods: ["POST"], event: "track.received", priority: "P2" },
        { path: "/live/*", upstream: "stock" },
      ],
      subscriptions: {
        billing: { events: ["order.*"], deliver: webhook("/billing") },
        flaky: { events: ["flaky.*"], deliver: webhook("/flaky") },
        hanging: { events: ["mixed.*"], deliver: webhook("/hanging") },
        refused: { events: ["mixed.*"], deliver: { webhook: "http://127.0.0.1:9/", secrets: ["env:HOOK"] } },
        healthy: { events: ["mixed.*"], deliver: webhook("/healthy") },
        gone: { events: ["gone.*"], deliver: webhook("/gone") },
        tracking: { events: ["track.*"], deliver: { pull: true } },
        work: { events: ["work.*"], deliver: { pull: true } },
        lines: { events: ["line.*"], deliver: { pull: true }, ordered: true },
        stock: { events: ["stock.*"], deliver: { upstream: "stock", path: "/events?x=1" } },
      },
    },
    args: ["--env", `HOOK=${SECRET}`, "--env", `OLD_HOOK=${OLD_SECRET}`],
  });
});

afterAll(async () => {
  await gateway.stop();
  await receiver.stop();
});

describe("a webhook", () => {
  it("gets a published event signed with every secret, its attributes in headers", async () => {
    const id = await publish("order.paid", { total: 12 }, { subject: "o-1", time: "2026-11-24T10:00:00Z" });
    await vi.waitFor(() => expect(at("/billing")).toHaveLength(1), SOON);
    const [hook] = at("/billing");
    expect(hook.body).toBe('{"total":12}');
    expect(hook.headers).toMatchObject({
      "webhook-id": id,
      "content-type": "application/json",
      "ce-specversion": "1.0",
      "ce-id": id,
      "ce-source": "/shop",
      "ce-type": "order.paid",
      "ce-subject": "o-1",
      "ce-time": "2026-11-24T10:00:00Z",
    });
    expect(isSigned(hook, SECRET)).toBe(true);
    expect(isSigned(hook, OLD_SECRET)).toBe(true);
    expect(isSigned({ ...hook, body: "{}" }, SECRET)).toBe(false);
    await vi.waitFor(async () => expect(await state("billing")).toMatchObject({ depth: 0, lag: 0 }), SOON);
  });

  it("gets an event once that is published twice", async () => {
    const event = { specversion: "1.0", id: "twice", source: "/shop", type: "order.sent" };
    const sent = { "content-type": "application/cloudevents+json" };
    for (let time = 0; time < 3; time++) expect((await admin("events", event, sent)).status).toBe(202);
    await vi.waitFor(
      () => expect(at("/billing").map(({ headers }) => headers["webhook-id"])).toContain("twice"),
      SOON,
    );
    await publish("order.last");
    await vi.waitFor(() => expect(at("/billing").at(-1)?.headers["ce-type"]).toBe("order.last"), SOON);
    expect(at("/billing").filter(({ headers }) => headers["webhook-id"] === "twice")).toHaveLength(1);
  });

  it("that fails gets the event again some seconds later, with the same id and a new signature", async () => {
    behaviours.set("/flaky", (_, response, before) => {
      response.statusCode = before === 0 ? 500 : 200;
      response.end();
    });
    const id = await publish("flaky.one", { a: 1 });
    await vi.waitFor(() => expect(at("/flaky")).toHaveLength(2), { timeout: 12_000, interval: 50 });
    const [first, second] = at("/flaky");
    expect([first, second].map(({ headers }) => headers["webhook-id"])).toEqual([id, id]);
    expect([first, second].map((each) => isSigned(each, SECRET))).toEqual([true, true]);
    const waitedMs = second.at - first.at;
    expect(waitedMs).toBeGreaterThan(3_900);
    expect(waitedMs).toBeLessThan(8_000);
  });

  it("that hangs or refuses delays no other", async () => {
    behaviours.set("/hanging", () => {});
    const sent: string[] = [];
    for (let index = 0; index < 12; index++) sent.push(await publish("mixed.one", { index }));
    const publishedAt = Date.now();
    await vi.waitFor(() => expect(at("/healthy")).toHaveLength(12), SOON);
    expect(Date.now() - publishedAt).toBeLessThan(8_000);
    const late = await publish("mixed.late");
    const from = Date.now();
    await vi.waitFor(
      () => expect(at("/healthy").map(({ headers }) => headers["webhook-id"])).toContain(late),
      SOON,
    );
    expect(Date.now() - from).toBeLessThan(5_000);
    expect(new Set(at("/healthy").map(({ headers }) => headers["webhook-id"]))).toEqual(
      new Set([...sent, late]),
    );
    expect(await state("hanging")).toMatchObject({ depth: 13, lag: 13 });
  });

  it("that says 410 gets nothing more, until its events are replayed", async () => {
    behaviours.set("/gone", (_, response) => {
      response.statusCode = 410;
      response.end();
    });
    const first = await publish("gone.one");
    await vi.waitFor(
      async () =>
        expect(await state("gone")).toMatchObject({
          depth: 0,
          dead: 1,
          endpoint: { disabled: { reason: "gone" } },
        }),
      SOON,
    );
    const second = await publish("gone.two");
    await vi.waitFor(async () => expect(await state("gone")).toMatchObject({ depth: 0, dead: 2 }), SOON);
    expect(at("/gone")).toHaveLength(1);
    const list = await fetch(`${gateway.url}/_gateway/dead-letters/gone`, {
      headers: { authorization: `Bearer ${gateway.adminToken}` },
    });
    const { items } = await jsonOf<{
      items: { id: string; reason: string; attempts: { status: number }[] }[];
    }>(list);
    expect(items.map(({ reason }) => reason)).toEqual(Array(2).fill(expect.stringContaining("skipped")));
    expect(items[0].attempts).toMatchObject([{ status: 410 }]);
    behaviours.delete("/gone");
    expect((await admin("dead-letters/gone/replay", { ids: items.map(({ id }) => id) })).status).toBe(200);
    await vi.waitFor(
      () =>
        expect(
          at("/gone")
            .map(({ headers }) => headers["webhook-id"])
            .toSorted(byText),
        ).toEqual([first, first, second].toSorted(byText)),
      SOON,
    );
    await vi.waitFor(
      async () => expect(await state("gone")).toMatchObject({ depth: 0, dead: 0, endpoint: null }),
      SOON,
    );
  });
});

function track(body: string, contentType = "application/json"): Promise<Response> {
  const headers = { "content-type": contentType };
  return fetch(`${gateway.url}/v1/track`, { method: "POST", headers, body });
}

describe("a route to an event", () => {
  it("publishes what it is sent as the event's data", async () => {
    const response = await fetch(`${gateway.url}/v1/track`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"page": "/a",  "n": 1.0}',
    });
    expect(response.status).toBe(202);
    const { id } = await jsonOf<{ id: string }>(response);
    const pulled = await pullUntil("tracking", 1);
    expect(pulled[0].event).toMatchObject({
      id,
      type: "track.received",
      specversion: "1.0",
      data: { page: "/a", n: 1 },
    });
    expect(pulled[0]).toMatchObject({ attempt: 1 });
  });

  it("refuses what says that it is JSON and is none, and what is too large", async () => {
    const broken = await track("{");
    expect([broken.status, await broken.json()]).toMatchObject([400, { code: "bad_request" }]);
    const large = await track("x".repeat(96 * 1024 + 1), "text/plain");
    expect([large.status, await large.json()]).toMatchObject([413, { code: "body_too_large" }]);
  });
});

interface Leased {
  readonly leaseId: string;
  readonly attempt: number;
  readonly event: { readonly id: string; readonly type: string };
}

interface Pulled {
  readonly events: readonly Leased[];
  readonly lag: number;
  readonly oldestAgeMs: number;
}

async function pull(name: string, body: unknown = {}): Promise<Pulled> {
  const response = await admin(`subscriptions/${name}/pull`, body);
  expect(response.status).toBe(200);
  return jsonOf<Pulled>(response);
}

/** Pulls until that many events came. */
async function pullUntil(name: string, count: number, body: unknown = {}): Promise<Leased[]> {
  const all: Leased[] = [];
  await vi.waitFor(async () => {
    all.push(...(await pull(name, body)).events);
    expect(all).toHaveLength(count);
  }, SOON);
  return all;
}

async function ack(name: string, leaseIds: readonly string[]): Promise<unknown> {
  return (await admin(`subscriptions/${name}/ack`, { leaseIds })).json();
}

describe("a pulled subscription", () => {
  it("gives the events of one that died with its lease to the other, and counts the attempt", async () => {
    const ids: string[] = [];
    for (let index = 0; index < 5; index++) ids.push(await publish("work.one", { index }));
    await vi.waitFor(async () => expect(await state("work")).toMatchObject({ depth: 5, lag: 5 }), SOON);
    const dying = await pull("work", { max: 2, leaseMs: 1_000 });
    const living = await pull("work", { max: 10 });
    expect(dying.events.map(({ event }) => event.id)).toEqual(ids.slice(0, 2));
    expect(living.events.map(({ event }) => event.id)).toEqual(ids.slice(2));
    expect([dying.lag, living.lag]).toEqual([5, 5]);
    expect(
      await ack(
        "work",
        living.events.map(({ leaseId }) => leaseId),
      ),
    ).toEqual({
      acked: living.events.map(({ leaseId }) => leaseId),
      expired: [],
    });
    expect(await pull("work")).toMatchObject({ events: [], lag: 2 });
    await pause(1_100);
    const again = await pull("work");
    expect(again.events.map(({ event, attempt }) => [event.id, attempt])).toEqual(
      ids.slice(0, 2).map((id) => [id, 2]),
    );
    expect(again.oldestAgeMs).toBeGreaterThan(1_000);
    const late = dying.events.map(({ leaseId }) => leaseId);
    expect(await ack("work", late)).toEqual({ acked: [], expired: late });
    const held = again.events.map(({ leaseId }) => leaseId);
    expect(await ack("work", [...held, "nonsense"])).toEqual({ acked: held, expired: ["nonsense"] });
    expect(await pull("work")).toEqual({ events: [], lag: 0, oldestAgeMs: 0 });
    expect(await state("work")).toMatchObject({ depth: 0, lag: 0, oldestAgeMs: 0 });
  });

  it("that is ordered gives the next event of a subject when the one before is done", async () => {
    await publish("line.a", 1, { subject: "a" });
    const second = await publish("line.a", 2, { subject: "a" });
    await publish("line.b", 1, { subject: "b" });
    await vi.waitFor(async () => expect(await state("lines")).toMatchObject({ depth: 3 }), SOON);
    const first = await pull("lines");
    expect(first.events.map(({ event }) => event.type)).toEqual(["line.a", "line.b"]);
    expect((await pull("lines")).events).toEqual([]);
    await ack("lines", [first.events[0].leaseId]);
    expect((await pull("lines")).events.map(({ event }) => event.id)).toEqual([second]);
  });

  it("refuses what is no pull", async () => {
    expect((await admin("subscriptions/billing/pull", {})).status).toBe(400);
    expect((await admin("subscriptions/nobody/pull", {})).status).toBe(404);
    expect((await admin("subscriptions/work/pull", { max: 0 })).status).toBe(400);
    expect((await admin("subscriptions/work/pull", [])).status).toBe(400);
    expect((await admin("subscriptions/work/pull", { max: 1.5 })).status).toBe(400);
    expect((await admin("subscriptions/work/pull", { max: 1_000 })).status).toBe(200);
    expect((await admin("subscriptions/work/ack", {})).status).toBe(400);
  });
});

describe("an upstream", () => {
  it("gets its events through the pipeline, in binary mode, with an id that stays", async () => {
    const id = await publish("stock.low", { sku: "x" });
    await vi.waitFor(() => expect(at("/events?x=1")).toHaveLength(1), SOON);
    const [{ headers, body }] = at("/events?x=1");
    expect(body).toBe('{"sku":"x"}');
    expect(headers).toMatchObject({ "ce-id": id, "ce-type": "stock.low", "idempotency-key": id });
  });

  it("hears through whom its events come, and what comes back is a loop", async () => {
    await publish("stock.high", { sku: "y" });
    await vi.waitFor(() => expect(at("/events?x=1").at(-1)?.body).toContain("y"), SOON);
    const headers = at("/events?x=1").at(-1)?.headers;
    expect(headers).toMatchObject({
      via: "1.1 tidegate",
      "x-tidegate-class": "P1",
      "x-request-id": expect.stringMatching(/./),
    });
    const returned = { method: "POST", headers: { via: String(headers?.["via"]) }, body: "{}" };
    expect((await fetch(`${gateway.url}/v1/track`, returned)).status).toBe(508);
  });
});

function batched(id: string): object {
  return { specversion: "1.0", id, source: "/shop", type: "work.batch", data: id };
}

describe("POST /_gateway/events", () => {
  it("takes binary mode, batches and Debezium's change events", async () => {
    const binary = {
      "ce-specversion": "1.0",
      "ce-id": "bin-1",
      "ce-source": "/shop",
      "ce-type": "work.binary",
    };
    expect((await admin("events", "hello", { ...binary, "content-type": "text/plain" })).status).toBe(202);
    const batch = await admin("events", [batched("b-1"), batched("b-2")], {
      "content-type": "application/cloudevents-batch+json",
    });
    expect(await batch.json()).toMatchObject({ ids: ["b-1", "b-2"] });
    const change = {
      op: "c",
      before: null,
      after: { id: 7 },
      source: {
        connector: "postgresql",
        name: "shop",
        db: "shop",
        schema: "public",
        table: "work",
        lsn: 1,
        ts_ms: 1_700_000_000_000,
      },
      ts_ms: 1_700_000_000_001,
    };
    expect((await admin("events", change)).status).toBe(202);
    const pulled = await pullUntil("work", 4);
    expect(pulled.map(({ event }) => event.type).toSorted()).toEqual([
      "work.batch",
      "work.batch",
      "work.binary",
      "work.created",
    ]);
    await ack(
      "work",
      pulled.map(({ leaseId }) => leaseId),
    );
  });

  it("refuses what is no event, and everybody without the token", async () => {
    const broken = { specversion: "1.0", id: "", source: "/shop", type: "x" };
    const answer = await admin("events", broken, { "content-type": "application/cloudevents+json" });
    expect([answer.status, await answer.json()]).toMatchObject([
      400,
      { code: "bad_request", detail: expect.stringContaining("id") },
    ]);
    expect((await admin("events", { hello: 1 })).status).toBe(400);
    const stranger = await fetch(`${gateway.url}/_gateway/events`, { method: "POST", body: "{}" });
    expect(stranger.status).toBe(401);
  });
});
