// Route patterns mean the same in both of Hono's routers; rewrites take exactly the pieces they name; a
// route that is said to cover another one takes all of its requests.

import * as fc from "fast-check";
import { UnsupportedPathError } from "hono/router";
import { RegExpRouter } from "hono/router/reg-exp-router";
import { TrieRouter } from "hono/router/trie-router";
import { describe, it } from "vitest";
import type { RoutePlan } from "../../../src/config/plan.ts";
import { compileRewrite } from "../../../src/config/path-rewrite.ts";
import { coversRoute } from "../../../src/config/route-cover.ts";
import { parseRoutePath, patternSegments } from "../../../src/config/route-pattern.ts";
import { rewritePath } from "../../../src/http/paths.ts";
import { planOf, withRoute } from "./sample.ts";

const literal = (text: string) => ({ kind: "literal", text });

describe("patterns", () => {
  it.for([
    ["/", [literal("")]],
    ["/a//b/", [literal("a"), literal(""), literal("b"), literal("")]],
    ["/a/*", [literal("a"), { kind: "wildcard" }]],
    ["/:id", [{ kind: "param", name: "id", regex: null, optional: false }]],
    ["/:id?", [{ kind: "param", name: "id", regex: null, optional: true }]],
    ["/:p{[a-z/]+}/x", [{ kind: "param", name: "p", regex: "[a-z/]+", optional: false }, literal("x")]],
  ] as const)("%s is cut into segments", ([pattern, segments], { expect }) => {
    expect(parseRoutePath(pattern)).toEqual({ value: pattern });
    expect(patternSegments(pattern)).toEqual(segments);
  });

  it("are normalised as requests are", ({ expect }) => {
    expect(parseRoutePath("/%61/%2a/%7Euser")).toEqual({ value: "/a/%2A/~user" });
  });
});

function rewritten(pattern: string, template: string, path: string): string {
  const rewrite = compileRewrite(pattern, template);
  if ("rule" in rewrite) throw new Error(rewrite.rule);
  return rewritePath(rewrite.value, path);
}

describe("rewrites", () => {
  it.for([
    ["/v1/payments/*", "/charge/*", "/v1/payments/a/b", "/charge/a/b"],
    ["/v1/payments/*", "/charge/*", "/v1/payments", "/charge"],
    ["/v1/payments/*", "/*", "/v1/payments/a", "/a"],
    ["/*", "/base/*", "/a/b", "/base/a/b"],
    ["/v1/*", "/fixed", "/v1/x", "/fixed"],
    ["/users/:id/orders/:order", "/o/:order/u/:id", "/users/7/orders/9%2D", "/o/9%2D/u/7"],
    ["/users/:id{[0-9]+}/*", "/u/:id/*", "/users/7/a", "/u/7/a"],
    ["/v/:major{v\\d}/*", "/:major/*", "/v/v2/a", "/v2/a"],
  ] as const)("%s to %s sends %s as %s", ([pattern, template, path, sent], { expect }) => {
    expect(rewritten(pattern, template, path)).toBe(sent);
  });

  it.for([
    ["/a/*", "/*/b", "may have * only at its end"],
    ["/a/*", "/b*", "may have * only as its last segment"],
    ["/a/:id", "/b/*", "has a * that the route's path does not end with"],
    ["/a/:id", "/b/:name", "has the parameter :name that the route's path does not have"],
    ["/a/:id?", "/:id", "depends on the optional parameter :id"],
    ["/:p{.+}/:id", "/:id", "depends on :p, whose expression may match more than one segment"],
    ["/:p{.+}", "/:p", "depends on :p, whose expression may match more than one segment"],
    ["/:p{[^a]+}", "/:p", "depends on :p, whose expression may match more than one segment"],
    ["/:p{[+-9]+}", "/:p", "depends on :p, whose expression may match more than one segment"],
    ["/:p{\\D+}", "/:p", "depends on :p, whose expression may match more than one segment"],
    ["/:p{a|b/c}", "/:p", "depends on :p, whose expression may match more than one segment"],
  ] as const)("%s to %s is refused: %s", ([pattern, template, rule], { expect }) => {
    expect(compileRewrite(pattern, template)).toEqual({ rule });
  });
});

const patterns = fc
  .array(fc.constantFrom("a", "b", "", ":x", ":y{[ab]+}", ":z?", "*"), { minLength: 1, maxLength: 4 })
  .map((parts) => `/${parts.join("/")}`)
  .filter((pattern) => "value" in parseRoutePath(pattern));
const paths = fc
  .array(fc.constantFrom("a", "b", "ab", "c", ""), { minLength: 1, maxLength: 5 })
  .map((parts) => `/${parts.join("/")}`);

function matches(router: RegExpRouter<null> | TrieRouter<null>, pattern: string, path: string): boolean {
  router.add("ALL", pattern, null);
  return router.match("GET", path)[0].length > 0;
}

function matchesIfSupported(router: RegExpRouter<null>, pattern: string, path: string): boolean | null {
  try {
    return matches(router, pattern, path);
  } catch (error) {
    if (error instanceof UnsupportedPathError) return null;
    throw error;
  }
}

function routeOf(route: Record<string, unknown>): RoutePlan {
  return planOf(withRoute(route)).routes[0];
}

function covers(first: Record<string, unknown>, second: Record<string, unknown>): boolean {
  return coversRoute(routeOf(first), routeOf(second));
}

describe("covering", () => {
  it("is sure: what the later route takes, the earlier one takes", ({ expect }) => {
    let covered = 0;
    fc.assert(
      fc.property(patterns, patterns, paths, (first, second, path) => {
        if (!coversRoute(routeOf({ path: first }), routeOf({ path: second }))) return;
        if (!matches(new TrieRouter(), second, path)) return;
        covered++;
        expect(matches(new TrieRouter(), first, path)).toBe(true);
      }),
      { numRuns: 5000 },
    );
    expect(covered).toBeGreaterThan(0);
  });

  it.for([
    ["/*", "/a", true],
    ["/a/*", "/a", true],
    ["/a/*", "/a/b/*", true],
    ["/a/*", "/ab", false],
    ["/a/b/*", "/a/*", false],
    ["/:x", "/a", true],
    ["/:x", "/", false],
    ["/:x", "/:y{[a-z]+}", false],
    ["/:x", "/*", false],
    ["/:x{[a-z]+}", "/:y{[a-z]+}", true],
    ["/a/:x?", "/a", true],
    ["/a/:x", "/a/:y?", false],
    ["/a", "/a/", false],
  ] as const)("%s before %s: %s", ([first, second, expected], { expect }) => {
    expect(covers({ path: first }, { path: second })).toBe(expected);
  });

  it("looks at methods, hosts and headers as well", ({ expect }) => {
    expect(covers({ methods: ["GET"] }, { methods: ["HEAD"] })).toBe(true);
    expect(covers({ methods: ["GET"] }, {})).toBe(false);
    expect(covers({}, { methods: ["GET"] })).toBe(true);
    expect(covers({ hosts: ["a.test", "b.test"] }, { hosts: ["A.test"] })).toBe(true);
    expect(covers({ hosts: ["a.test"] }, {})).toBe(false);
    expect(covers({}, { headers: { "x-v": "2" } })).toBe(true);
    expect(covers({ headers: { "x-v": "2" } }, { headers: { "X-V": "2", "x-w": "1" } })).toBe(true);
    expect(covers({ headers: { "x-v": "2" } }, { headers: { "x-v": "1" } })).toBe(false);
  });
});

describe("Hono's routers", () => {
  it("agree on every pattern that is accepted", ({ expect }) => {
    let compared = 0;
    fc.assert(
      fc.property(patterns, paths, (pattern, path) => {
        const byExpression = matchesIfSupported(new RegExpRouter(), pattern, path);
        // Together with such a pattern the gateway uses the other router for all.
        if (byExpression === null) return;
        compared++;
        expect(matches(new TrieRouter(), pattern, path)).toBe(byExpression);
      }),
      { numRuns: 5000 },
    );
    expect(compared).toBeGreaterThan(0);
  });
});
