// What operators do with subscriptions, over HTTP: events that were delivered once are delivered once more, a
// receiver that was disabled is enabled.
import type { ServerResponse } from "node:http";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { startGateway, startUpstream, type RunningGateway, type RunningUpstream } from "./rig/index.ts";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SOON = { timeout: 20_000, interval: 50 };

let gateway: RunningGateway;
let receiver: RunningUpstream;
const heard: { readonly path: string; readonly id: string }[] = [];
const answers = new Map<string, (response: ServerResponse) => void>();

beforeAll(async () => {
  receiver = await startUpstream((request, response) => {
    request.resume();
    const path = request.url ?? "";
    heard.push({ path, id: String(request.headers["webhook-id"]) });
    answers.get(path)?.(response);
    response.end();
  });
  const webhook = (path: string) => ({ webhook: receiver.url + path, secrets: ["env:HOOK"], timeout: "2s" });
  gateway = await startGateway({
    config: {
      upstreams: {},
      routes: [{ path: "/seen", methods: ["POST"], event: "seen" }],
      subscriptions: {
        billing: { events: ["order.*"], deliver: webhook("/billing") },
        gone: { events: ["gone.*"], deliver: webhook("/gone") },
        pulled: { events: ["pulled.*"], deliver: { pull: true } },
      },
    },
    args: ["--env", `HOOK=${SECRET}`],
  });
});

afterAll(async () => {
  await gateway.stop();
  await receiver.stop();
});

async function admin(path: string, body: unknown = {}): Promise<{ status: number; body: unknown }> {
  const headers = { authorization: `Bearer ${gateway.adminToken}`, "content-type": "application/json" };
  const init = { method: "POST", headers, body: JSON.stringify(body) };
  const response = await fetch(`${gateway.url}/_gateway/${path}`, init);
  return { status: response.status, body: await response.json() };
}

async function publish(type: string, ids: readonly string[]): Promise<void> {
  const events = ids.map((id) => ({ specversion: "1.0", id, source: "/shop", type, data: {} }));
  const headers = {
    authorization: `Bearer ${gateway.adminToken}`,
    "content-type": "application/cloudevents-batch+json",
  };
  const init = { method: "POST", headers, body: JSON.stringify(events) };
  expect((await fetch(`${gateway.url}/_gateway/events`, init)).status).toBe(202);
}

async function subscription(name: string): Promise<unknown> {
  const headers = { authorization: `Bearer ${gateway.adminToken}` };
  const state: unknown = await (await fetch(`${gateway.url}/_gateway/state`, { headers })).json();
  return Reflect.get(Object(Reflect.get(Object(state), "subscriptions")), name);
}

const idsAt = (path: string): string[] => heard.filter((each) => each.path === path).map(({ id }) => id);

describe("a subscription", () => {
  it("gets events again that it has had, by id and by time, under the same ids", async () => {
    const since = Date.now();
    await publish("order.paid", ["o-1", "o-2"]);
    await vi.waitFor(() => expect(idsAt("/billing").toSorted()).toEqual(["o-1", "o-2"]), SOON);
    expect(await admin("subscriptions/billing/replay", { ids: ["o-2", "o-9"] })).toEqual({
      status: 200,
      body: { replayed: ["o-2"], unknown: ["o-9"] },
    });
    await vi.waitFor(() => expect(idsAt("/billing").slice(2)).toEqual(["o-2"]), SOON);
    expect(await admin("subscriptions/billing/replay", { since, rate: 100 })).toEqual({
      status: 202,
      body: { matching: 2 },
    });
    await vi.waitFor(() => expect(idsAt("/billing").slice(3).toSorted()).toEqual(["o-1", "o-2"]), SOON);
    await vi.waitFor(async () => {
      expect(await subscription("billing")).toMatchObject({ lag: 0, dead: 0, replayed: null });
    }, SOON);
  });

  it("is told what a replay is, and of which subscriptions", async () => {
    for (const body of [{}, { ids: [] }, { since: 2, until: 1 }, { since: 1, rate: 0 }]) {
      expect(await admin("subscriptions/billing/replay", body)).toMatchObject({
        status: 400,
        body: { code: "bad_request" },
      });
    }
    expect(await admin("subscriptions/nobody/replay", { since: 1 })).toMatchObject({
      status: 404,
      body: { detail: expect.stringContaining("billing, gone, pulled") },
    });
    expect(await admin("subscriptions/pulled/replay", { since: 1 })).toEqual({
      status: 202,
      body: { matching: 0 },
    });
  });

  it("whose receiver was gone gets new events once it is enabled, and the old ones when they are replayed", async () => {
    answers.set("/gone", (response) => (response.statusCode = 410));
    await publish("gone.one", ["g-1"]);
    await vi.waitFor(async () => {
      expect(await subscription("gone")).toMatchObject({
        dead: 1,
        endpoint: { disabled: { reason: "gone" } },
      });
    }, SOON);
    answers.delete("/gone");
    await publish("gone.two", ["g-2"]);
    await vi.waitFor(async () => expect(await subscription("gone")).toMatchObject({ dead: 2 }), SOON);
    expect(await admin("subscriptions/gone/enable")).toMatchObject({
      status: 200,
      body: { enabled: "gone", was: { reason: "gone" }, dead: 2 },
    });
    await publish("gone.three", ["g-3"]);
    await vi.waitFor(() => expect(idsAt("/gone")).toEqual(["g-1", "g-3"]), SOON);
    expect(await admin("dead-letters/gone/replay", { since: 0, rate: 100 })).toEqual({
      status: 202,
      body: { matching: 2 },
    });
    await vi.waitFor(() => expect(idsAt("/gone").slice(2).toSorted()).toEqual(["g-1", "g-2"]), SOON);
    expect(await admin("subscriptions/gone/enable")).toMatchObject({ body: { was: null, dead: 0 } });
    expect(await admin("subscriptions/pulled/enable")).toMatchObject({ status: 400 });
  });
});

interface Pulled {
  readonly events: readonly { leaseId: string; attempt: number; event: { id: string } }[];
  readonly lag: number;
}

describe("two consumers that pull", () => {
  it("have every event between them, also those of one that dies with its leases, and the lag is exact", async () => {
    const ids = Array.from({ length: 60 }, (_, index) => `p-${index}`);
    await publish("pulled.one", ids);
    const pull = async (max: number, leaseMs: number): Promise<Pulled> => {
      const { body } = await admin("subscriptions/pulled/pull", { max, leaseMs });
      const pulled: Pulled = JSON.parse(JSON.stringify(body));
      return pulled;
    };
    await vi.waitFor(async () => expect(await subscription("pulled")).toMatchObject({ lag: 60 }), SOON);
    const dying = await pull(15, 3_000);
    expect(dying.events).toHaveLength(15);
    const done = new Map<string, number>();
    await vi.waitFor(async () => {
      const { events, lag } = await pull(10, 30_000);
      expect(lag).toBe(ids.length - done.size);
      const leaseIds = events.map(({ leaseId }) => leaseId);
      expect((await admin("subscriptions/pulled/ack", { leaseIds })).body).toEqual({
        acked: leaseIds,
        expired: [],
      });
      for (const { event, attempt } of events) {
        expect(done.has(event.id)).toBe(false);
        done.set(event.id, attempt);
      }
      expect(done.size).toBe(ids.length);
    }, SOON);
    const again = new Set(dying.events.map(({ event }) => event.id));
    const attempts = ids.map((id) => [id, again.has(id) ? 2 : 1] as const);
    expect(done).toEqual(new Map(attempts));
    expect(await pull(10, 1_000)).toMatchObject({ events: [], lag: 0 });
    const late = dying.events.map(({ leaseId }) => leaseId);
    expect((await admin("subscriptions/pulled/ack", { leaseIds: late })).body).toEqual({
      acked: [],
      expired: late,
    });
  });
});
