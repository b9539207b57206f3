// The compiled form of a configuration: what goes in comes out, maps, sets and odd numbers included.

import { inspect, isDeepStrictEqual } from "node:util";
import { describe, it } from "vitest";
import { packData, packPlan, unpackData, unpackPlan } from "../../../src/config/compiled-config.ts";
import { validateConfig } from "../../../src/config/compiled-only.ts";
import { fc } from "../resilience/property.ts";
import {
  KEY_HASH,
  minimalConfig,
  planOf,
  withConsumer,
  withLimit,
  withRoute,
  withUpstream,
} from "./sample.ts";

function roundTrip(data: unknown): unknown {
  return unpackData(packData(data));
}

/** Objects, arrays, maps and sets of scalars that JSON carries and of those that it does not. */
const anyData = fc.letrec((tie) => ({
  data: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    tie("scalar"),
    tie("list"),
    tie("map"),
    tie("set"),
    tie("object"),
  ),
  scalar: fc.oneof(
    fc.string({ unit: "binary" }),
    fc.constantFrom("list", "map", "set", "number", "undefined", "__proto__"),
    fc.double(),
    fc.integer(),
    fc.boolean(),
    fc.constantFrom(null, undefined, -0, 0, Number.NaN, Infinity, -Infinity),
  ),
  list: fc.array(tie("data"), { maxLength: 5 }),
  map: fc.array(fc.tuple(tie("data"), tie("data")), { maxLength: 4 }).map((entries) => new Map(entries)),
  set: fc.array(tie("data"), { maxLength: 4 }).map((items) => new Set(items)),
  object: fc
    .array(
      fc.tuple(
        fc.oneof(
          fc.constantFrom("__proto__", "constructor", "toString", "hasOwnProperty", "compiledPlan", "", "0"),
          fc.string(),
        ),
        tie("data"),
      ),
      { maxLength: 5 },
    )
    .map((entries): unknown => Object.fromEntries(entries)),
})).data;

describe("packed data", () => {
  it("comes out as it went in", ({ expect }) => {
    fc.assert(
      fc.property(anyData, (data) => {
        // Vitest's own comparison stumbles over a key of the name `constructor`.
        expect(isDeepStrictEqual(roundTrip(data), data)).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  it.for([[-0], [0], [Number.NaN], [Infinity], [-Infinity], [2 ** 53], [1e-320], [undefined], [null]])(
    "keeps %o",
    ([scalar], { expect }) => {
      expect(isDeepStrictEqual(roundTrip({ at: [scalar] }), { at: [scalar] })).toBe(true);
    },
  );

  it("keeps a key of the name __proto__ a key", ({ expect }) => {
    const data: unknown = JSON.parse('{"a":{"__proto__":{"admin":true},"constructor":1}}');
    const unpacked = roundTrip(data);
    expect(JSON.stringify(unpacked)).toBe(JSON.stringify(data));
    expect(unpacked).not.toHaveProperty("a.admin");
  });

  it("keeps the order of keys, entries and items", ({ expect }) => {
    const entries = [
      ["y", 1],
      ["x", 2],
    ] as const;
    const data = { b: new Map(entries), a: new Set([3, 1, 2]) };
    expect(inspect(roundTrip(data))).toBe(inspect(data));
  });

  it.for([
    ["a function", () => 1],
    ["a symbol", Symbol("s")],
    ["a bigint", 1n],
    ["a class instance", new Date(0)],
    ["an error", new RangeError("x")],
  ] as const)("is never %s", ([, value], { expect }) => {
    expect(() => packData({ inside: [value] })).toThrow("cannot pack a ");
  });
});

const PLANS = {
  "a minimal one": minimalConfig(),
  "consumers and tenants": withConsumer(
    { tenant: "t", priority: "P2" },
    { tenants: { "*": { share: 0.1 } } },
  ),
  "a limit": withLimit({ key: "header:x-version" }),
  "neither breaker nor retry": withUpstream({ breaker: false, retry: false }),
  "a full route": withRoute(
    {
      path: "/a/:id/*",
      methods: ["GET"],
      hosts: ["api.example.com"],
      headers: { "x-version": "2", __proto_: "x" },
      auth: ["c"],
      request: { path: "/b/:id/*", set: { "x-key": "env:KEY" }, remove: ["cookie"] },
      fallback: { body: "</script>\u2028\"'`${1}" },
      concurrency: { max: 1 },
    },
    { consumers: { c: { keys: [`sha256:${KEY_HASH}`, "env:C_KEY"] } } },
  ),
} as const;

describe("a compiled configuration", () => {
  it.for(Object.entries(PLANS))("gives the Plan of %s", ([, config], { expect }) => {
    const plan = planOf(config);
    // As the import `#config`, and as the body of a request.
    const compiled: unknown = JSON.parse(JSON.stringify(packPlan(plan)));
    expect(unpackPlan(compiled)).toStrictEqual(plan);
  });

  it("gives a Plan that is frozen all the way down", ({ expect }) => {
    const plan = unpackPlan(packPlan(planOf(PLANS["a full route"])));
    const parts = [
      plan,
      plan?.routes,
      plan?.routes[0],
      plan?.routes[0].requestHeaders.set[0],
      plan?.upstreams[0].breaker,
    ];
    expect(parts.map((part) => part !== undefined && Object.isFrozen(part))).toEqual(parts.map(() => true));
  });

  it.for([[minimalConfig()], [null], [undefined], ["compiledPlan"], [[]], [7], [{ compiledPlan: 1 }]])(
    "is told from %j",
    ([other], { expect }) => {
      expect(unpackPlan(other)).toBeNull();
    },
  );
});

describe("the stand-in for the validator", () => {
  it("refuses in one line that says what to do", ({ expect }) => {
    const result = validateConfig(minimalConfig());
    const errors = result.ok ? [] : result.errors;
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatch(
      /^\(the whole configuration\): must be compiled, .*#config.*\[alias\] in wrangler\.toml$/,
    );
  });
});
