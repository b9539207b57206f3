// S1: steady loads from half to ten times the capacity, at small and large upstreams, at such that queue
// and such that refuse, for regions of some isolates; for isolates whose hub cannot be reached; and from
// nothing, for clients that do not wait for long.

import { fleet } from "../harness/fleet.ts";
import { goodput, successShare } from "../harness/measures.ts";
import type { PolicyFactory } from "../harness/policy.ts";
import type { RunResult } from "../harness/run.ts";
import { region } from "../harness/region.ts";
import { LARGE_UPSTREAM, SMALL_UPSTREAM, steadyLoad } from "../harness/scenarios.ts";
import { tidegate } from "../harness/tidegate-policy.ts";
import type { UpstreamModelOptions } from "../harness/upstream-model.ts";
import type { Entry, Measure, MeasureOptions } from "./row.ts";
import { atLeast, never, told } from "./row.ts";
import { regionOf, withMax } from "./options.ts";
import { sum } from "./recovery.ts";

export const LOADS = [0.5, 0.8, 1, 1.5, 2, 3, 5, 10] as const;

const REGIONS = [1, 3, 10] as const;

interface Kind {
  readonly upstream: UpstreamModelOptions;
  readonly what: string;
}

const KINDS: readonly Kind[] = [
  { upstream: SMALL_UPSTREAM, what: "100/s, an upstream that queues" },
  { upstream: LARGE_UPSTREAM, what: "1,000/s, an upstream that queues" },
  { upstream: { ...SMALL_UPSTREAM, beyond: "refuse" }, what: "100/s, one that refuses" },
  { upstream: { ...LARGE_UPSTREAM, beyond: "refuse" }, what: "1,000/s, one that refuses" },
];
const [, LARGE_QUEUE, , LARGE_REFUSAL] = KINDS;

export const STEADY: readonly Entry[] = [
  ...KINDS.flatMap((kind, at) =>
    REGIONS.map((isolates, index) =>
      steady(`S1.${at * REGIONS.length + index + 1}`, kind, regionOf(isolates), region({ isolates })),
    ),
  ),
  steady("S1.13", LARGE_QUEUE, "ten isolates, no hub", fleet(tidegate(), { isolates: 10, churn: 0 })),
  steady("S1.14", LARGE_REFUSAL, "ten isolates, no hub", fleet(tidegate(), { isolates: 10, churn: 0 })),
  steady(
    "S1.15",
    LARGE_QUEUE,
    "ten isolates, no hub, max of 30 for each",
    fleet(tidegate(withMax(30)), { isolates: 10, churn: 0 }),
  ),
  cold("S1.16", "three regions of one isolate", fleet(region({ isolates: 1 }), { isolates: 3, churn: 0 })),
  cold("S1.17", regionOf(10), region({ isolates: 10 })),
];

function steady(id: string, { upstream, what }: Kind, who: string, policy: PolicyFactory): Entry {
  return {
    id,
    what: `0.5x to 10x of ${what}; ${who}`,
    measure: (options) => measureSteady(options, upstream, policy),
  };
}

function measureSteady(
  { seeds, isShort }: MeasureOptions,
  upstream: UpstreamModelOptions,
  policy: PolicyFactory,
): Measure[] {
  const durationMs = isShort ? 10_000 : 60_000;
  const runs = LOADS.map((times) => ({
    times,
    results: seeds.map((seed) => steadyLoad({ policy, seed, upstream, durationMs }, times)),
  }));
  const full = runs.filter(({ times }) => times >= 1);
  const lowest = (of: typeof runs, measure: (result: RunResult) => number): number[] =>
    seeds.map((_, at) => Math.min(...of.map(({ results }) => measure(results[at]))));
  const worstLoads = (of: typeof runs, measure: (result: RunResult) => number): number[] =>
    seeds.map(
      (_, at) => of.toSorted((one, two) => measure(one.results[at]) - measure(two.results[at]))[0].times,
    );
  const total = (measure: (result: RunResult) => number): number[] =>
    seeds.map((_, at) => sum(runs.map(({ results }) => measure(results[at]))));
  return [
    atLeast(
      "P0 success",
      "share",
      0.999,
      lowest(runs, (result) => successShare(result, 0)),
    ),
    told(
      "worst at a load of",
      "times",
      worstLoads(runs, (result) => successShare(result, 0)),
    ),
    atLeast("goodput from 1x on", "share", 0.95, lowest(full, goodput)),
    told("worst at", "times", worstLoads(full, goodput)),
    told(
      "openings of the region's breaker",
      "count",
      total(({ regionChanges }) => regionChanges.filter(({ to }) => to === "open").length),
    ),
    never(
      "G1 breaches",
      total(({ levelBreaches }) => levelBreaches),
    ),
    never(
      "G2 breaches",
      total(({ unjustRefusals }) => unjustRefusals),
    ),
  ];
}

/** A server that nobody knows anything of, and clients that leave after two seconds. */
const COLD_UPSTREAM: UpstreamModelOptions = { ...SMALL_UPSTREAM, servers: 15 };
const PATIENCE_MS = 2_000;
const COLD_MS = 10_000;

function cold(id: string, who: string, policy: PolicyFactory): Entry {
  return {
    id,
    what: `the first 10 s of 1x to 10x of 150/s, clients that wait 2 s; ${who}`,
    measure: ({ seeds }) => {
      const runs = [1, 2, 5, 10].map((times) =>
        seeds.map((seed) =>
          steadyLoad({ policy, seed, upstream: COLD_UPSTREAM, durationMs: COLD_MS }, times),
        ),
      );
      const lowest = (trafficClass: number): number[] =>
        seeds.map((_, at) => Math.min(...runs.map((results) => shareInTime(results[at], trafficClass))));
      return [
        atLeast("P0 answered in time", "share", 0.995, lowest(0)),
        told("P1 answered in time", "share", lowest(1)),
      ];
    },
  };
}

function shareInTime({ classes }: RunResult, trafficClass: number): number {
  const { offered, latencies } = classes[trafficClass];
  return latencies.filter(({ ms }) => ms <= PATIENCE_MS).length / Math.max(1, offered);
}

/** What is admitted of each class at each load, for a picture: P0, P1, P2. */
export function successByLoad(seeds: readonly number[]): { times: number; shares: number[] }[] {
  return LOADS.map((times) => {
    const results = seeds.map((seed) =>
      steadyLoad({ policy: region({ isolates: 10 }), seed, upstream: LARGE_UPSTREAM }, times),
    );
    const shareOf = (trafficClass: number): number =>
      sum(results.map((result) => successShare(result, trafficClass))) / results.length;
    return { times, shares: [0, 1, 2].map(shareOf) };
  });
}
