// What clients prefer (RFC 7240): two preferences are known, the rest is passed over.

import { describe, it } from "vitest";
import { parsePrefer } from "../../../src/http/prefer.ts";

describe("a Prefer field", () => {
  it.for([
    [null, false, null],
    ["", false, null],
    ["respond-async", true, null],
    ["Respond-Async", true, null],
    ["respond-async, wait=10", true, 10],
    ["wait=0", false, 0],
    ['wait="5"', false, 5],
    ["wait = 7", false, 7],
    ["respond-async;x=1;y, wait=3; z", true, 3],
    ["wait=1, wait=2", false, 1],
    ["return=minimal, respond-async", true, null],
    ['foo="a, wait=9", wait=4', false, 4],
    ["respond-async=", false, null],
    ["wait", false, null],
    ["wait=", false, null],
    ["wait=-1", false, null],
    ["wait=1.5", false, null],
    ["wait=soon", false, null],
    ["wait=1234567890", false, null],
    ["wait=x, wait=5", false, null],
    [",, ,respond-async,", true, null],
    ["respond async", false, null],
  ] as const)("%s: async %s, wait %s", ([value, respondAsync, waitSeconds], { expect }) => {
    expect(parsePrefer(value)).toEqual({ respondAsync, waitSeconds });
  });

  it("is read in a time that grows with its length alone", ({ expect }) => {
    const hostile = [
      `wait${" ".repeat(50_000)}x`,
      '"'.repeat(60_000),
      `a;${" ;".repeat(30_000)}=`,
      "a=".repeat(30_000),
    ];
    const startedAt = performance.now();
    for (const value of hostile) parsePrefer(value);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });
});
