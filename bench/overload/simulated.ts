// Overload in the deterministic harness of test/simulation: virtual time, seeded arrivals, the production
// code. The same runs as the tests', beside a gateway that sheds nothing and a plain concurrency limit
// that is told the upstream's exact capacity.
import {
  goodput,
  latencyQuantile,
  successShare,
  usefulShare,
} from "../../test/simulation/harness/measures.ts";
import { noShedding, plainConcurrencyLimit } from "../../test/simulation/harness/plain-policies.ts";
import type { PolicyFactory } from "../../test/simulation/harness/policy.ts";
import type { RunResult } from "../../test/simulation/harness/run.ts";
import {
  OUTAGE_BEGINS_MS,
  OUTAGE_ENDS_MS,
  ROOMY_UPSTREAM,
  SLOW_FROM_MS,
  SMALL_UPSTREAM,
  outage,
  slowUpstream,
  steadyLoad,
} from "../../test/simulation/harness/scenarios.ts";
import { tidegate } from "../../test/simulation/harness/tidegate-policy.ts";
import { median } from "../statistics.ts";

const SEEDS = [1, 2, 3];
const STEADY_TIMES = [0.5, 0.8, 1, 1.5, 2, 3, 5, 10];
/** Of 100/s that it could serve. */
const OUTAGE_OFFERED_PER_SECOND = 60;
/** What is served again when this share of what was served before the outage is. */
const BACK_SHARE = 0.9;
const STRETCH_SECONDS = 3;

/** Medians over the seeds. */
export interface SteadyRow {
  readonly times: number;
  readonly policy: string;
  readonly successP0: number;
  readonly goodput: number;
  readonly p99P0Ms: number;
  /** Requests refused for room while a less important one stood in line. */
  readonly unjustRefusals: number;
}

export interface SlowRow {
  readonly policy: string;
  readonly successP0: number;
  readonly useful: number;
  readonly p99P0Ms: number;
}

export interface OutageRow {
  readonly policy: string;
  /** Calls that reached the dead upstream, per second. */
  readonly wastedPerSecond: number;
  /** From the outage's end until nine tenths of what was served before it are served again. */
  readonly backAfterSeconds: number;
  /** The most that the upstream got in a second after the outage, against its capacity. */
  readonly peakLoad: number;
}

export interface SimulatedResult {
  readonly seeds: readonly number[];
  readonly steady: readonly SteadyRow[];
  readonly slow: readonly SlowRow[];
  readonly outage: readonly OutageRow[];
}

type Run = (policy: PolicyFactory, seed: number) => RunResult;

function policies(permits: number): readonly PolicyFactory[] {
  return [tidegate(), noShedding(), plainConcurrencyLimit(permits)];
}

export function simulateOverload(quick: boolean): SimulatedResult {
  const seeds = quick ? SEEDS.slice(0, 1) : SEEDS;
  const times = quick ? [1, 3] : STEADY_TIMES;
  const small = policies(SMALL_UPSTREAM.servers);
  const all = (policy: PolicyFactory, run: Run): readonly RunResult[] =>
    seeds.map((seed) => run(policy, seed));
  return {
    seeds,
    steady: times.flatMap((factor) =>
      small.map((policy) =>
        steadyRow(
          factor,
          all(policy, (of, seed) => steadyLoad({ policy: of, seed }, factor)),
        ),
      ),
    ),
    slow: policies(ROOMY_UPSTREAM.servers).map((policy) =>
      slowRow(all(policy, (of, seed) => slowUpstream({ policy: of, seed }))),
    ),
    outage: small.map((policy) =>
      outageRow(all(policy, (of, seed) => outage({ policy: of, seed }, OUTAGE_OFFERED_PER_SECOND))),
    ),
  };
}

function over(results: readonly RunResult[], of: (result: RunResult) => number): number {
  return median(results.map(of));
}

function steadyRow(times: number, results: readonly RunResult[]): SteadyRow {
  return {
    times,
    policy: results[0].policy,
    successP0: over(results, (result) => successShare(result, 0)),
    goodput: over(results, (result) => goodput(result)),
    p99P0Ms: over(results, (result) => latencyQuantile(result, 0, 0.99)),
    unjustRefusals: Math.max(...results.map(({ unjustRefusals }) => unjustRefusals)),
  };
}

function slowRow(results: readonly RunResult[]): SlowRow {
  return {
    policy: results[0].policy,
    successP0: over(results, (result) => successShare(result, 0, SLOW_FROM_MS)),
    useful: over(results, (result) => usefulShare(result, SLOW_FROM_MS)),
    p99P0Ms: over(results, (result) => latencyQuantile(result, 0, 0.99, SLOW_FROM_MS)),
  };
}

function outageRow(results: readonly RunResult[]): OutageRow {
  const [begins, ends] = [OUTAGE_BEGINS_MS / 1000, OUTAGE_ENDS_MS / 1000];
  return {
    policy: results[0].policy,
    wastedPerSecond: over(results, ({ upstreamArrivals }) => {
      const wasted = upstreamArrivals.slice(begins, ends).reduce((sum, count) => sum + count, 0);
      return wasted / (ends - begins);
    }),
    backAfterSeconds: over(results, (result) => secondsUntilBack(result, ends)),
    peakLoad: over(
      results,
      ({ upstreamArrivals, capacity }) => Math.max(...upstreamArrivals.slice(ends)) / capacity,
    ),
  };
}

/** Seconds from the outage's end until no later stretch of time serves clearly less than before it. */
function secondsUntilBack({ seconds }: RunResult, ends: number): number {
  const served = (from: number, to: number): number => {
    const sum = (of: "offered" | "ok"): number =>
      seconds
        .slice(from, to)
        .reduce((total, second) => total + second[of].reduce((one, two) => one + two, 0), 0);
    return sum("ok") / Math.max(1, sum("offered"));
  };
  const before = served(0, OUTAGE_BEGINS_MS / 1000);
  for (let from = seconds.length - STRETCH_SECONDS; from >= ends; from--) {
    if (served(from, from + STRETCH_SECONDS) < BACK_SHARE * before) return from + STRETCH_SECONDS - ends;
  }
  return 0;
}
