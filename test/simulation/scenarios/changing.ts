// S2, S3, S4 and S7: a load that steps up and down, a spike of what can be missed, an upstream that turns
// slow, and a network cut at high load. One isolate, which decides for itself.

import type { BreakerOptions } from "../../../src/resilience/breaker.ts";
import { goodput, latencyQuantile, successShare, usefulShare } from "../harness/measures.ts";
import { retriesWithoutBudget } from "../harness/plain-policies.ts";
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
import { withBreaker, withMax } from "./options.ts";
import { secondsUntil, sum } from "./recovery.ts";
import type { Entry, Measure, MeasureOptions } from "./row.ts";
import { atLeast, atMost, told } from "./row.ts";

const STORM_BEGINS_MS = 10_000;
const STORM_ENDS_MS = 30_000;
const SPIKE_ENDS_MS = 40_000;

export const CHANGING: readonly Entry[] = [
  step("S2.1", "0.5x to 5x and back, 100/s", SMALL_UPSTREAM),
  step("S2.2", "0.5x to 5x and back, 1,000/s", LARGE_UPSTREAM),
  step("S2.3", "0.5x to 5x and back, 100/s; max of 40", SMALL_UPSTREAM, withMax(40)),
  spike("S3.1", "what can be missed multiplies by 12, 100/s", SMALL_UPSTREAM),
  spike("S3.2", "what can be missed multiplies by 12, 1,000/s", LARGE_UPSTREAM),
  { id: "S4.1", what: "30 times as slow at 0 % errors, no slowCall", measure: measureSlow },
  { id: "S4.2", what: "the same with slowCall of 250 ms, one isolate", measure: measureSlowTrip },
  {
    id: "S4.3",
    what: "500 ms instead of 15, slowCall of 100 ms, a region of 25 isolates",
    measure: measureSlowRegion,
  },
  {
    id: "S7.1",
    what: "a cut of 10 s at 280/s of 300/s, tries of 1 s, one retry",
    measure: measureCut,
    note: "the breaker's ramp alone takes `rampUp`, 10 s",
  },
  {
    id: "S7.2",
    what: "the same with rampUp of 2 s and maxOpenFor of 2 s",
    measure: (options) => measureCut(options, { rampUpMs: 2000, maxOpenForMs: 2000 }),
  },
];

function step(id: string, what: string, upstream: UpstreamModelOptions, options = DEFAULT_OPTIONS): Entry {
  return {
    id,
    what,
    measure: ({ seeds }) => {
      const results = seeds.map((seed) => loadStep({ policy: tidegate(options), seed, upstream }));
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

function spike(id: string, what: string, upstream: UpstreamModelOptions): Entry {
  return {
    id,
    what,
    measure: ({ seeds }) => {
      const results = seeds.map((seed) => prefetchSpike({ policy: tidegate(), seed, upstream }));
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
  const results = seeds.map((seed) => slowUpstream({ policy: tidegate(), seed }));
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

function isolateOpensAfter({ phaseChanges }: RunResult): number {
  const opened = phaseChanges.find(({ to }) => to === "open");
  return ((opened?.atMs ?? Number.POSITIVE_INFINITY) - SLOW_FROM_MS) / 1000;
}

function measureSlowTrip({ seeds }: MeasureOptions): Measure[] {
  const options = withBreaker({ slowCallMs: 250 });
  const results = seeds.map((seed) => slowUpstream({ policy: tidegate(options), seed }));
  return [atMost("open after", "seconds", 3, results.map(isolateOpensAfter))];
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
  const policy = tidegate(withBreaker(breaker, 1000));
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
