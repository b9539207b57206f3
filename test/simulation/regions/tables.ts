// The numbers that are published: what limits admit beyond their units, by policy and load, and how soon
// regions agree. Same world, same loads, same seeds for everybody.

import { measureConvergence, quantile } from "./convergence.ts";
import type { LimitLoad, LimitSummary } from "./limit-load.ts";
import { mean, summarize } from "./limit-load.ts";
import type { LimitPolicy } from "./limit-policies.ts";
import { ISOLATES_ALONE, PERIODIC_1S, PERIODIC_5S, UNKEY, tidegate } from "./limit-policies.ts";

export interface NamedLoad {
  readonly name: string;
  readonly load: Omit<LimitLoad, "seed" | "policy">;
}

export const OVERSHOOT_LOADS: readonly NamedLoad[] = [
  { name: "L=1000, 2x steady", load: { units: 1_000, rho: 2, shape: "steady" } },
  { name: "L=1000, 2x burst in 2 s", load: { units: 1_000, rho: 2, shape: "burst" } },
  { name: "L=1000, 10x steady", load: { units: 1_000, rho: 10, shape: "steady" } },
  { name: "L=1000, 10x burst in 2 s", load: { units: 1_000, rho: 10, shape: "burst" } },
  { name: "L=100, 10x burst in 2 s", load: { units: 100, rho: 10, shape: "burst" } },
  { name: "L=10000, 2x burst in 2 s", load: { units: 10_000, rho: 2, shape: "burst" } },
  { name: "L=10000, 10x burst in 2 s", load: { units: 10_000, rho: 10, shape: "burst" } },
  { name: "L=1000, 0.8x steady", load: { units: 1_000, rho: 0.8, shape: "steady" } },
  { name: "L=1000, 0.8x burst in 2 s", load: { units: 1_000, rho: 0.8, shape: "burst" } },
];

interface PolicyUnderTest {
  readonly name: string;
  readonly policy: LimitPolicy;
  readonly consistency: LimitLoad["consistency"];
}

const POLICIES: readonly PolicyUnderTest[] = [
  { name: "Tidegate, global", policy: tidegate(), consistency: "global" },
  { name: "Tidegate, global, cold regions", policy: tidegate(false), consistency: "global" },
  { name: "Tidegate, capped", policy: tidegate(), consistency: "capped" },
  { name: UNKEY.name, policy: UNKEY, consistency: "global" },
  { name: PERIODIC_1S.name, policy: PERIODIC_1S, consistency: "global" },
  { name: PERIODIC_5S.name, policy: PERIODIC_5S, consistency: "global" },
  { name: ISOLATES_ALONE.name, policy: ISOLATES_ALONE, consistency: "global" },
];

export interface OvershootRow extends LimitSummary {
  readonly policy: string;
  readonly load: string;
}

/** One row for each policy and load; fractions of the limit's units. */
export function measureOvershoot(seeds: readonly number[]): OvershootRow[] {
  return POLICIES.flatMap(({ name, policy, consistency }) =>
    OVERSHOOT_LOADS.map(({ name: load, load: offered }) => ({
      policy: name,
      load,
      ...summarize({ ...offered, policy, consistency }, seeds),
    })),
  );
}

export interface ConvergenceRow {
  readonly regions: number;
  readonly loss: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Messages between regions, per second and region. */
  readonly messageRate: number;
}

/** One row for each number of regions and part of messages that is lost; updates of all seeds together. */
export function measureConvergences(updates: number, seeds: readonly number[] = [1]): ConvergenceRow[] {
  return [2, 4, 9, 11].flatMap((regions) =>
    [0, 0.1, 0.3].map((loss) => {
      const runs = seeds.map((seed) => measureConvergence({ seed, regions, loss, updates }));
      const delaysMs = runs.flatMap((run) => run.delaysMs).toSorted((left, right) => left - right);
      return {
        regions,
        loss,
        p50Ms: quantile(delaysMs, 0.5),
        p99Ms: quantile(delaysMs, 0.99),
        messageRate: mean(runs.map((run) => run.messageRate)),
      };
    }),
  );
}
