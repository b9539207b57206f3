// Routes to events beside an outbox that fails, refuses or says nothing. The gateway runs on Node's own web
// standards; only the binding is played.

import { describe, it } from "vitest";
import type { AcceptReply, AcceptRequest, AcceptOutcome } from "../../src/delivery/core/protocol.ts";
import { createGateway } from "../../src/edge/gateway.ts";
import { defineGateway } from "../../src/tidegate.ts";

const CONFIG = defineGateway({
  upstreams: {},
  routes: [
    { name: "track", path: "/track", methods: ["POST"], event: "track.seen", priority: "P2" },
    { name: "pay", path: "/pay", methods: ["POST"], event: "pay.done", priority: "P0" },
  ],
  subscriptions: { audit: { events: ["*"], deliver: { pull: true }, ordered: true } },
});

const ACCEPTED: AcceptOutcome = { kind: "accepted", id: `${"a".repeat(32)}-1-events.0`, status: "queued" };

/** A gateway whose outbox of the events answers each item so; null: it fails. */
function open(outcome: AcceptOutcome | null) {
  const requests: AcceptRequest[] = [];
  const names: string[] = [];
  const isFull = outcome?.kind === "backlog-full";
  const outbox = {
    async accept(request: AcceptRequest): Promise<AcceptReply> {
      requests.push(request);
      if (outcome === null) throw new Error("broken");
      const calm = { depth: 1, watermark: 100, rejecting: isFull, rejectingCritical: false };
      const pressure = { ...calm, retryAfterMs: isFull ? 7_000 : 0 };
      return { kind: "answered", outcomes: request.items.map(() => outcome), pressure };
    },
  };
  const OUTBOX = { idFromName: (name: string) => void names.push(name), get: () => outbox };
  const { handler } = createGateway(CONFIG);
  const context = { waitUntil: () => {}, passThroughOnException: () => {}, props: {} };
  const post = async (
    path: string,
    headers: Record<string, string> = {},
    body = "hello",
  ): Promise<Response> => {
    const init = { method: "POST", headers: { host: "gateway.test", ...headers }, body };
    return handler.fetch(new Request(`http://gateway.test${path}`, init), { OUTBOX }, context);
  };
  return { post, requests, names };
}

describe("a route to an event", () => {
  it("hands its outbox the event, who may be told of it, and how important it is", async ({ expect }) => {
    const { post, requests, names } = open(ACCEPTED);
    const response = await post(
      "/track",
      { "content-type": "application/json", "x-request-id": "r-1" },
      "[1, 2]",
    );
    expect(response.status).toBe(202);
    expect(names).toEqual(["events.0"]);
    const [{ items, subscriptions, terms }] = requests;
    const body: unknown = await response.json();
    expect(items).toMatchObject([
      {
        priority: 2,
        requestId: "r-1",
        idempotency: null,
        target: {
          kind: "event",
          event: {
            source: "/tidegate/track",
            type: "track.seen",
            time: expect.stringMatching(/^\d{4}-/),
            dataContentType: "application/json",
            data: { kind: "json", text: "[1, 2]" },
          },
        },
      },
    ]);
    const { target } = items[0];
    const { id, source, type } = target.kind === "event" ? target.event : { id: "", source: "", type: "" };
    expect(body).toEqual({ id, source, type, status: "accepted" });
    expect(subscriptions).toMatchObject([
      { name: "audit", events: ["*"], ordered: true, terms: { delivery: "pull" } },
    ]);
    expect(terms).toMatchObject({ highWatermark: 20_000, resumeAt: 0.7 });
  });

  it("names the same event each time that a key is sent", async ({ expect }) => {
    const { post, requests } = open(ACCEPTED);
    for (const key of ['"k-1"', "k-1", "k-2"]) await post("/track", { "idempotency-key": key });
    const ids = requests
      .flatMap(({ items }) => items)
      .map(({ target }) => target.kind === "event" && target.event.id);
    expect(ids[0]).toBe(ids[1]);
    expect(ids[2]).not.toBe(ids[0]);
    expect(requests[0].items[0].idempotency?.key).toBe("k-1");
  });

  it.for([
    { outcome: null, status: 503, code: "not_accepted", retryAfter: "1" },
    {
      outcome: { kind: "backlog-full", retryAfterMs: 7_000 },
      status: 429,
      code: "backlog_full",
      retryAfter: "7",
    },
    { outcome: { kind: "conflict" }, status: 422, code: "idempotency_conflict", retryAfter: null },
    { outcome: { kind: "in-flight", id: "x" }, status: 409, code: "idempotency_in_flight", retryAfter: "1" },
  ] as const)("is $status $code", async ({ outcome, status, code, retryAfter }, { expect }) => {
    const response = await open(outcome).post("/track");
    expect([response.status, response.headers.get("retry-after")]).toEqual([status, retryAfter]);
    expect(await response.json()).toMatchObject({ code, status });
  });

  it("is refused here for a second once its outbox has said that it is full, P0 is not", async ({
    expect,
  }) => {
    const { post, requests } = open({ kind: "backlog-full", retryAfterMs: 7_000 });
    for (let sent = 0; sent < 5; sent++) expect((await post("/track")).status).toBe(429);
    expect(requests).toHaveLength(1);
    await post("/pay");
    expect(requests).toHaveLength(2);
    expect(requests[1].refused).toBe(4);
  });

  it("is 503 not_accepted where there is no outbox", async ({ expect }) => {
    const { handler } = createGateway(CONFIG);
    const context = { waitUntil: () => {}, passThroughOnException: () => {}, props: {} };
    const init = { method: "POST", headers: { host: "gateway.test" } };
    const response = await handler.fetch(new Request("http://gateway.test/track", init), {}, context);
    expect([response.status, await response.json()]).toMatchObject([503, { code: "not_accepted" }]);
  });
});
