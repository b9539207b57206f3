// The admin surface where there is no hub, where it does not answer, and where it is not local.

import { describe, expect, it } from "vitest";
import type { GatewayConfig } from "../../../src/config/gateway-config.ts";
import { createGateway } from "../../../src/edge/gateway.ts";
import { describeHub } from "../../../src/hub/description.ts";
import { NOTHING_STORED, bootHub } from "../../../src/hub/hub.ts";
import { serveSync } from "../../../src/hub/sync.ts";

const CONFIG: GatewayConfig = {
  upstreams: { app: { targets: ["http://127.0.0.1:9"] } },
  counters: { calls: { key: "consumer" } },
  routes: [{ path: "/*", upstream: "app" }],
};

async function ask(method: string, path: string, body: object | null, bindings: object): Promise<Response> {
  const { handler } = createGateway(CONFIG);
  const headers = { host: "gateway.test", authorization: "Bearer token" };
  const request = new Request(`http://gateway.test/_gateway/${path}`, {
    method,
    headers,
    body: body === null ? null : JSON.stringify(body),
  });
  const context = { waitUntil: () => {}, passThroughOnException: () => {}, props: {} };
  return handler.fetch(request, { ADMIN_TOKEN: "token", ...bindings }, context);
}

function hubThat(call: () => Promise<unknown>) {
  const stub = new Proxy({}, { get: () => call });
  return { HUB: { idFromName: (name: string) => name, get: () => stub } };
}

const CALLS = [
  ["GET", "counters/calls?key=k", null],
  ["POST", "counters/calls", { key: "k", by: 1 }],
  ["GET", "overrides", null],
  ["GET", "overrides/app", null],
  ["PUT", "overrides/app", { breaker: "open", forMs: 1000 }],
  ["DELETE", "overrides/app", null],
  ["DELETE", "overrides", null],
] as const;

describe("without a hub that answers", () => {
  it.for(CALLS)("%s %s says so and when to try again", async ([method, path, body]) => {
    const dead = hubThat(() => Promise.reject(new Error("gone")));
    for (const bindings of [{}, dead]) {
      const response = await ask(method, path, body, bindings);
      expect([response.status, response.headers.get("retry-after")]).toEqual([503, "1"]);
      expect(await response.json()).toMatchObject({ code: "not_accepted", retryAfter: 1 });
    }
  });

  it("state says what the isolate knows", async () => {
    const dead = hubThat(() => Promise.reject(new Error("gone")));
    const state = await ask("GET", "state", null, dead);
    expect(await state.json()).toMatchObject({
      hub: null,
      isolate: { mode: "alone" },
      regions: { weur: {} },
    });
  });

  it("metrics are nobody's: the sums of one isolate in place of its region's would look like a restart", async () => {
    const dead = hubThat(() => Promise.reject(new Error("gone")));
    expect((await ask("GET", "metrics", null, dead)).status).toBe(503);
    expect((await ask("GET", "metrics", null, {})).status).toBe(200);
  });
});

describe("metrics of several isolates", () => {
  it("are the region's, whichever isolate answers, and fall nowhere", async () => {
    const hub = bootHub("weur", 0, NOTHING_STORED, Date.now());
    const stub = {
      sync: (request: unknown) => Promise.resolve(serveSync(hub, request, Date.now())),
      describe: () => Promise.resolve(describeHub(hub, Date.now())),
      metrics: () => Promise.resolve([...hub.metrics]),
    };
    const bindings = { ADMIN_TOKEN: "token", HUB: { idFromName: (name: string) => name, get: () => stub } };
    const context = { waitUntil: () => {}, passThroughOnException: () => {}, props: {} };
    const isolates = [createGateway(CONFIG), createGateway(CONFIG)];
    const send = (at: number, path: string): Response | Promise<Response> => {
      const headers = {
        host: "gateway.test",
        authorization: "Bearer token",
        via: path === "/x" ? "1.1 tidegate" : "",
      };
      return isolates[at].handler.fetch(
        new Request(`http://gateway.test${path}`, { headers }),
        bindings,
        context,
      );
    };
    const seen: number[] = [];
    for (const [at, requests] of [
      [0, 2],
      [1, 1],
      [0, 3],
      [1, 0],
      [0, 0],
    ]) {
      for (let sent = 0; sent < requests; sent++) await send(at, "/x");
      const text = await (await send(at, "/_gateway/metrics")).text();
      const [, count] = /^tidegate_refusals_total\{code="loop_detected"\} (\d+)$/m.exec(text) ?? [];
      seen.push(Number(count));
    }
    expect(seen).toEqual([2, 3, 6, 6, 6]);
  });
});

describe("a bug in one of the gateway's own paths", () => {
  it("is a problem as any other", async () => {
    // No JSON can say this.
    const stub = {
      overrides: () => Promise.resolve({ app: 1n }),
      sync: () => Promise.reject(new Error("gone")),
    };
    const broken = { HUB: { idFromName: (name: string) => name, get: () => stub } };
    const response = await ask("GET", "overrides", null, broken);
    expect([response.status, response.headers.get("content-type")]).toEqual([
      500,
      "application/problem+json",
    ]);
    expect(await response.json()).toMatchObject({ code: "internal_error", status: 500 });
  });
});

describe("faults", () => {
  it.for([
    ["PUT", { loss: 0.5 }],
    ["PUT", { abort: ["weur"] }],
    ["DELETE", null],
  ] as const)("do not exist where the gateway is deployed: %s %j", async ([method, body]) => {
    let calls = 0;
    const hub = hubThat(async () => ++calls);
    expect((await ask(method, "faults", body, hub)).status).toBe(404);
    expect(calls).toBe(0);
    expect((await ask(method, "faults", body, { ...hub, TIDEGATE_LOCAL: "1" })).status).toBe(200);
    expect(calls).toBeGreaterThan(0);
  });
});
