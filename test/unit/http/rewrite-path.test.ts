// Rewriting a path: pieces of the raw path, and what happens where a piece is empty or missing.

import * as fc from "fast-check";
import { describe, it } from "vitest";
import type { PathRewrite } from "../../../src/config/plan.ts";
import { rewritePath } from "../../../src/http/paths.ts";

/** `/charge/*` on a route `/v1/payments/*`. */
const CHARGE_REST: PathRewrite = [
  { kind: "literal", text: "/charge/" },
  { kind: "rest", from: 2 },
];
/** `/users/:id/orders` on a route `/u/:id`. */
const USER_ORDERS: PathRewrite = [
  { kind: "literal", text: "/users/" },
  { kind: "segment", index: 1 },
  { kind: "literal", text: "/orders" },
];

describe("rewritePath", () => {
  it("hands the rest on as it was written", ({ expect }) => {
    expect(rewritePath(CHARGE_REST, "/v1/payments/a/b%2Fc//d;x")).toBe("/charge/a/b%2Fc//d;x");
    expect(rewritePath(CHARGE_REST, "/v1/payments/a/")).toBe("/charge/a/");
    expect(rewritePath(CHARGE_REST, "/v1/payments//a")).toBe("/charge//a");
  });

  it("keeps the trailing slash of an empty rest only when the request had it", ({ expect }) => {
    expect(rewritePath(CHARGE_REST, "/v1/payments")).toBe("/charge");
    expect(rewritePath(CHARGE_REST, "/v1/payments/")).toBe("/charge/");
  });

  it("puts single segments in their places", ({ expect }) => {
    expect(rewritePath(USER_ORDERS, "/u/4%202")).toBe("/users/4%202/orders");
    expect(rewritePath(USER_ORDERS, "/u/42/more")).toBe("/users/42/orders");
  });

  it("makes no double slash around a missing or empty piece", ({ expect }) => {
    expect(rewritePath(USER_ORDERS, "/u")).toBe("/users/orders");
    expect(rewritePath(USER_ORDERS, "/u/")).toBe("/users/orders");
  });

  it("begins with a slash whatever the pieces are", ({ expect }) => {
    expect(rewritePath([{ kind: "rest", from: 1 }], "/v1/a/b")).toBe("/a/b");
    expect(rewritePath([{ kind: "rest", from: 1 }], "/v1")).toBe("/");
    expect(
      rewritePath(
        [
          { kind: "literal", text: "/" },
          { kind: "rest", from: 1 },
        ],
        "/v1",
      ),
    ).toBe("/");
    expect(rewritePath([], "/v1")).toBe("/");
  });

  it("is the identity for all of the path", ({ expect }) => {
    const all: PathRewrite = [
      { kind: "literal", text: "/" },
      { kind: "rest", from: 0 },
    ];
    fc.assert(
      fc.property(fc.array(fc.constantFrom("/", "a", "%2F", ".b")), (pieces) => {
        const path = `/${pieces.join("")}`;
        expect(rewritePath(all, path)).toBe(path);
      }),
    );
  });

  it("has a double slash only where the request's piece brings one", ({ expect }) => {
    const segments = fc.array(fc.constantFrom("a", "b%2F", ""), { maxLength: 6 });
    fc.assert(
      fc.property(segments, fc.constantFrom(CHARGE_REST, USER_ORDERS), (parts, rewrite) => {
        const path = `/${parts.join("/")}`;
        const result = rewritePath(rewrite, path);
        expect(result.startsWith("/")).toBe(true);
        if (!path.includes("//")) expect(result).not.toContain("//");
      }),
    );
  });
});
