// Which traces are recorded: a parent's word, else the ratio, which everybody must decide alike.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { flagsOf, isInRatio } from "../../../src/telemetry/sampling.ts";
import { isSampled } from "../../../src/http/trace-context.ts";

const HEX = "0123456789abcdef".split("");
const digits = (length: number) =>
  fc.string({ unit: fc.constantFrom(...HEX), minLength: length, maxLength: length });
const traceIds = digits(32).filter((id) => !/^0+$/.test(id));
const flags = digits(2).filter((text) => text !== "ff");

describe("the decision", () => {
  it("is the parent's, whatever the ratio", () => {
    fc.assert(
      fc.property(traceIds, flags, fc.double({ min: 0, max: 1, noNaN: true }), (traceId, parent, ratio) => {
        expect(flagsOf({ ratio, keepsParent: true }, parent, traceId)).toBe(parent);
      }),
    );
  });

  it("is the ratio's where the trace begins, or where parents are not believed", () => {
    fc.assert(
      fc.property(traceIds, flags, fc.double({ min: 0, max: 1, noNaN: true }), (traceId, parent, ratio) => {
        const decided = isInRatio(traceId, ratio);
        expect(flagsOf({ ratio, keepsParent: true }, null, traceId)).toBe(decided ? "01" : "00");
        const kept = flagsOf({ ratio, keepsParent: false }, parent, traceId);
        expect(isSampled(kept)).toBe(decided);
        expect(kept).toBe(isSampled(parent) === decided ? parent : decided ? "01" : "00");
      }),
    );
  });

  it("of a smaller ratio is never for a trace that a larger one leaves out", () => {
    const ratios = fc.tuple(
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.double({ min: 0, max: 1, noNaN: true }),
    );
    fc.assert(
      fc.property(traceIds, ratios, (traceId, [one, other]) => {
        const [less, more] = [Math.min(one, other), Math.max(one, other)];
        expect(isInRatio(traceId, less) && !isInRatio(traceId, more)).toBe(false);
      }),
    );
  });

  it("is for all at 1 and for none at 0, also at the ends of what ids can be", () => {
    for (const traceId of [`${"0".repeat(31)}1`, "f".repeat(32)]) {
      expect(isInRatio(traceId, 1)).toBe(true);
      expect(isInRatio(traceId, 0)).toBe(false);
    }
    expect(isInRatio("f".repeat(32), Number.EPSILON)).toBe(true);
    expect(isInRatio(`${"0".repeat(31)}1`, 1 - Number.EPSILON)).toBe(false);
  });

  it("takes the ratio's part of ids that are evenly spread", () => {
    const count = 4096;
    const ids = Array.from(
      { length: count },
      (_, index) => `${"a".repeat(18)}${index.toString(16).padStart(3, "0")}${"5".repeat(11)}`,
    );
    for (const ratio of [0.01, 0.25, 0.5, 0.9]) {
      const taken = ids.filter((id) => isInRatio(id, ratio)).length;
      expect(Math.abs(taken - ratio * count)).toBeLessThanOrEqual(1);
    }
  });
});
