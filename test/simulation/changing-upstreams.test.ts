// Loads and upstreams that change: a step, a spike of what can be missed, a slow upstream, a dead one, an
// outage and its end, a network cut that retries would make last, and one that comes and goes.

import { describe, it } from "vitest";
import { latencyQuantile, successShare, usefulShare } from "./harness/measures.ts";
import { noShedding, retriesWithoutBudget } from "./harness/plain-policies.ts";
import type { PhaseChange } from "./harness/policy.ts";
import type { RunResult } from "./harness/run.ts";
import {
  CUT_ENDS_MS,
  LARGE_UPSTREAM,
  OUTAGE_BEGINS_MS,
  OUTAGE_ENDS_MS,
  SLOW_FROM_MS,
  SMALL_UPSTREAM,
  SPIKE_BEGINS_MS,
  deadUpstream,
  flapping,
  loadStep,
  networkCut,
  outage,
  prefetchSpike,
  slowUpstream,
} from "./harness/scenarios.ts";
import type { TidegateOptions } from "./harness/tidegate-options.ts";
import { DEFAULT_OPTIONS } from "./harness/tidegate-options.ts";
import { tidegate } from "./harness/tidegate-policy.ts";
import { capacityOf } from "./harness/upstream-model.ts";
import { ISOLATE_START_LIMIT } from "../../src/resilience/concurrency-limit.ts";

const SEEDS = [1, 2, 3];

function withUpstream(options: Partial<TidegateOptions["upstream"]>): TidegateOptions {
  return { ...DEFAULT_OPTIONS, upstream: { ...DEFAULT_OPTIONS.upstream, ...options } };
}

function openings(result: RunResult): readonly PhaseChange[] {
  return result.phaseChanges.filter((change) => change.to === "open");
}

describe.for(SEEDS)("seed %i", (seed) => {
  it("a step to five times the capacity costs no P0, and all are admitted soon after it", ({ expect }) => {
    const result = loadStep({ policy: tidegate(), seed, upstream: LARGE_UPSTREAM });
    expect(successShare(result, 0), `seed ${seed}`).toBeGreaterThanOrEqual(0.999);
    expect(latencyQuantile(result, 0, 0.5, 20_000, 30_000), `seed ${seed}`).toBeLessThan(400);
    for (const trafficClass of [0, 1, 2]) {
      expect(successShare(result, trafficClass, 36_000), `seed ${seed}`).toBeGreaterThanOrEqual(0.99);
    }
  });

  it("a twelvefold spike of what can be missed harms nobody else, once what it began with is served", ({
    expect,
  }) => {
    for (const upstream of [SMALL_UPSTREAM, LARGE_UPSTREAM]) {
      const result = prefetchSpike({ policy: tidegate(), seed, upstream });
      // Its first requests stand in the upstream's queue, at most as many as a cold limit lets in.
      const queueMs = (ISOLATE_START_LIMIT / capacityOf(upstream)) * 1000;
      expect(successShare(result, 0), `seed ${seed}`).toBeGreaterThanOrEqual(0.999);
      expect(successShare(result, 1), `seed ${seed}`).toBeGreaterThanOrEqual(
        0.99 - queueMs / result.durationMs,
      );
      const afterwards = SPIKE_BEGINS_MS + Math.ceil(queueMs / 1000) * 1000;
      expect(successShare(result, 1, afterwards), `seed ${seed}`).toBeGreaterThanOrEqual(0.99);
    }
  });

  it("an upstream that is slow without being full is found out to be so", ({ expect }) => {
    const result = slowUpstream({ policy: tidegate(), seed });
    const limits = result.seconds.map((second) => second.reading.limit);
    const afterwards = SLOW_FROM_MS / 1000;
    expect(Math.min(...limits.slice(afterwards)), `seed ${seed}`).toBeLessThan(limits[afterwards - 1] / 2);
    expect(successShare(result, 0), `seed ${seed}`).toBeGreaterThanOrEqual(0.99);
    expect(usefulShare(result, 30_000), `seed ${seed}`).toBeGreaterThanOrEqual(0.9);
    expect(result.phaseChanges, `seed ${seed}`).toEqual([]);
  });

  it("a slow upstream opens the breaker when slow calls count", ({ expect }) => {
    const { breaker } = DEFAULT_OPTIONS.upstream;
    const slowCalls = withUpstream({ breaker: breaker && { ...breaker, slowCallMs: 250 } });
    const [first] = openings(slowUpstream({ policy: tidegate(slowCalls), seed }));
    expect(first?.reason, `seed ${seed}`).toBe("slow-rate");
    // Nine tenths of the window of 10 s have to be slow ones first.
    expect(first?.atMs, `seed ${seed}`).toBeLessThan(SLOW_FROM_MS + 10_000);
  });

  it.for([5, 60, 1000])(
    "a dead upstream gets at most one probe a second, %i/s offered",
    (perSecond, { expect }) => {
      const result = deadUpstream({ policy: tidegate(), seed }, perSecond);
      const firstOpening = openings(result)[0]?.atMs ?? Number.POSITIVE_INFINITY;
      expect(firstOpening, `seed ${seed}`).toBeLessThan(perSecond < 20 ? 3000 : 1000);
      const probes = result.upstreamArrivals.slice(Math.ceil(firstOpening / 1000));
      expect(Math.max(...probes), `seed ${seed}`).toBeLessThanOrEqual(1);
      const atLongest = probes.slice(20).reduce((sum, count) => sum + count, 0) / (probes.length - 20);
      expect(atLongest, `seed ${seed}`).toBeLessThanOrEqual(0.21);
    },
  );

  it("after an outage all traffic is back within 15 s, and never more than the upstream can take", ({
    expect,
  }) => {
    const result = outage({ policy: tidegate(), seed }, 60);
    const silence = result.upstreamArrivals.slice(OUTAGE_BEGINS_MS / 1000 + 1, OUTAGE_ENDS_MS / 1000);
    expect(Math.max(...silence), `seed ${seed}`).toBeLessThanOrEqual(1);
    const halfOpen = result.phaseChanges.find(
      (change) => change.to === "half-open" && change.atMs >= OUTAGE_ENDS_MS,
    );
    const firstProbe = halfOpen?.atMs ?? Number.POSITIVE_INFINITY;
    expect(firstProbe, `seed ${seed}`).toBeLessThan(OUTAGE_ENDS_MS + 10_500);
    for (const trafficClass of [0, 1, 2]) {
      expect(successShare(result, trafficClass, firstProbe + 15_000), `seed ${seed}`).toBe(1);
    }
    const recovery = result.upstreamArrivals.slice(OUTAGE_ENDS_MS / 1000, 70);
    expect(Math.max(...recovery), `seed ${seed}`).toBeLessThanOrEqual(1.1 * result.capacity);
  });

  it("an outage that ends under overload is followed by full use of the upstream", ({ expect }) => {
    const result = outage({ policy: tidegate(), seed }, 300);
    const lastGood = result.phaseChanges.findLast((change) => change.to === "closed");
    expect(lastGood?.atMs, `seed ${seed}`).toBeLessThan(OUTAGE_ENDS_MS + 21_000);
    expect(usefulShare(result, 65_000), `seed ${seed}`).toBeGreaterThanOrEqual(0.95);
    expect(successShare(result, 0, 65_000), `seed ${seed}`).toBeGreaterThanOrEqual(0.99);
  });

  it("a network cut does not live on in retries", ({ expect }) => {
    const result = networkCut({ policy: tidegate(withUpstream({ timeoutMs: 1000 })), seed });
    const offered = result.classes.reduce((sum, tally) => sum + tally.offered, 0);
    expect(result.retries / offered, `seed ${seed}`).toBeLessThanOrEqual(0.1);
    expect(usefulShare(result, CUT_ENDS_MS + 20_000), `seed ${seed}`).toBeGreaterThanOrEqual(0.95);
    for (const policy of [noShedding(1000), retriesWithoutBudget(1000, 2)]) {
      const unprotected = networkCut({ policy, seed });
      expect(usefulShare(unprotected, CUT_ENDS_MS + 20_000), `seed ${seed}`).toBeLessThan(0.1);
    }
  });

  it("an upstream that comes and goes serves the important ones while it is there", ({ expect }) => {
    const result = flapping({ policy: tidegate(), seed, durationMs: 200_000 });
    const opened = openings(result);
    expect(opened[0].openForMs, `seed ${seed}`).toBeLessThanOrEqual(1000);
    // It opens three times, with probes that fail; then it is held at what they need.
    expect(opened.findLast(({ atMs }) => atMs > 0)?.atMs, `seed ${seed}`).toBeLessThan(45_000);
    // Half of the time it is up.
    expect(successShare(result, 0, 50_000, 200_000), `seed ${seed}`).toBeGreaterThanOrEqual(0.4);
  });
});
