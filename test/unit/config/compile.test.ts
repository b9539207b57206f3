// What a valid configuration compiles to: defaults, indices, and the whole of a full example.

import { DEFAULT_BREAKER } from "../../../src/resilience/breaker-state.ts";
import { describe, it } from "vitest";
import type { Plan } from "../../../src/config/plan.ts";
import {
  KEY_HASH,
  minimalConfig,
  planOf,
  withConsumer,
  withLimit,
  withRoute,
  withTargets,
  withUpstream,
} from "./sample.ts";

describe("defaults", () => {
  const plan = planOf(minimalConfig());

  it("of an upstream", ({ expect }) => {
    expect(plan.upstreams[0].breaker).toEqual(DEFAULT_BREAKER);
    expect(plan.upstreams).toEqual([
      {
        index: 0,
        name: "a",
        targets: [{ baseUrl: "http://a.test", binding: null, weight: 1 }],
        timeoutMs: 10_000,
        breaker: {
          failureRate: 0.5,
          slowCallMs: null,
          slowCallRate: 0.8,
          minimumCalls: 20,
          windowMs: 10_000,
          consecutive: 5,
          openForMs: 1000,
          maxOpenForMs: 10_000,
          probes: 3,
          rampUpMs: 10_000,
        },
        concurrency: { max: 1000, adaptive: true, waiting: 64, maxWaitMs: 100 },
        retry: { attempts: 2, budget: 0.1, delayMs: 25, maxDelayMs: 250 },
      },
    ]);
  });

  it("of a route", ({ expect }) => {
    expect(plan.routes).toEqual([
      {
        index: 0,
        name: "/*",
        path: "/*",
        methods: null,
        hosts: null,
        headers: null,
        destination: { kind: "upstream", upstream: 0 },
        priority: 1,
        auth: null,
        limits: [],
        count: [],
        deadlineMs: 30_000,
        bodyLimitBytes: 104_857_600,
        concurrency: null,
        encodedSlashes: false,
        rewrite: null,
        requestHeaders: { set: [], remove: [] },
        responseHeaders: { set: [], remove: [] },
        fallback: null,
      },
    ]);
  });

  it("of everything else", ({ expect }) => {
    const { name, consumers, tenants, limits, counters, secrets, secretKeys, consumersByKeyHash } = plan;
    expect({ name, consumers, tenants, limits, counters, secrets, secretKeys }).toEqual({
      name: "tidegate",
      consumers: [],
      tenants: [],
      limits: [],
      counters: [],
      secrets: [],
      secretKeys: [],
    });
    expect(consumersByKeyHash.size).toBe(0);
  });

  it("of a limit", ({ expect }) => {
    expect(planOf(withLimit({})).limits).toEqual([
      {
        index: 0,
        name: "l",
        key: { kind: "ip" },
        rate: 5,
        perMs: 1000,
        burst: 5,
        cost: 1,
        consistency: "global",
        windowMs: 1000,
        windowLimit: 5,
        onUnavailable: "allow",
        shadow: false,
        billing: false,
      },
    ]);
  });

  it("of a route's bulkhead and of a fallback", ({ expect }) => {
    const [route] = planOf(withRoute({ concurrency: { max: 7 }, fallback: {} })).routes;
    expect(route.concurrency).toEqual({ max: 7, waiting: 0, maxWaitMs: 100 });
    expect(route.fallback).toEqual({ status: 200, headers: [], body: "" });
  });

  it.for([
    [{ openFor: "30s" }, 30_000, 30_000],
    [{ maxOpenFor: "500ms" }, 500, 500],
    [{ openFor: "2s" }, 2000, 10_000],
  ] as const)("of open times adapt to each other: %j", ([breaker, openForMs, maxOpenForMs], { expect }) => {
    expect(planOf(withUpstream({ breaker })).upstreams[0].breaker).toMatchObject({ openForMs, maxOpenForMs });
  });

  it.for([
    [{ delay: "1s" }, 1000, 1000],
    [{ maxDelay: 10 }, 10, 10],
  ] as const)("of retry delays adapt to each other: %j", ([retry, delayMs, maxDelayMs], { expect }) => {
    expect(planOf(withUpstream({ retry })).upstreams[0].retry).toMatchObject({ delayMs, maxDelayMs });
  });

  it("written as undefined are the same as left out", ({ expect }) => {
    const written = withUpstream({ timeout: undefined, breaker: undefined, retry: { delay: undefined } });
    expect(planOf(written).upstreams).toEqual(plan.upstreams);
  });
});

describe("targets", () => {
  it.for([
    ["http://a.test/", "http://a.test"],
    ["HTTPS://A.test:443/base/", "https://a.test/base"],
    ["http://127.0.0.1:8791", "http://127.0.0.1:8791"],
    ["http://[::1]:9000/x//", "http://[::1]:9000/x"],
  ] as const)("%s is %s", ([url, baseUrl], { expect }) => {
    expect(planOf(withTargets(url)).upstreams[0].targets[0].baseUrl).toBe(baseUrl);
  });

  it("with a binding see their upstream's name as host, or their own URL", ({ expect }) => {
    expect(
      planOf(withTargets({ binding: "PAY" }, { binding: "PAY", url: "https://b.test/x", weight: 2 }))
        .upstreams[0].targets,
    ).toEqual([
      { baseUrl: "http://a", binding: "PAY", weight: 1 },
      { baseUrl: "https://b.test/x", binding: "PAY", weight: 2 },
    ]);
  });

  it("false switches breaker and retry off", ({ expect }) => {
    expect(planOf(withUpstream({ breaker: false, retry: false })).upstreams[0]).toMatchObject({
      breaker: null,
      retry: null,
    });
  });
});

describe("tenants", () => {
  it("are those that are listed and those that a consumer names", ({ expect }) => {
    const config = withConsumer(
      { tenant: "small" },
      { tenants: { big: { share: 0.5, concurrency: 9 }, "*": { share: 0.1, concurrency: 3 } } },
    );
    const { tenants, consumers } = planOf(config);
    expect(tenants).toEqual([
      { index: 0, name: "big", share: 0.5, concurrency: 9 },
      { index: 1, name: "small", share: 0.1, concurrency: 3 },
    ]);
    expect(consumers[0].tenant).toBe(1);
  });

  it("need not be listed where nothing is said of tenants", ({ expect }) => {
    expect(planOf(withConsumer({ tenant: "t" })).tenants).toEqual([
      { index: 0, name: "t", share: 1, concurrency: null },
    ]);
    expect(planOf(withConsumer({})).consumers[0].tenant).toBe(-1);
  });
});

describe("routes", () => {
  it("with GET take HEAD, methods are upper case", ({ expect }) => {
    expect(planOf(withRoute({ methods: ["get", "Patch"] })).routes[0].methods).toEqual(
      new Set(["GET", "PATCH", "HEAD"]),
    );
    expect(planOf(withRoute({ methods: ["POST"] })).routes[0].methods).toEqual(new Set(["POST"]));
  });

  it("have hosts in lower case without port", ({ expect }) => {
    expect(planOf(withRoute({ hosts: ["API.example.com:8443", "[::1]:80"] })).routes[0].hosts).toEqual(
      new Set(["api.example.com", "[::1]"]),
    );
  });

  it("have the percent-encodings of their path as requests are matched", ({ expect }) => {
    const [route] = planOf(withRoute({ path: "/p%61y/%c3%a9/:id/*" })).routes;
    expect(route.path).toBe("/pay/%C3%A9/:id/*");
  });

  it("ask for no header where the object is empty", ({ expect }) => {
    expect(planOf(withRoute({ headers: {} })).routes[0].headers).toBeNull();
    expect(planOf(withRoute({ headers: { "X-Version": "2" } })).routes[0].headers).toEqual([
      ["x-version", "2"],
    ]);
  });
});

const FULL = {
  name: "edge",
  upstreams: {
    payments: {
      targets: ["https://pay-a.test", { url: "https://pay-b.test/base", weight: 3 }, { binding: "PAYMENTS" }],
      timeout: "3s",
      breaker: { slowCall: "800ms", failureRate: 0.25 },
      concurrency: { max: 200, adaptive: false, waiting: 10, maxWait: "50ms" },
      retry: { attempts: 3, budget: 0.2, delay: 10, maxDelay: "1s" },
    },
    catalog: { targets: ["http://catalog.test"], breaker: false, retry: false },
  },
  consumers: {
    acme: { keys: [`sha256:${KEY_HASH.toUpperCase()}`, "env:ACME_KEY"], tenant: "acme", priority: "P0" },
    beta: { keys: ["env:BETA_KEY"] },
  },
  tenants: { acme: { share: 0.25, concurrency: 50 }, "*": { share: 1 } },
  limits: {
    "per-consumer": {
      key: "consumer",
      rate: 100,
      per: "1m",
      burst: 20,
      cost: 2,
      onUnavailable: "deny",
      shadow: true,
    },
    "per-version": { key: "header:X-Version", rate: 1, per: "1s", consistency: "exact", billing: true },
  },
  counters: { "api-calls": { key: "consumer" }, "by-app": { key: "header:X-App" } },
  routes: [
    {
      name: "pay",
      path: "/v1/payments/:id/*",
      methods: ["POST"],
      hosts: ["api.example.com"],
      headers: { "x-version": "2" },
      upstream: "payments",
      priority: "P0",
      auth: ["beta"],
      limits: ["per-version", "per-consumer"],
      count: ["by-app", "api-calls"],
      request: {
        path: "/charge/:id/*",
        set: { authorization: "env:UPSTREAM_KEY", "x-a": "1" },
        remove: ["Cookie"],
      },
      response: { set: { "x-b": "" }, remove: ["server"] },
      deadline: "5s",
      bodyLimit: "64KiB",
      concurrency: { max: 50, waiting: 5, maxWait: "10ms" },
      encodedSlashes: true,
    },
    {
      path: "/v1/catalog/*",
      upstream: "catalog",
      auth: true,
      fallback: { status: 203, headers: { "Content-Type": "application/json" }, body: "[]" },
    },
  ],
};

describe("a full example", () => {
  const plan = planOf(FULL);

  it("has its upstreams", ({ expect }) => {
    expect(plan.upstreams[0]).toMatchObject({
      index: 0,
      name: "payments",
      targets: [
        { baseUrl: "https://pay-a.test", binding: null, weight: 1 },
        { baseUrl: "https://pay-b.test/base", binding: null, weight: 3 },
        { baseUrl: "http://payments", binding: "PAYMENTS", weight: 1 },
      ],
      timeoutMs: 3000,
      breaker: { failureRate: 0.25, slowCallMs: 800, minimumCalls: 20 },
      concurrency: { max: 200, adaptive: false, waiting: 10, maxWaitMs: 50 },
      retry: { attempts: 3, budget: 0.2, delayMs: 10, maxDelayMs: 1000 },
    });
    expect(plan.upstreams[1]).toMatchObject({ index: 1, name: "catalog", breaker: null, retry: null });
  });

  it("has its callers", ({ expect }) => {
    expect(plan.consumers).toEqual([
      { index: 0, name: "acme", tenant: 0, priority: 0 },
      { index: 1, name: "beta", tenant: -1, priority: null },
    ]);
    expect(plan.consumersByKeyHash).toEqual(new Map([[KEY_HASH, 0]]));
    expect(plan.secretKeys).toEqual([
      { consumer: 0, secret: "ACME_KEY" },
      { consumer: 1, secret: "BETA_KEY" },
    ]);
    expect(plan.secrets).toEqual(["ACME_KEY", "BETA_KEY", "UPSTREAM_KEY"]);
    expect(plan.tenants).toEqual([{ index: 0, name: "acme", share: 0.25, concurrency: 50 }]);
    expect(plan.limits[0]).toMatchObject({
      index: 0,
      perMs: 60_000,
      burst: 20,
      cost: 2,
      consistency: "global",
      windowMs: 12_000,
      windowLimit: 20,
      onUnavailable: "deny",
      shadow: true,
    });
    expect(plan.limits[1]).toMatchObject({
      index: 1,
      key: { kind: "header", header: "x-version" },
      burst: 1,
      consistency: "exact",
      onUnavailable: "deny",
      billing: true,
    });
    expect(plan.counters).toEqual([
      { index: 0, name: "api-calls", key: { kind: "consumer" } },
      { index: 1, name: "by-app", key: { kind: "header", header: "x-app" } },
    ]);
  });

  it("has its routes", ({ expect }) => {
    expect(plan.routes[0]).toEqual({
      index: 0,
      name: "pay",
      path: "/v1/payments/:id/*",
      methods: new Set(["POST"]),
      hosts: new Set(["api.example.com"]),
      headers: [["x-version", "2"]],
      destination: { kind: "upstream", upstream: 0 },
      priority: 0,
      auth: new Set([1]),
      limits: [1, 0],
      count: [1, 0],
      deadlineMs: 5000,
      bodyLimitBytes: 65_536,
      concurrency: { max: 50, waiting: 5, maxWaitMs: 10 },
      encodedSlashes: true,
      rewrite: [
        { kind: "literal", text: "/charge/" },
        { kind: "segment", index: 2 },
        { kind: "literal", text: "/" },
        { kind: "rest", from: 3 },
      ],
      requestHeaders: {
        set: [
          { name: "authorization", value: "", secret: "UPSTREAM_KEY" },
          { name: "x-a", value: "1", secret: null },
        ],
        remove: ["cookie"],
      },
      responseHeaders: { set: [{ name: "x-b", value: "", secret: null }], remove: ["server"] },
      fallback: null,
    });
    expect(plan.routes[1]).toMatchObject({
      name: "/v1/catalog/*",
      destination: { kind: "upstream", upstream: 1 },
      auth: "any",
      fallback: { status: 203, headers: [["content-type", "application/json"]], body: "[]" },
    });
  });

  it("is frozen all the way down", ({ expect }) => {
    expect(unfrozen(plan)).toEqual([]);
  });
});

/** Paths of objects and arrays that could still be changed. */
function unfrozen(value: unknown, path = "plan"): string[] {
  if (typeof value !== "object" || value === null) return [];
  const inner = Object.entries(value).flatMap(([key, entry]) => unfrozen(entry, `${path}.${key}`));
  return Object.isFrozen(value) ? inner : [path, ...inner];
}

function hashOf(config: unknown): Plan["hash"] {
  return planOf(config).hash;
}

function withKeysReversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withKeysReversed);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).toReversed();
  return Object.fromEntries(entries.map(([key, entry]) => [key, withKeysReversed(entry)]));
}

describe("the hash", () => {
  it("is 16 hex digits", ({ expect }) => {
    expect(hashOf(FULL)).toMatch(/^[0-9a-f]{16}$/);
  });

  it("does not depend on the order of keys", ({ expect }) => {
    expect(hashOf(withKeysReversed(FULL))).toBe(hashOf(FULL));
    expect(hashOf({ ...FULL, sagas: undefined })).toBe(hashOf(FULL));
  });

  it("changes with the order of routes and with any value", ({ expect }) => {
    expect(hashOf({ ...FULL, routes: FULL.routes.toReversed() })).not.toBe(hashOf(FULL));
    expect(hashOf({ ...FULL, name: "edge2" })).not.toBe(hashOf(FULL));
  });

  it("is the start of the SHA-256 of the JSON with sorted keys", ({ expect }) => {
    expect(hashOf(minimalConfig())).toBe("40ad27b93fdd83bf");
  });
});
