// Steady loads from half to ten times the capacity, at upstreams that queue and at upstreams that refuse:
// what is important succeeds from the first second on, and the upstream stays busy with useful work.

import { describe, it } from "vitest";
import { goodput, successShare, usefulShare } from "./harness/measures.ts";
import { noShedding, plainConcurrencyLimit } from "./harness/plain-policies.ts";
import type { RunResult } from "./harness/run.ts";
import { LARGE_UPSTREAM, SMALL_UPSTREAM, steadyLoad } from "./harness/scenarios.ts";
import { tidegate } from "./harness/tidegate-policy.ts";

const SEEDS = [1, 2, 3, 4, 5, 6];

function describeRun(result: RunResult): string {
  const classes = result.classes.map((tally, index) => `P${index} ${JSON.stringify(tally.endings)}`);
  return `seed ${result.seed}: ${classes.join(", ")}`;
}

function pooledSuccess(results: readonly RunResult[], trafficClass: number): number {
  const offered = results.reduce((sum, result) => sum + result.classes[trafficClass].offered, 0);
  return results.reduce((sum, result) => sum + result.classes[trafficClass].ok, 0) / offered;
}

describe.for([
  { beyond: "queue", users: 300, times: 3 },
  { beyond: "queue", users: 1, times: 3 },
  { beyond: "refuse", users: 300, times: 3 },
  { beyond: "refuse", users: 1, times: 3 },
  { beyond: "queue", users: 300, times: 10 },
  { beyond: "refuse", users: 300, times: 10 },
] as const)("an upstream of ten that will $beyond, $users users, $times times its capacity", (load) => {
  const upstream = { ...SMALL_UPSTREAM, beyond: load.beyond };
  const run = (seed: number, durationMs: number): RunResult =>
    steadyLoad({ policy: tidegate(), seed, upstream, users: load.users, durationMs }, load.times);

  it("serves 99.5 % of P0 within ten seconds, the first one included, and 95 % of its capacity", ({
    expect,
  }) => {
    const results = SEEDS.map((seed) => run(seed, 10_000));
    expect(pooledSuccess(results, 0)).toBeGreaterThanOrEqual(0.995);
    for (const result of results) {
      expect(successShare(result, 0, 0, 1000), describeRun(result)).toBeGreaterThanOrEqual(0.98);
      expect(successShare(result, 0), describeRun(result)).toBeGreaterThanOrEqual(0.99);
      expect(goodput(result), describeRun(result)).toBeGreaterThanOrEqual(0.95);
      expect(result.unjustRefusals, describeRun(result)).toBe(0);
    }
  });

  it("serves 99.5 % of P0 over a minute", ({ expect }) => {
    for (const seed of SEEDS.slice(0, 3)) {
      const result = run(seed, 60_000);
      expect(successShare(result, 0), describeRun(result)).toBeGreaterThanOrEqual(0.995);
      expect(goodput(result), describeRun(result)).toBeGreaterThanOrEqual(0.95);
      expect(result.phaseChanges, describeRun(result)).toEqual([]);
    }
  });
});

describe.for([0.5, 0.8, 1, 1.5, 2, 3, 5, 10])("an upstream of a hundred, %s times its capacity", (times) => {
  it("serves 99.9 % of P0 and 95 % of what can be had", ({ expect }) => {
    for (const beyond of ["queue", "refuse"] as const) {
      const upstream = { ...LARGE_UPSTREAM, beyond };
      const result = steadyLoad({ policy: tidegate(), seed: 11, upstream, durationMs: 20_000 }, times);
      expect(successShare(result, 0), describeRun(result)).toBeGreaterThanOrEqual(0.999);
      expect(usefulShare(result), describeRun(result)).toBeGreaterThanOrEqual(0.95);
      expect(result.unjustRefusals, describeRun(result)).toBe(0);
    }
  });
});

describe("below capacity", () => {
  it("refuses nothing, whatever scatters", ({ expect }) => {
    const scattering = { ...SMALL_UPSTREAM, service: "exponential" } as const;
    for (const upstream of [SMALL_UPSTREAM, scattering, LARGE_UPSTREAM]) {
      for (const seed of SEEDS) {
        const result = steadyLoad({ policy: tidegate(), seed, upstream, durationMs: 20_000 }, 0.5);
        for (const tally of result.classes) expect(tally.ok, describeRun(result)).toBe(tally.offered);
      }
    }
  });

  it("refuses little when an upstream is slow and scatters much", ({ expect }) => {
    const upstream = { ...LARGE_UPSTREAM, servers: 300, serviceMs: 1000 };
    for (const seed of SEEDS) {
      const result = steadyLoad({ policy: tidegate(), seed, upstream, durationMs: 60_000 }, 0.5);
      expect(successShare(result, 0), describeRun(result)).toBe(1);
      expect(usefulShare(result), describeRun(result)).toBeGreaterThanOrEqual(0.9);
    }
  });
});

describe("less important classes", () => {
  it("are refused before more important ones", ({ expect }) => {
    for (const seed of SEEDS) {
      const result = steadyLoad({ policy: tidegate(), seed, durationMs: 20_000 }, 3);
      const [critical, usual, optional] = [0, 1, 2].map((trafficClass) => successShare(result, trafficClass));
      expect(critical, describeRun(result)).toBeGreaterThan(usual);
      expect(usual, describeRun(result)).toBeGreaterThan(optional);
    }
  });
});

describe("the harness itself", () => {
  it("gives the same run for the same seed", ({ expect }) => {
    const options = { policy: tidegate(), seed: 7, durationMs: 5000 };
    expect(steadyLoad(options, 3)).toEqual(steadyLoad(options, 3));
  });

  it("shows what happens without priorities", ({ expect }) => {
    const seed = 1;
    const upstream = { ...SMALL_UPSTREAM, beyond: "refuse" } as const;
    const unprotected = steadyLoad({ policy: noShedding(), seed, durationMs: 60_000 }, 3);
    const limited = steadyLoad({ policy: plainConcurrencyLimit(10), seed, upstream, durationMs: 20_000 }, 3);
    expect(successShare(unprotected, 0, 20_000), describeRun(unprotected)).toBeLessThan(0.1);
    expect(successShare(limited, 0), describeRun(limited)).toBeLessThan(0.5);
  });
});
