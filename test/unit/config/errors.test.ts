// What all error lines have in common: all at once, one line each, no secrets; validation never throws.

import * as fc from "fast-check";
import { describe, it } from "vitest";
import { validateConfig } from "../../../src/config/validate.ts";
import { errorsOf, minimalConfig, withConsumer, withRoute, withTargets, withUpstream } from "./sample.ts";

const LINE = /^[^\n\r\u2028\u2029\u0085]+: [^\n\r\u2028\u2029\u0085]+$/;

describe("error lines", () => {
  it("come all at once, whatever else is wrong", ({ expect }) => {
    const config = {
      upstreams: {
        a: {
          targets: ["nowhere"],
          timeot: "1s",
          breaker: { failureRate: 2, openFor: "20s", maxOpenFor: "10s", prob: 1 },
        },
      },
      consumers: { c: { keys: ["plain"], tenant: "t" } },
      tenants: { other: {} },
      queues: { q: { upstream: "a", maxAge: 0 } },
      routes: [{ path: "/a", upstream: "b", limits: ["x"], priority: "P9" }, {}],
    };
    expect(errorsOf(config).map((line) => line.slice(0, line.indexOf(": ")))).toEqual([
      "upstreams.a.targets[0]",
      "upstreams.a.breaker.failureRate",
      "upstreams.a.breaker.prob",
      "upstreams.a.timeot",
      "consumers.c.keys[0]",
      "routes[0].priority",
      "routes[1].path",
      "queues.q.maxAge",
      "upstreams.a.breaker.maxOpenFor",
      "consumers.c.tenant",
      "routes[0].upstream",
      "routes[0].limits[0]",
      "routes[1].upstream",
    ]);
  });

  it("cut long values and paths at 60 characters", ({ expect }) => {
    const long = "x".repeat(100);
    expect(errorsOf(minimalConfig({ name: long }))[0]).toContain(`(got "${"x".repeat(60)}...")`);
    expect(errorsOf(minimalConfig({ [long]: 1 }))).toEqual([`["${"x".repeat(60)}..."]: unknown key`]);
  });

  it("escape what would break the line", ({ expect }) => {
    expect(errorsOf(minimalConfig({ name: "a\nb\u2028c\u0085d" }))[0]).toContain(
      String.raw`(got "a\nb\u2028c\u0085d")`,
    );
  });

  it.for([
    ["a key", withConsumer({ keys: ["s3cret"] })],
    ["a key in place of the list", withConsumer({ keys: "s3cret" })],
    ["a key in place of a consumer", minimalConfig({ consumers: { c: "s3cret" } })],
    ["a key in place of all consumers", minimalConfig({ consumers: "s3cret" })],
    ["an unknown field's value", withConsumer({ password: "s3cret" })],
    ["a header value to set", withRoute({ request: { set: { authorization: "s3cret\n" } } })],
    ["a header value in place of the list", withRoute({ request: { set: "s3cret" } })],
    ["a header value to ask for", withRoute({ headers: { authorization: "s3cret\n" } })],
    ["a password in an address", withTargets("https://user:s3cret@a.test")],
    ["a token in an address", withTargets("https://a.test/?token=s3cret")],
    [
      "an address with a password in place of the list",
      withUpstream({ targets: "https://user:s3cret@a.test" }),
    ],
    ["another scheme's address with a password", withTargets("postgres://user:s3cret@a.test")],
  ] as const)("never show %s", ([, config], { expect }) => {
    const errors = errorsOf(config);
    expect(errors).not.toEqual([]);
    expect(errors.join("\n")).not.toContain("s3cret");
  });
});

/** Values that look like parts of a configuration, so that the rules behind the first one are met too. */
function configLike(): fc.Arbitrary<unknown> {
  const words = [
    "a",
    "*",
    "/a/:id/*",
    "/:x{[}",
    "http://a.test",
    "10s",
    "P0",
    "env:K",
    "ip",
    "capped",
    "__proto__",
    "constructor",
  ];
  const keys = [
    "name upstreams consumers tenants limits counters routes queues targets url binding weight timeout breaker",
    "queue orderBy highWatermark resumeAt alertAt maxAge batch idempotencyKey onDeadHead attempts delay maxDelay",
    "concurrency retry keys tenant share key rate per burst cost consistency billing count path upstream auth request response set",
    "remove fallback status body headers hosts methods a * __proto__ constructor",
  ].flatMap((line) => line.split(" "));
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { maxDepth: 6, depthSize: "large" },
      fc.oneof(fc.constantFrom(...words), fc.boolean(), fc.double(), fc.constant(null), fc.string()),
      fc.array(tie("tree"), { maxLength: 3 }),
      fc.dictionary(fc.oneof(fc.constantFrom(...keys), fc.string()), tie("tree"), { maxKeys: 6 }),
    ),
  }));
  return tree;
}

/** Whether validation keeps its promise for this input: a plan, or at least one error, each one line. */
function givesPlanOrLines(input: unknown): boolean {
  const result = validateConfig(input);
  if (result.ok) return result.plan.routes.length > 0;
  return result.errors.length > 0 && result.errors.every((line) => LINE.test(line));
}

describe("any input gives a plan, or lines", () => {
  it("whatever it is", ({ expect }) => {
    const anything = fc.oneof(fc.jsonValue(), fc.anything(), configLike());
    fc.assert(
      fc.property(anything, (input) => {
        expect(givesPlanOrLines(input)).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  it("in one part of a valid configuration", ({ expect }) => {
    const parts = fc.constantFrom(
      "name",
      "upstreams",
      "consumers",
      "tenants",
      "limits",
      "counters",
      "routes",
    );
    fc.assert(
      fc.property(parts, configLike(), (part, value) => {
        expect(givesPlanOrLines(minimalConfig({ [part]: value }))).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  it("in one field of a route", ({ expect }) => {
    const names = "path methods hosts headers auth limits count request response fallback".split(" ");
    fc.assert(
      fc.property(fc.constantFrom(...names), configLike(), (name, value) => {
        expect(givesPlanOrLines(withRoute({ [name]: value }))).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  it("as a path and as its rewrite", ({ expect }) => {
    const pieces = "/ * :a :b { } [0-9]+ ? %2F % . .. x # \\ (".split(" ");
    const path = fc.array(fc.constantFrom(...pieces), { maxLength: 8 }).map((all) => `/${all.join("")}`);
    fc.assert(
      fc.property(path, path, (pattern, rewrite) => {
        expect(givesPlanOrLines(withRoute({ path: pattern, request: { path: rewrite } }))).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});
