import { describe, it } from "vitest";
import { createLatencyRing, keepLatency, quantileOf } from "../../../src/resilience/latency-ring.ts";
import { fc, test } from "./property.ts";

const KEPT = 64;

describe("the latencies of a window", () => {
  test("have the quantiles of their newest, whatever their order, however often they are asked for", () => {
    const latencies = fc.array(fc.double({ min: 0, max: 60_000, noNaN: true }), {
      minLength: 1,
      maxLength: 200,
    });
    fc.assert(
      fc.property(latencies, fc.array(fc.double({ min: 0, max: 1, noNaN: true })), (values, quantiles) => {
        const ring = createLatencyRing();
        return values.every((value, index) => {
          keepLatency(ring, index, value);
          const kept = values.slice(Math.max(0, index + 1 - KEPT), index + 1).toSorted((a, b) => a - b);
          return [0, 0.25, 1, ...quantiles].every((quantile) => {
            const wanted = kept[Math.min(kept.length - 1, Math.floor(kept.length * quantile))];
            return quantileOf(ring, index + 1, quantile) === wanted;
          });
        });
      }),
    );
  });

  it("of another window do not count", ({ expect }) => {
    const ring = createLatencyRing();
    for (let index = 0; index < KEPT; index++) keepLatency(ring, index, 5000);
    for (const [index, latency] of [30, 10, 20].entries()) keepLatency(ring, index, latency);
    expect([0, 0.5, 1].map((quantile) => quantileOf(ring, 3, quantile))).toEqual([10, 20, 30]);
  });
});
