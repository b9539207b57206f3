import { describe, it } from "vitest";
import type { LatencyHistogram } from "../../../src/resilience/latency.ts";
import {
  ageLatencies,
  createLatencyHistogram,
  latencyAt,
  recordLatency,
} from "../../../src/resilience/latency.ts";
import { fc, test } from "./property.ts";

function histogramOf(latencies: readonly number[]): LatencyHistogram {
  const histogram = createLatencyHistogram();
  for (const latency of latencies) recordLatency(histogram, latency);
  return histogram;
}

describe("latency quantiles", () => {
  test("are within a tenth of the truth", () => {
    const latencies = fc.array(fc.double({ min: 0.2, max: 600_000, noNaN: true }), {
      minLength: 1,
      maxLength: 200,
    });
    fc.assert(
      fc.property(latencies, fc.constantFrom(0.1, 0.25, 0.5, 0.9, 0.99), (values, quantile) => {
        const sorted = values.toSorted((one, other) => one - other);
        const truth = sorted[Math.max(0, Math.ceil(sorted.length * quantile) - 1)];
        const found = latencyAt(histogramOf(values), quantile);
        return found >= truth * 0.9 && found <= truth * 1.1;
      }),
    );
  });

  it("knows nothing of nothing", ({ expect }) => {
    expect(latencyAt(createLatencyHistogram(), 0.5)).toBe(0);
  });

  it("takes what lies outside of its range at its ends", ({ expect }) => {
    expect(latencyAt(histogramOf([0, -5]), 0.5)).toBeLessThan(0.2);
    expect(latencyAt(histogramOf([1e12]), 0.5)).toBeGreaterThan(1_000_000);
  });

  it("forgets: after some half-lives the new ones decide, after a long pause nothing is left", ({
    expect,
  }) => {
    const histogram = createLatencyHistogram();
    ageLatencies(histogram, 0);
    for (let index = 0; index < 100; index++) recordLatency(histogram, 1000);
    ageLatencies(histogram, 30_000);
    for (let index = 0; index < 50; index++) recordLatency(histogram, 10);
    expect(latencyAt(histogram, 0.5)).toBeLessThan(11);
    ageLatencies(histogram, 3_600_000 * 24);
    expect(histogram.total).toBeLessThan(1e-9);
  });

  it("does not age by a clock that steps back", ({ expect }) => {
    const histogram = createLatencyHistogram();
    ageLatencies(histogram, 100_000);
    recordLatency(histogram, 5);
    ageLatencies(histogram, 0);
    expect(histogram.total).toBe(1);
  });
});
