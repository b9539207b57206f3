import { describe, it } from "vitest";
import { nonDataErrors } from "../../../cli/plain-data.ts";

describe("nonDataErrors", () => {
  it("accepts what JSON carries, and absent fields", ({ expect }) => {
    const shared = { a: 1 };
    expect(nonDataErrors({ a: [1, "x", true, null, shared], b: shared, c: undefined })).toEqual([]);
    expect(nonDataErrors(Object.create(null))).toEqual([]);
  });

  it("names every value that JSON would drop or change, with its path", ({ expect }) => {
    const cyclic: Record<string, unknown> = {};
    cyclic.self = cyclic;
    const value = {
      routes: [{ path: () => "/" }, undefined],
      "x y": { n: Number.NaN },
      big: 1n,
      when: new Date(0),
      map: new Map(),
      sym: Symbol("s"),
      cyclic,
    };
    expect(nonDataErrors(value)).toEqual([
      "routes[0].path: must be plain data, got a function",
      "routes[1]: must be plain data, got undefined",
      '"x y".n: must be plain data, got NaN',
      "big: must be plain data, got a bigint",
      "when: must be plain data, got a Date object",
      "map: must be plain data, got a Map object",
      "sym: must be plain data, got a symbol",
      "cyclic.self: must be plain data, got a reference to something that contains it",
    ]);
  });

  it("speaks of the whole configuration where there is no path", ({ expect }) => {
    expect(nonDataErrors(() => 1)).toEqual(["(the whole configuration): must be plain data, got a function"]);
  });
});
