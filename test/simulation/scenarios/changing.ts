// S2, S3, S4 and S7: a load that steps up and down, a spike of what can be missed, an upstream that turns
// slow, and a network cut at high load. Regions of isolates with their hub.

import type { BreakerOptions } from "../../../src/resilience/breaker.ts";
import { goodput, latencyQuantile, successShare, usefulShare } from "../harness/measures.ts";
import { retriesWithoutBudget } from "../harness/plain-policies.ts";
import { region } from "../harness/region.ts";
import type { RunResult, SecondTally } from "../harness/run.ts";
import {
  CUT_ENDS_MS,
  LARGE_UPSTREAM,
  SLOW_FROM_MS,
  SMALL_UPSTREAM,
  loadStep,
  networkCut,
  prefetchSpike,
  slowUpstream,
} from "../harness/scenarios.ts";
import { DEFAULT_OPTIONS } from "../harness/tidegate-options.ts";
import { tidegate } from "../harness/tidegate-policy.ts";
import type { UpstreamModelOptions } from "../harness/upstream-model.ts";
import type { Upstream } from "../region-breaker/upstream.ts";
import { slowBetween } from "../region-breaker/upstream.ts";
import { World } from "../region-breaker/world.ts";
import { regionOf, withBreaker, withMax } from "./options.ts";
import { secondsUntil, sum } from "./recovery.ts";
import type { Entry, Measure, MeasureOptions } from "./row.ts";
import { atLeast, atMost, told } from "./row.ts";

const STORM_BEGINS_MS = 10_000;
const STORM_ENDS_MS = 30_000;
const SPIKE_ENDS_MS = 40_000;
const SLOW_CALLS = withBreaker({ slowCallMs: 250 });

export const CHANGING: readonly Entry[] = [
  step("S2.1", 100, 1),
  step("S2.2", 100, 10),
  step("S2.3", 1000, 1),
  step("S2.4", 1000, 10),
  step("S2.5", 100, 10, 40),
  spike("S3.1", 100),
  spike("S3.2", 1000),
  { id: "S4.1", what: "30 times as slow at 0 % errors, no slowCall; a region of 10", measure: measureSlow },
  {
    id: "S4.2",
    what: "the same with slowCall of 250 ms",
    measure: (options) => measureSlowTrip(options),
  },
  {
    id: "S4.3",
    what: "500 ms instead of 15, slowCall of 100 ms, a region of 25 isolates, 80/s",
    measure: measureSlowRegion,
  },
  {
    id: "S4.4",
    what: "S4.2 for one isolate, no hub",
    measure: (options) => measureSlowTrip(options, tidegate(SLOW_CALLS)),
  },
  {
    id: "S7.1",
    what: "a cut of 10 s at 280/s of 300/s, tries of 1 s, one retry; a region of 10",
    measure: (options) => measureCut(options),
  },
  {
    id: "S7.2",
    what: "the same with rampUp of 2 s and maxOpenFor of 2 s",
    measure: (options) => measureCut(options, { rampUpMs: 2000, maxOpenForMs: 2000 }),
  },
];

function upstreamOf(perSecond: 100 | 1000): UpstreamModelOptions {
  return perSecond === 100 ? SMALL_UPSTREAM : LARGE_UPSTREAM;
}

function step(id: string, perSecond: 100 | 1000, isolates: number, max?: number): Entry {
  const options = max === undefined ? DEFAULT_OPTIONS : withMax(max);
  const policy = region({ isolates, options });
  return {
    id,
    what:
      `0.5x to 5x of ${perSecond}/s and back; ${regionOf(isolates)}` +
      (max === undefined ? "" : `, max of ${max}`),
    measure: ({ seeds }) => {
      const results = seeds.map((seed) => loadStep({ policy, seed, upstream: upstreamOf(perSecond) }));
      return [
        atLeast(
          "P0 success",
          "share",
          0.999,
          results.map((result) => successShare(result, 0)),
        ),
        atMost("P0's p99 from 2 s on, against before", "times", 1.5, results.map(tailGrowth)),
        told(
          "P0's median from 2 s on",
          "milliseconds",
          results.map((result) => latencyQuantile(result, 0, 0.5, STORM_BEGINS_MS + 2000, STORM_ENDS_MS)),
        ),
        atMost("full admission after the end", "seconds", 5, results.map(untilFullAdmission)),
      ];
    },
  };
}

function tailGrowth(result: RunResult): number {
  const before = latencyQuantile(result, 0, 0.99, 0, STORM_BEGINS_MS);
  return latencyQuantile(result, 0, 0.99, STORM_BEGINS_MS + 2000, STORM_ENDS_MS) / before;
}

function untilFullAdmission(result: RunResult): number {
  return secondsUntil(result, STORM_ENDS_MS, ({ offered, ok }) => sum(ok) === sum(offered));
}

function spike(id: string, perSecond: 100 | 1000): Entry {
  const policy = region({ isolates: 10 });
  return {
    id,
    what: `what can be missed multiplies by 12, ${perSecond}/s; a region of 10`,
    measure: ({ seeds }) => {
      const results = seeds.map((seed) => prefetchSpike({ policy, seed, upstream: upstreamOf(perSecond) }));
      const during = (trafficClass: number): number[] =>
        results.map((result) => successShare(result, trafficClass, STORM_BEGINS_MS, SPIKE_ENDS_MS));
      return [
        atLeast("P0 success in the spike", "share", 0.999, during(0)),
        told("P1 success", "share", during(1)),
        told("P2 success", "share", during(2)),
        told(
          "goodput",
          "share",
          results.map((result) => goodput(result, STORM_BEGINS_MS, SPIKE_ENDS_MS)),
        ),
      ];
    },
  };
}

function criticalTimeouts({ classes: [{ endings, offered }] }: RunResult): number {
  return ((endings.upstream_timeout ?? 0) + (endings.deadline_exceeded ?? 0)) / offered;
}

function measureSlow({ seeds }: MeasureOptions): Measure[] {
  const results = seeds.map((seed) => slowUpstream({ policy: region({ isolates: 10 }), seed }));
  return [
    atMost("the limit is halved after", "seconds", 10, results.map(untilHalved)),
    atMost("P0 timeouts", "share", 0.01, results.map(criticalTimeouts)),
    told(
      "P0 success",
      "share",
      results.map((result) => successShare(result, 0, SLOW_FROM_MS)),
    ),
    told(
      "of what could be served",
      "share",
      results.map((result) => usefulShare(result, SLOW_FROM_MS)),
    ),
  ];
}

function untilHalved({ seconds }: RunResult): number {
  const since = SLOW_FROM_MS / 1000;
  const before = seconds[since - 1].reading.limit;
  const at = seconds.findIndex(({ reading }, second) => second >= since && reading.limit <= before / 2);
  return at < 0 ? Number.POSITIVE_INFINITY : at + 1 - since;
}

function opensAfter({ regionChanges }: RunResult): number {
  const opened = regionChanges.find(({ to }) => to === "open");
  return ((opened?.atMs ?? Number.POSITIVE_INFINITY) - SLOW_FROM_MS) / 1000;
}

function measureSlowTrip(
  { seeds }: MeasureOptions,
  policy = region({ isolates: 10, options: SLOW_CALLS }),
): Measure[] {
  const results = seeds.map((seed) => slowUpstream({ policy, seed }));
  return [atMost("open after", "seconds", 3, results.map(opensAfter))];
}

function slowForHalfAMinute(): Upstream {
  return slowBetween(SLOW_FROM_MS, 40_000, 500);
}

function regionOpensAfter(seed: number): number {
  const load = { seed, isolates: 25, rps: 80, options: { slowCallMs: 100 }, upstream: slowForHalfAMinute };
  const openedAt = new World(load).runUntil(40_000).regions[0].movedTo("open");
  return Number.isNaN(openedAt) ? Number.POSITIVE_INFINITY : (openedAt - SLOW_FROM_MS) / 1000;
}

function measureSlowRegion({ seeds }: MeasureOptions): Measure[] {
  return [atMost("open after", "seconds", 3, seeds.map(regionOpensAfter))];
}

function servedLate(result: RunResult): number {
  return usefulShare(result, CUT_ENDS_MS + 20_000);
}

function measureCut({ seeds }: MeasureOptions, breaker: Partial<BreakerOptions> = {}): Measure[] {
  const policy = region({ isolates: 10, options: withBreaker(breaker, 1000) });
  const results = seeds.map((seed) => networkCut({ policy, seed }));
  const without = seeds.map((seed) => networkCut({ policy: retriesWithoutBudget(1000, 2), seed }));
  return [
    atMost("95 % of what is offered served again after", "seconds", 5, results.map(untilServed)),
    atMost("retries", "share", 0.1, results.map(retryShare)),
    told("served from 20 s on", "share", results.map(servedLate)),
    told("the same with retries without budget", "share", without.map(servedLate)),
  ];
}

function untilServed(result: RunResult): number {
  return secondsUntil(result, CUT_ENDS_MS, ({ offered, ok }: SecondTally) => sum(ok) >= 0.95 * sum(offered));
}

function retryShare({ retries, classes }: RunResult): number {
  return retries / sum(classes.map(({ offered }) => offered));
}
