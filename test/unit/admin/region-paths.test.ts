// The admin surface where there is no hub, where it does not answer, and where it is not local.

import { describe, expect, it } from "vitest";
import type { GatewayConfig } from "../../../src/config/gateway-config.ts";
import { createGateway } from "../../../src/edge/gateway.ts";

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

  it("state and metrics say what the isolate knows", async () => {
    const dead = hubThat(() => Promise.reject(new Error("gone")));
    const state = await ask("GET", "state", null, dead);
    expect(await state.json()).toMatchObject({
      hub: null,
      isolate: { mode: "alone" },
      regions: { weur: {} },
    });
    expect((await ask("GET", "metrics", null, dead)).status).toBe(200);
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
