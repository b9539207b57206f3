// Advice and bindings: what is said about a valid configuration, and that the demo needs nothing else.

import { describe, it } from "vitest";
import { adviseConfig } from "../../../src/config/advise.ts";
import { missingBindings, missingNamedBindings, namedBindings } from "../../../src/config/bindings.ts";
import { defineGateway } from "../../../src/tidegate.ts";
import {
  declared,
  minimalConfig,
  planOf,
  withConsumer,
  withLimit,
  withRoute,
  withTargets,
} from "./sample.ts";

function adviceFor(config: unknown): readonly string[] {
  return adviseConfig(planOf(config));
}

function withRoutes(...routes: readonly Record<string, unknown>[]): Record<string, unknown> {
  return minimalConfig({ routes: routes.map((route) => ({ path: "/*", upstream: "a", ...route })) });
}

describe("advice", () => {
  it("is silent where nothing is odd", ({ expect }) => {
    expect(adviceFor(minimalConfig())).toEqual([]);
    expect(adviceFor(withRoutes({ path: "/a" }, { path: "/b", priority: "P2" }))).toEqual([]);
  });

  it("names the first route that shadows another", ({ expect }) => {
    expect(adviceFor(withRoutes({ path: "/a/*" }, { path: "/a/:id", priority: "P2" }))).toEqual([
      "routes[1]: never reached, routes[0] takes all of its requests first",
    ]);
    expect(
      adviceFor(withRoutes({ path: "/a/*", methods: ["GET"] }, { path: "/a/*", priority: "P2" })),
    ).toEqual([]);
  });

  it("takes routes for a service's calls and those for the network for two lists", ({ expect }) => {
    const calls = { hosts: ["a.upstream"], priority: "P0" };
    expect(adviceFor(withRoutes({}, calls))).toEqual([]);
    expect(adviceFor(withRoutes(calls, { ...calls, path: "/x" }, {}))).toEqual([
      "routes[1]: never reached, routes[0] takes all of its requests first",
    ]);
  });

  it("says nothing of upstreams that are called without a route", ({ expect }) => {
    const plan = planOf(
      minimalConfig({ upstreams: { a: { targets: ["http://a"] }, b: { targets: ["http://b"] } } }),
    );
    expect(adviseConfig(plan)).toEqual(["upstreams.b: no route uses it"]);
    expect(adviseConfig(plan, { areUpstreamsCalled: true })).toEqual([]);
  });

  it("warns of P0 without auth", ({ expect }) => {
    const line = "routes[0].auth: anybody can send P0 requests, which are shed last; set auth: true";
    expect(adviceFor(withRoute({ priority: "P0" }))).toEqual([line]);
    const plan = planOf(withRoute({ priority: "P0" }));
    expect(adviseConfig(plan, { areClientsKnown: true })).toEqual([]);
    expect(
      adviceFor(withConsumer({}, { routes: [{ path: "/*", upstream: "a", priority: "P0", auth: true }] })),
    ).toEqual([]);
  });

  it("warns of auth that nobody can pass", ({ expect }) => {
    expect(adviceFor(withRoute({ auth: true }))).toEqual([
      "routes[0].auth: no consumer is configured, so every request gets 401",
    ]);
  });

  it("warns of several routes that are all of one class", ({ expect }) => {
    expect(adviceFor(withRoutes({ path: "/a" }, { path: "/b" }))).toEqual([
      "routes: all are P1, so under overload there is nothing less important to shed first",
    ]);
  });

  it("warns of a fallback that tells a POST it was done", ({ expect }) => {
    const line =
      "routes[0].fallback.status: 200 tells the sender of a POST that it was done; list only safe methods";
    expect(adviceFor(withRoute({ fallback: {} }))).toEqual([line]);
    expect(adviceFor(withRoute({ fallback: {}, methods: ["GET", "DELETE"] }))).toEqual([line]);
    expect(adviceFor(withRoute({ fallback: {}, methods: ["GET"] }))).toEqual([]);
    expect(adviceFor(withRoute({ fallback: { status: 503 } }))).toEqual([]);
  });

  it("warns of what no route uses", ({ expect }) => {
    expect(adviceFor(withLimit({ consistency: "local" }))).toEqual(["limits.l: no route uses it"]);
    const upstreams = { a: { targets: ["http://a.test"] }, b: { targets: ["http://b.test"] } };
    expect(adviceFor(minimalConfig({ upstreams }))).toEqual(["upstreams.b: no route uses it"]);
  });
});

describe("bindings", () => {
  const plan = planOf(withTargets("http://a.test", { binding: "PAY" }, { binding: "SHOP" }));

  it("that are declared are fine", ({ expect }) => {
    expect(missingBindings(plan, declared({ fetchers: ["PAY", "SHOP", "OTHER"] }))).toEqual([]);
  });

  it("that are missing give a line each", ({ expect }) => {
    expect(missingBindings(plan, declared({ fetchers: ["SHOP"] }))).toEqual([
      'upstreams.a.targets[1].binding: is no binding with a fetch in wrangler.toml (got "PAY")',
    ]);
  });
});

describe("bindings that a broken configuration names", () => {
  it("are found wherever they are well formed", ({ expect }) => {
    const broken = {
      upstreams: { a: { targets: ["http://a.test", { binding: "PAY" }, { binding: 5 }] }, b: null },
      subscriptions: { s: { deliver: { binding: "SHOP" } }, t: { deliver: "x" } },
      routes: "none",
    };
    expect(namedBindings(broken).map(({ value }) => value)).toEqual(["PAY", "SHOP"]);
    expect(missingNamedBindings(broken, declared({ fetchers: ["PAY"] }))).toEqual([
      'subscriptions.s.deliver.binding: is no binding with a fetch in wrangler.toml (got "SHOP")',
    ]);
    for (const none of [null, 5, [], {}, { upstreams: [] }]) expect(namedBindings(none)).toEqual([]);
  });
});

describe("defineGateway", () => {
  it("adds types and nothing else", ({ expect }) => {
    const config = {
      upstreams: { a: { targets: ["http://a.test"] } },
      routes: [{ path: "/*", upstream: "a" }],
    };
    expect(defineGateway(config)).toBe(config);
  });
});
