// S9, S10 and S11: what must not open a breaker: another region's trouble, one bad shard, an isolate that
// lies, errors at random.

import type { RandomSource } from "../../../src/resilience/random.ts";
import { nextRandom } from "../../../src/resilience/random.ts";
import { createUsualFailures, isRowBeyondChance, noteUsual } from "../../../src/resilience/usual-failures.ts";
import type { Upstream } from "../region-breaker/upstream.ts";
import { downBetween, failingAt } from "../region-breaker/upstream.ts";
import type { Region, Scenario } from "../region-breaker/world.ts";
import { DEFAULT_BREAKER } from "../../../src/resilience/breaker-state.ts";
import { World } from "../region-breaker/world.ts";
import type { PolicyFactory } from "../harness/policy.ts";
import { Region as LoadRegion } from "../harness/region.ts";
import { runScenario } from "../harness/run.ts";
import { LARGE_UPSTREAM, USUAL_MIX } from "../harness/scenarios.ts";
import type { UpstreamModel } from "../harness/upstream-model.ts";
import { sum } from "./recovery.ts";
import type { Entry, Measure, MeasureOptions } from "./row.ts";
import { atMost, never, neverAbove, told } from "./row.ts";

const HOUR_MS = 3_600_000;
const BAD_MAIL_DOWN_MS = 60_000;
/** Rows of failures of a length that is seen so often tell how often longer ones come. */
const ENOUGH_ROWS = 30;

export const PARTIAL: readonly Entry[] = [
  {
    id: "S9.1",
    what: "one of 12 regions has no route for 60 s; 25 isolates, 50/s each",
    measure: measureNoRoute,
  },
  {
    id: "S9.2",
    what: "one of four shards behind one address is down: 25 % errors; 25 isolates, 50/s",
    measure: measureShard,
  },
  poisoned("S10.1", 10, false),
  poisoned("S10.2", 100, false),
  poisoned("S10.3", 10, true),
  poisoned("S10.4", 1000, true),
  {
    id: "S10.5",
    what:
      "a fifth of the reports up to 3 s late, a fifth twice, out of order; clocks up to 90 s off; 5 % errors, " +
      "then an outage; a region of 10, 200/s",
    measure: measureBadMail,
  },
  atRandom("S11.1", { errorRate: 0.05, isolates: 10, rps: 2, hours: 200 }),
  atRandom("S11.2", { errorRate: 0.1, isolates: 10, rps: 2, hours: 300 }),
  atRandom("S11.3", { errorRate: 0.1, isolates: 25, rps: 50, hours: 10 }),
  atRandom("S11.4", { errorRate: 0.1, isolates: 1, rps: 2, hours: 200 }),
  atRandom("S11.5", { errorRate: 0.1, isolates: 1, rps: 50, hours: 20 }),
  atRandom("S11.6", { errorRate: 0.2, isolates: 25, rps: 50, hours: 10 }),
];

function opens({ changes }: Region): number {
  return changes.filter(({ to }) => to === "open").length;
}

/** Openings of isolates on their own evidence. */
function ownOpens({ isolates }: Region): number {
  return sum(isolates.map(({ openings }) => openings));
}

function lost({ tally }: Region): number {
  return tally.failed + tally.refused + tally.shed;
}

function noRouteInTheFirst(region: number): Upstream {
  return region === 0 ? downBetween(10_000, 70_000) : failingAt(0);
}

function measureNoRoute({ seeds }: MeasureOptions): Measure[] {
  const runs = seeds.map((seed) => {
    return new World({ seed, regions: 12, isolates: 25, rps: 50, upstream: noRouteInTheFirst }).runUntil(
      130_000,
    ).regions;
  });
  return [
    never(
      "openings elsewhere",
      runs.map(([, ...others]) => sum(others.map((region) => opens(region) + ownOpens(region)))),
    ),
    never(
      "requests lost elsewhere",
      runs.map(([, ...others]) => sum(others.map(lost))),
    ),
    told(
      "openings in that region",
      "count",
      runs.map(([region]) => opens(region)),
    ),
  ];
}

function measureShard({ seeds, isShort }: MeasureOptions): Measure[] {
  const hours = isShort ? 0.1 : 1;
  const regions = seeds.map((seed) => {
    const world = new World({ seed, isolates: 25, rps: 50, upstream: () => failingAt(0.25) });
    world.regions[0].keepsEndings = false;
    return world.runUntil(hours * HOUR_MS).regions[0];
  });
  return [
    never("openings of the region", regions.map(opens)),
    told(
      "openings of single isolates per hour",
      "rate",
      regions.map((region) => ownOpens(region) / hours),
    ),
    told(
      "good answers refused in vain",
      "share",
      regions.map(({ tally }) => (tally.refused + tally.shed) / total(tally)),
    ),
  ];
}

function total(tally: Region["tally"]): number {
  return sum(Object.values(tally));
}

/** Seven in ten requests meet the first isolate, the others any. */
function unevenly(isolates: number): (random: RandomSource) => number {
  return (random) => (nextRandom(random) < 0.7 ? 0 : Math.floor(nextRandom(random) * isolates));
}

function poisoned(id: string, isolates: number, isUneven: boolean): Entry {
  const share = isUneven ? "which gets 70 % of the traffic" : "which gets its part";
  return {
    id,
    what: `one of ${isolates} isolates sees nothing but failures, ${share}; 5 % errors else, 100/s`,
    measure: ({ seeds, isShort }) => {
      const route = unevenly(isolates);
      const regions = seeds.map((seed) => {
        const load: Scenario = {
          seed,
          isolates,
          rps: 100,
          upstream: () => failingAt(0.05),
          seenBy: (isolate, answer) => (isolate === "i0" ? { ...answer, isGood: false } : answer),
          ...(isUneven && { route }),
        };
        return new World(load).runUntil(isShort ? 60_000 : 600_000).regions[0];
      });
      return [
        never("openings of the region", regions.map(opens)),
        told(
          "openings of that isolate",
          "count",
          regions.map(({ isolates: [first] }) => first.openings),
        ),
      ];
    },
  };
}

/** Clocks are off by up to 90 s, either way. */
function offBy(isolate: number): number {
  return [0, 90_000, -90_000, 45_000, -30_000][isolate % 5];
}

function measureBadMail({ seeds }: MeasureOptions): Measure[] {
  const runs = seeds.map((seed) => {
    const mail = { late: 0.2, lateMs: 3000, twice: 0.2 };
    const regions: LoadRegion[] = [];
    const policy: PolicyFactory = {
      name: "bad mail",
      create: (world) => {
        const region = new LoadRegion(world, { isolates: 10, skewMs: offBy, mail });
        regions.push(region);
        return region;
      },
    };
    const changes = [
      { atMs: 0, apply: (model: UpstreamModel) => void (model.errorRate = 0.05) },
      { atMs: BAD_MAIL_DOWN_MS, apply: (model: UpstreamModel) => void (model.mode = "refusing") },
    ];
    const rates = USUAL_MIX.map((part) => part * 200);
    const load = { upstream: LARGE_UPSTREAM, users: 300, deadlineMs: 30_000, idempotent: true, changes };
    const result = runScenario({ seed, durationMs: 70_000, policy, rates: () => rates, ...load });
    const opened = result.regionChanges.filter(({ to }) => to === "open").map(({ atMs }) => atMs);
    const [region] = regions;
    return { opened, miscounted: Math.abs(region.counted - region.heard()) };
  });
  return [
    never(
      "openings while it was well",
      runs.map(({ opened }) => opened.filter((at) => at < BAD_MAIL_DOWN_MS).length),
    ),
    never(
      "requests that the hub counted twice or not at all",
      runs.map(({ miscounted }) => miscounted),
    ),
    atMost(
      "open after the outage began",
      "seconds",
      2.5,
      runs.map(({ opened }) => {
        const at = opened.find((one) => one >= BAD_MAIL_DOWN_MS) ?? Number.POSITIVE_INFINITY;
        return (at - BAD_MAIL_DOWN_MS) / 1000;
      }),
    ),
  ];
}

interface RandomErrors {
  readonly errorRate: number;
  readonly isolates: number;
  readonly rps: number;
  /** Of each seed. */
  readonly hours: number;
}

function atRandom(id: string, load: RandomErrors): Entry {
  const { errorRate, isolates, rps } = load;
  const who = isolates === 1 ? "one isolate" : `${isolates} isolates`;
  return {
    id,
    what: `${errorRate * 100} % errors at random; ${who}, ${rps}/s`,
    measure: ({ seeds, isShort }) =>
      measureRandom(seeds, isShort ? { ...load, hours: load.hours / 20 } : load),
  };
}

function measureRandom(
  seeds: readonly number[],
  { errorRate, isolates, rps, hours }: RandomErrors,
): Measure[] {
  const regions = seeds.map((seed) => {
    const world = new World({ seed, isolates, rps, upstream: () => failingAt(errorRate) });
    world.regions[0].keepsEndings = false;
    return world.runUntil(hours * HOUR_MS).regions[0];
  });
  const hoursInAll = hours * seeds.length;
  const opened = sum(regions.map(opens));
  return [
    neverAbove("openings of the region per hour", "rate", 1e-3, [opened / hoursInAll]),
    told("hours", "count", [hoursInAll]),
    told("which at 95 % says at most", "rate", [atMostSo(opened) / hoursInAll]),
    neverAbove("by rows of failures", "rate", 1e-3, [rowsToOpen(regions, errorRate) / hoursInAll]),
    told("openings of single isolates per hour", "rate", [sum(regions.map(ownOpens)) / hoursInAll]),
  ];
}

/**
 * How many openings the rows of failures that were seen lead to expect: each further failure in a row comes
 * with the error rate. A row must be beyond chance; one less is taken, as what is usual is not known exactly.
 */
function rowsToOpen(regions: readonly Region[], errorRate: number): number {
  const usual = createUsualFailures();
  for (const at of [0, 10_000, 20_000]) noteUsual(usual, 1e6, errorRate * 1e6, 10_000, at);
  let needed = DEFAULT_BREAKER.consecutive;
  while (!isRowBeyondChance(usual, needed)) needed++;
  let length = 1;
  const seen = (row: number): number => sum(regions.map(({ rows }) => rows[row] ?? 0));
  while (seen(length + 1) >= ENOUGH_ROWS) length++;
  return seen(length) * errorRate ** Math.max(0, needed - 1 - length);
}

/** The greatest mean that `count` events of a Poisson process leave possible at 95 %: Wilson, Hilferty. */
function atMostSo(count: number): number {
  const next = count + 1;
  return next * (1 - 1 / (9 * next) + 1.645 / (3 * Math.sqrt(next))) ** 3;
}
