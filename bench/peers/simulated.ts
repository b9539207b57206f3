// S1, S2 and S3 in the deterministic harness for Tidegate, for the published algorithms and for the plain
// policies: the same seeds and the same arrivals for all, at an upstream of 1,000/s that queues what is too
// much and at one that refuses it.
import { goodput, latencyQuantile, successShare } from "../../test/simulation/harness/measures.ts";
import { comparedPolicies } from "../../test/simulation/harness/peers/all.ts";
import type { PolicyFactory } from "../../test/simulation/harness/policy.ts";
import type { RunResult } from "../../test/simulation/harness/run.ts";
import {
  LARGE_UPSTREAM,
  loadStep,
  prefetchSpike,
  steadyLoad,
} from "../../test/simulation/harness/scenarios.ts";
import type { UpstreamModelOptions } from "../../test/simulation/harness/upstream-model.ts";
import { secondsUntil, sum } from "../../test/simulation/scenarios/recovery.ts";
import { median } from "../statistics.ts";

const SEEDS = [1, 2, 3];
export const STEADY_TIMES = [0.5, 1, 1.5, 2, 3, 5, 10];
const STEADY_MS = 60_000;
/** By then everybody has found what there is to be found, or has not. */
const STEADY_LATE_MS = 30_000;
/** The rejection ratio scatters while a policy learns; its deviation is taken from here on. */
const STEADY_SETTLED_MS = 10_000;
/** Of `loadStep` and `prefetchSpike`. */
const STORM_BEGINS_MS = 10_000;
const STEP_ENDS_MS = 30_000;
const SPIKE_ENDS_MS = 40_000;

/** Medians over the seeds; breaches of all seeds together. */
export interface PeerRow {
  readonly scenario: "S1" | "S2" | "S3";
  readonly beyond: "queue" | "refuse";
  /** Of the capacity; 0 where the scenario says it. */
  readonly times: number;
  readonly policy: string;
  /** P0, P1, P2, in the stretch that is looked at: all of S1, the storm of S2 and S3. */
  readonly success: readonly number[];
  readonly successP0Late: number;
  readonly goodput: number;
  readonly p99P0Ms: number;
  /** Refused by a threshold while somebody less important would have passed (G1). */
  readonly levelBreaches: number;
  /** Refused for want of room while somebody less important had some (G2). */
  readonly roomBreaches: number;
  /** Of the share of a second's requests that did not succeed. */
  readonly rejectionDeviation: number;
  /** From the end of the storm until a second in which everything succeeds and stays so; S2 alone. */
  readonly fullAfterSeconds: number | null;
}

export interface SimulatedPeers {
  readonly seeds: readonly number[];
  readonly rows: readonly PeerRow[];
}

interface Stretch {
  readonly scenario: PeerRow["scenario"];
  readonly times: number;
  readonly fromMs: number;
  readonly toMs: number;
  readonly settledMs: number;
  readonly lateMs: number;
  run(policy: PolicyFactory, seed: number, upstream: UpstreamModelOptions): RunResult;
}

function stretches(quick: boolean): readonly Stretch[] {
  const steady = (quick ? [1, 5] : STEADY_TIMES).map((times): Stretch => ({
    scenario: "S1",
    times,
    fromMs: 0,
    toMs: STEADY_MS,
    settledMs: STEADY_SETTLED_MS,
    lateMs: STEADY_LATE_MS,
    run: (policy, seed, upstream) => steadyLoad({ policy, seed, upstream }, times),
  }));
  const storm = { times: 0, fromMs: STORM_BEGINS_MS, settledMs: STORM_BEGINS_MS };
  return [
    ...steady,
    {
      ...storm,
      scenario: "S2",
      toMs: STEP_ENDS_MS,
      lateMs: (STORM_BEGINS_MS + STEP_ENDS_MS) / 2,
      run: (policy, seed, upstream) => loadStep({ policy, seed, upstream }),
    },
    {
      ...storm,
      scenario: "S3",
      toMs: SPIKE_ENDS_MS,
      lateMs: (STORM_BEGINS_MS + SPIKE_ENDS_MS) / 2,
      run: (policy, seed, upstream) => prefetchSpike({ policy, seed, upstream }),
    },
  ];
}

export function simulatePeers(quick: boolean): SimulatedPeers {
  const seeds = quick ? SEEDS.slice(0, 1) : SEEDS;
  const rows = (["queue", "refuse"] as const).flatMap((beyond) => {
    const upstream = { ...LARGE_UPSTREAM, beyond };
    return stretches(quick).flatMap((stretch) =>
      comparedPolicies(upstream).map((policy) => {
        const results = seeds.map((seed) => stretch.run(policy, seed, upstream));
        return rowOf(stretch, beyond, results);
      }),
    );
  });
  return { seeds, rows };
}

function rowOf(stretch: Stretch, beyond: PeerRow["beyond"], results: readonly RunResult[]): PeerRow {
  const { scenario, times, fromMs, toMs, settledMs, lateMs } = stretch;
  const over = (of: (result: RunResult) => number): number => median(results.map(of));
  const all = (of: (result: RunResult) => number): number => sum(results.map(of));
  return {
    scenario,
    beyond,
    times,
    policy: results[0].policy,
    success: [0, 1, 2].map((trafficClass) =>
      over((result) => successShare(result, trafficClass, fromMs, toMs)),
    ),
    successP0Late: over((result) => successShare(result, 0, lateMs, toMs)),
    goodput: over((result) => goodput(result, fromMs, toMs)),
    p99P0Ms: over((result) => latencyQuantile(result, 0, 0.99, fromMs, toMs)),
    levelBreaches: all(({ levelBreaches }) => levelBreaches),
    roomBreaches: all(({ unjustRefusals }) => unjustRefusals),
    rejectionDeviation: over((result) => rejectionDeviation(result, settledMs, toMs)),
    fullAfterSeconds: scenario === "S2" ? over(untilFull) : null,
  };
}

function untilFull(result: RunResult): number {
  return secondsUntil(result, STEP_ENDS_MS, ({ offered, ok }) => sum(ok) === sum(offered));
}

/** The standard deviation, over seconds, of the share that did not succeed. */
export function rejectionDeviation({ seconds }: RunResult, fromMs: number, toMs: number): number {
  const ratios = seconds
    .slice(fromMs / 1000, toMs / 1000)
    .map(({ offered, ok }) => 1 - sum(ok) / Math.max(1, sum(offered)));
  const mean = sum(ratios) / ratios.length;
  return Math.sqrt(sum(ratios.map((ratio) => (ratio - mean) ** 2)) / ratios.length);
}
