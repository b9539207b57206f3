// S9, S10 and S11: what must not open a breaker: another region's trouble, one bad shard, an isolate that
// lies, errors at random.

import type { RandomSource } from "../../../src/resilience/random.ts";
import { nextRandom } from "../../../src/resilience/random.ts";
import type { Upstream } from "../region-breaker/upstream.ts";
import { downBetween, failingAt } from "../region-breaker/upstream.ts";
import type { Region, Scenario } from "../region-breaker/world.ts";
import { World } from "../region-breaker/world.ts";
import { sum } from "./recovery.ts";
import type { Entry, Measure, MeasureOptions } from "./row.ts";
import { never, neverAbove, told } from "./row.ts";

const HOUR_MS = 3_600_000;
/** Hours without an opening below which a rate of one in a thousand hours is not shown. */
const ENOUGH_HOURS = 3000;

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
    what: "reports late, twice, out of order; clocks 90 s off",
    measure: () => [],
    note: "late and repeated reports: `test/simulation/region-breaker/evidence.test.ts`; clocks up to 5 s off: `npm run simulate`; 90 s: nowhere",
  },
  atRandom("S11.1", { errorRate: 0.05, isolates: 10, rps: 2, hours: 1000 }),
  atRandom("S11.2", { errorRate: 0.1, isolates: 10, rps: 2, hours: 1000 }),
  atRandom("S11.3", { errorRate: 0.1, isolates: 25, rps: 50, hours: 20 }),
  atRandom("S11.4", { errorRate: 0.1, isolates: 1, rps: 2, hours: 200 }),
  atRandom("S11.5", { errorRate: 0.1, isolates: 1, rps: 50, hours: 20 }),
  atRandom("S11.6", { errorRate: 0.2, isolates: 25, rps: 50, hours: 20 }),
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
  const name = "openings of the region per hour";
  const perHour = [opened / hoursInAll];
  const openings =
    errorRate > 0.1
      ? told(name, "rate", perHour)
      : {
          ...neverAbove(name, "rate", 1e-3, perHour),
          isConclusive: opened > 0 || hoursInAll >= ENOUGH_HOURS,
        };
  return [
    openings,
    told("hours", "count", [hoursInAll]),
    told("which at 95 % says at most", "rate", [atMostSo(opened) / hoursInAll]),
    told("openings of single isolates per hour", "rate", [sum(regions.map(ownOpens)) / hoursInAll]),
  ];
}

/** The greatest mean that `count` events of a Poisson process leave possible at 95 %: Wilson, Hilferty. */
function atMostSo(count: number): number {
  const next = count + 1;
  return next * (1 - 1 / (9 * next) + 1.645 / (3 * Math.sqrt(next))) ** 3;
}
