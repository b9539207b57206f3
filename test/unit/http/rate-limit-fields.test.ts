import * as fc from "fast-check";
import { parseList } from "structured-headers";
import { describe, it } from "vitest";
import { formatRateLimit, formatRateLimitPolicy } from "../../../src/http/rate-limit-fields.ts";

const policyName = fc.string({
  unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)),
});
const amount = fc.double({ min: 0, max: 1e9, noNaN: true });

function plain(field: string): unknown[] {
  return parseList(field).map(([value, parameters]) => [value, Object.fromEntries(parameters)]);
}

describe("formatRateLimit", () => {
  it("writes quoted names and whole numbers", ({ expect }) => {
    expect(formatRateLimit([{ policy: "per-consumer", remaining: 0, resetSeconds: 12 }])).toBe(
      '"per-consumer";r=0;t=12',
    );
    expect(formatRateLimit([])).toBe("");
  });

  it("never promises more or sooner than there is", ({ expect }) => {
    expect(formatRateLimit([{ policy: "a", remaining: 1.9, resetSeconds: 0.1 }])).toBe('"a";r=1;t=1');
    expect(formatRateLimit([{ policy: "a", remaining: -3, resetSeconds: -1 }])).toBe('"a";r=0;t=0');
  });

  it("is a list that a Structured Fields parser reads back", ({ expect }) => {
    const items = fc.array(fc.record({ policy: policyName, remaining: amount, resetSeconds: amount }));
    fc.assert(
      fc.property(items, (limits) => {
        const expected = limits.map((limit) => [
          limit.policy,
          { r: Math.floor(limit.remaining), t: Math.ceil(limit.resetSeconds) },
        ]);
        expect(plain(formatRateLimit(limits))).toEqual(expected);
      }),
    );
  });
});

describe("formatRateLimitPolicy", () => {
  it("writes quota and window", ({ expect }) => {
    const items = [
      { policy: "burst", quota: 100, windowSeconds: 60 },
      { policy: "quick", quota: 5, windowSeconds: 0.25 },
    ];
    expect(formatRateLimitPolicy(items)).toBe('"burst";q=100;w=60, "quick";q=5;w=1');
  });

  it("replaces what a name cannot carry", ({ expect }) => {
    expect(formatRateLimitPolicy([{ policy: 'é"\\\n', quota: 1, windowSeconds: 1 }])).toBe(
      String.raw`"?\"\\?";q=1;w=1`,
    );
  });

  it("is a list that a Structured Fields parser reads back", ({ expect }) => {
    const items = fc.array(fc.record({ policy: policyName, quota: amount, windowSeconds: amount }));
    fc.assert(
      fc.property(items, (limits) => {
        const expected = limits.map((limit) => [
          limit.policy,
          { q: Math.floor(limit.quota), w: Math.max(1, Math.ceil(limit.windowSeconds)) },
        ]);
        expect(plain(formatRateLimitPolicy(limits))).toEqual(expected);
      }),
    );
  });
});
