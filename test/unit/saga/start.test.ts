// A route that starts sagas, with a ledger that is played: what the client sees, and what the ledger is told.

import { describe, it } from "vitest";
import type { RequestContext } from "../../../src/edge/gateway.ts";
import { createGateway } from "../../../src/edge/gateway.ts";
import type { SagaLedgerStub, StartReply, StartRequest } from "../../../src/saga/core/protocol.ts";
import { hashKey } from "../../../src/edge/api-keys.ts";

const ID = `${"a".repeat(32)}-1-checkout`;
const CONTEXT: RequestContext = { waitUntil: () => {}, passThroughOnException: () => {}, props: {} };

const config = {
  upstreams: { stock: { targets: ["http://stock.test"] } },
  consumers: { acme: { keys: [`sha256:${hashKey("acme-key")}` as const], tenant: "acme" } },
  routes: [
    { path: "/open/:shop", methods: ["POST"], saga: "checkout", bodyLimit: "1KiB" as const },
    { path: "/few", methods: ["POST"], saga: "checkout", bodyLimit: "1KiB" as const, limits: ["few"] },
    { path: "/own", methods: ["POST"], saga: "checkout", auth: true, priority: "P0" as const },
  ],
  limits: { few: { key: "route" as const, rate: 1, per: "1h" as const, consistency: "local" as const } },
  sagas: {
    checkout: {
      key: "{body.order}",
      steps: [
        {
          id: "reserve",
          request: {
            upstream: "stock",
            method: "POST",
            path: "/r/{body.sku}",
            headers: { "x-trace": "{headers.x-shop-trace}" },
          },
          compensate: { none: "it runs out" },
        },
      ],
    },
  },
};

const unused = (): Promise<never> => Promise.reject(new Error("not played"));

function play(answer: () => Promise<StartReply>) {
  const started: StartRequest[] = [];
  const ledger: SagaLedgerStub = {
    start(request) {
      started.push(request);
      return answer();
    },
    resume: unused,
    step: unused,
    view: unused,
    awaitEnd: unused,
    events: unused,
    operate: unused,
    list: unused,
    counts: unused,
  };
  const bindings = { SAGA_LEDGER: { idFromName: (name: string) => name, get: () => ledger } };
  const gateway = createGateway(config);
  const post = async (
    path: string,
    body: string,
    headers: Record<string, string> = {},
  ): Promise<Response> => {
    const request = new Request(`http://gateway.test${path}`, {
      method: "POST",
      headers: { host: "gateway.test", "content-type": "application/json", ...headers },
      body,
    });
    // A Request made by hand drops its host.
    request.headers.set("host", "gateway.test");
    return gateway.handler.fetch(request, bindings, CONTEXT);
  };
  return { started, post };
}

const started =
  (replayed = false) =>
  (): Promise<StartReply> =>
    Promise.resolve({ kind: "started", id: ID, replayed });
const ORDER = JSON.stringify({ order: "o1", sku: "s/1" });
const TRACE = { "x-shop-trace": "t", authorization: "Bearer secret" };

describe("a start that is stored", () => {
  it("is 202 with the saga's address", async ({ expect }) => {
    const { post } = play(started());
    const response = await post("/open/berlin", ORDER, TRACE);
    expect(response.status).toBe(202);
    expect(response.headers.get("location")).toBe(`/_gateway/sagas/${ID}`);
    expect(response.headers.get("retry-after")).toBe("1");
    expect(await response.json()).toMatchObject({ id: ID, state: "pending" });
  });

  it("gives the ledger what templates read, and no other header field", async ({ expect }) => {
    const { started: told, post } = play(started());
    await post("/open/b%20n?q=1", ORDER, TRACE);
    expect(told[0]).toMatchObject({
      key: "o1",
      owner: null,
      input: { params: { shop: "b n" }, query: { q: "1" }, headers: { "x-shop-trace": "t" } },
      origin: { trafficClass: 1, consumer: null, tenant: null },
    });
  });

  it("belongs to its consumer where the route has auth", async ({ expect }) => {
    const { started: told, post } = play(started());
    expect((await post("/own", ORDER, TRACE)).status).toBe(401);
    expect((await post("/own", ORDER, { ...TRACE, "x-api-key": "acme-key" })).status).toBe(202);
    expect(told).toHaveLength(1);
    expect(told[0]).toMatchObject({
      owner: "acme",
      origin: { trafficClass: 0, consumer: "acme", tenant: "acme" },
    });
  });
});

describe("a start that is not", () => {
  it("is not_accepted when it could not be stored", async ({ expect }) => {
    const { post } = play(() => Promise.reject(new Error("no disk")));
    const response = await post("/open/berlin", ORDER, TRACE);
    expect(response.status).toBe(503);
    expect(response.headers.get("retry-after")).toBe("1");
    expect(await response.json()).toMatchObject({ code: "not_accepted", retryAfter: 1 });
  });

  it("is backlog_full when too many are under way", async ({ expect }) => {
    const { post } = play(() => Promise.resolve({ kind: "full", retryAfterMs: 4500 }));
    const response = await post("/open/berlin", ORDER, TRACE);
    expect([response.status, response.headers.get("retry-after")]).toEqual([429, "5"]);
    expect(await response.json()).toMatchObject({ code: "backlog_full" });
  });

  it.for([
    ["no key", "{}", 400, "bad_request"],
    ["an empty key", '{"order": "", "sku": "s"}', 400, "bad_request"],
    ["a key that is no text", '{"order": {}, "sku": "s"}', 400, "bad_request"],
    ["nothing for a step", '{"order": "o1"}', 400, "bad_request"],
    ["a value that leaves its path", '{"order": "o1", "sku": ".."}', 400, "bad_request"],
    ["broken JSON", "{", 400, "bad_request"],
    ["too much", JSON.stringify({ order: "o1", sku: "x".repeat(2000) }), 413, "body_too_large"],
  ] as const)("tells of %s, and stores nothing", async ([, body, status, code], { expect }) => {
    const { started: told, post } = play(started());
    const response = await post("/open/berlin", body, TRACE);
    expect([response.status, await response.json()]).toMatchObject([status, { code }]);
    expect(told).toEqual([]);
  });

  it("uses nothing of a limit", async ({ expect }) => {
    const { post } = play(started());
    for (const body of ["{}", "{", JSON.stringify({ order: "o1", sku: "x".repeat(2000) })]) {
      const refused = await post("/few", body, TRACE);
      expect([refused.status >= 400, refused.headers.get("ratelimit")]).toEqual([true, null]);
    }
    expect((await post("/few", ORDER, TRACE)).status).toBe(202);
    expect((await post("/few", ORDER, TRACE)).status).toBe(429);
  });
});
