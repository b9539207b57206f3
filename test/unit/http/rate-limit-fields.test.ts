import * as fc from "fast-check";
import { parseList } from "structured-headers";
import { describe, it } from "vitest";
import { quoteString } from "../../../src/http/quoted-string.ts";
import { joinItems, rateLimitItem, rateLimitPolicyItem } from "../../../src/http/rate-limit-fields.ts";

const policyName = fc.string({
  unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)),
});
const amount = fc.double({ min: 0, max: 1e9, noNaN: true });

function plain(field: string): unknown[] {
  return parseList(field).map(([value, parameters]) => [value, Object.fromEntries(parameters)]);
}

describe("rateLimitItem", () => {
  it("writes whole numbers behind the quoted name", ({ expect }) => {
    expect(rateLimitItem('"per-consumer"', 0, 12)).toBe('"per-consumer";r=0;t=12');
  });

  it("never promises more or sooner than there is", ({ expect }) => {
    expect(rateLimitItem('"a"', 1.9, 0.1)).toBe('"a";r=1;t=1');
    expect(rateLimitItem('"a"', -3, -1)).toBe('"a";r=0;t=0');
  });

  it("makes a list that a Structured Fields parser reads back", ({ expect }) => {
    const items = fc.array(fc.record({ policy: policyName, remaining: amount, reset: amount }), {
      minLength: 1,
    });
    fc.assert(
      fc.property(items, (limits) => {
        const field = joinItems(
          limits.map(({ policy, remaining, reset }) => rateLimitItem(quoteString(policy), remaining, reset)),
        );
        expect(plain(field)).toEqual(
          limits.map(({ policy, remaining, reset }) => [
            policy,
            { r: Math.floor(remaining), t: Math.ceil(reset) },
          ]),
        );
      }),
    );
  });
});

describe("rateLimitPolicyItem", () => {
  it("writes quota and window, at least a second", ({ expect }) => {
    expect(rateLimitPolicyItem('"burst"', 100, 60)).toBe('"burst";q=100;w=60');
    expect(rateLimitPolicyItem('"quick"', 5, 0.25)).toBe('"quick";q=5;w=1');
  });

  it("makes a list that a Structured Fields parser reads back", ({ expect }) => {
    const items = fc.array(fc.record({ policy: policyName, quota: amount, window: amount }), {
      minLength: 1,
    });
    fc.assert(
      fc.property(items, (limits) => {
        const field = joinItems(
          limits.map(({ policy, quota, window }) => rateLimitPolicyItem(quoteString(policy), quota, window)),
        );
        expect(plain(field)).toEqual(
          limits.map(({ policy, quota, window }) => [
            policy,
            { q: Math.floor(quota), w: Math.max(1, Math.ceil(window)) },
          ]),
        );
      }),
    );
  });
});

describe("quoteString", () => {
  it("replaces what a name cannot carry", ({ expect }) => {
    expect(quoteString('é"\\\n')).toBe(String.raw`"?\"\\?"`);
  });
});
