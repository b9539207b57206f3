// S5, S6 and S8: an upstream that is dead, that comes back, that comes and goes. Regions around their hubs'
// breakers; those that shed and limit, too, where the load on a healing upstream is what counts.

import type { PolicyFactory } from "../harness/policy.ts";
import { region } from "../harness/region.ts";
import type { RunResult } from "../harness/run.ts";
import { OUTAGE_ENDS_MS, flapping, outage } from "../harness/scenarios.ts";
import { tidegate } from "../harness/tidegate-policy.ts";
import type { Upstream } from "../region-breaker/upstream.ts";
import { downBetween } from "../region-breaker/upstream.ts";
import type { Region } from "../region-breaker/world.ts";
import { World } from "../region-breaker/world.ts";
import { withBreaker } from "./options.ts";
import { sum } from "./recovery.ts";
import type { Entry, Measure } from "./row.ts";
import { atLeast, atMost, neverAbove, told } from "./row.ts";

const DOWN_MS = 10_000;
/** An upstream of a region could serve so much more than it is offered. */
const HEADROOM = 1.25;
const AFTERWARDS_MS = 60_000;

export const OUTAGES: readonly Entry[] = [
  ...[5, 50, 1000].map((rps) => dead(`S5.${rps}`, 12, 25, rps)),
  ...[5, 50, 1000].map((rps) => dead(`S5.${rps}a`, 1, 300, rps)),
  back("S6.1", 30_000, 1000),
  back("S6.2", 600_000, 1000),
  back("S6.3", 30_000, 50),
  healing("S6.4", 60),
  healing("S6.5", 300),
  comesAndGoes("S8.1", "a region of 10", region({ isolates: 10 })),
  comesAndGoes(
    "S8.2",
    "a region of 10, rampUp of 2 s, maxOpenFor of 2 s",
    region({ isolates: 10, options: withBreaker({ rampUpMs: 2000, maxOpenForMs: 2000 }) }),
  ),
  comesAndGoes("S8.3", "one isolate, no hub", tidegate()),
];

interface Watched {
  readonly regions: readonly Region[];
  /** When each call reached the upstream, by region, in elapsed ms. */
  readonly calls: readonly (readonly number[])[];
}

interface OutageLoad {
  readonly seed: number;
  readonly regions: number;
  readonly isolates: number;
  /** Requests per second of all regions. */
  readonly rps: number;
  readonly upMs: number;
}

/** Runs an outage that begins at 10 s. */
export function watchOutage(load: OutageLoad): Watched {
  const calls: number[][] = [];
  const upstream = (index: number): Upstream => {
    const at: number[] = [];
    calls[index] = at;
    const inner = downBetween(DOWN_MS, load.upMs);
    return (elapsedMs, random) => {
      at.push(elapsedMs);
      return inner(elapsedMs, random);
    };
  };
  const { seed, regions, isolates } = load;
  const world = new World({ seed, regions, isolates, rps: load.rps / regions, upstream });
  world.runUntil(load.upMs + AFTERWARDS_MS);
  return { regions: world.regions, calls };
}

function dead(id: string, regions: number, isolates: number, rps: number): Entry {
  const where = regions === 1 ? "one region of 300 isolates" : `${regions} regions of ${isolates} isolates`;
  return {
    id,
    what: `dead for 10 min; ${where}, ${rps}/s in all`,
    measure: ({ seeds, isShort }) =>
      measureDead(seeds, { regions, isolates, rps, upMs: isShort ? 130_000 : 610_000 }),
  };
}

function measureDead(seeds: readonly number[], load: Omit<OutageLoad, "seed">): Measure[] {
  const runs = seeds.map((seed) => watchOutage({ ...load, seed }));
  const seconds = (load.upMs - DOWN_MS) / 1000;
  const worst = (of: (watched: Watched, index: number) => number): number[] =>
    runs.map((watched) => Math.max(...watched.regions.map((_, index) => of(watched, index))));
  const openedAfter = worst(({ regions }, index) => {
    const at = regions[index].movedTo("open");
    return at < load.upMs ? (at - DOWN_MS) / 1000 : Number.POSITIVE_INFINITY;
  });
  const probes = worst(({ regions }, index) => {
    return regions[index].probes.filter(({ at }) => at >= DOWN_MS && at < load.upMs).length / seconds;
  });
  // Counted from two syncs after the opening on: calls that were under way then are not known to be in vain.
  const others = worst(({ regions, calls }, index) => {
    const from = regions[index].movedTo("open") + 2000;
    return calls[index].filter((at) => at >= from && at < load.upMs).length / seconds;
  });
  const before = worst(({ regions, calls }, index) => {
    const openedAt = regions[index].movedTo("open");
    const until = openedAt < load.upMs ? openedAt : load.upMs;
    return calls[index].filter((at) => at >= DOWN_MS && at < until).length;
  });
  const isBusy = load.rps / load.regions >= 20;
  return [
    isBusy ? atMost("open after", "seconds", 2.5, openedAfter) : told("open after", "seconds", openedAfter),
    neverAbove("probes/s and region", "rate", 0.2, probes),
    told("all calls per second from 2 s after it on", "rate", others),
    told("calls in vain before it", "count", before),
  ];
}

function back(id: string, downMs: number, rps: number): Entry {
  const forHow = downMs === 30_000 ? "30 s" : "10 min";
  return {
    id,
    what: `back after ${forHow}; 12 regions of 25 isolates, ${rps}/s in all`,
    measure: ({ seeds, isShort }) =>
      measureBack(seeds, { regions: 12, isolates: 25, rps, upMs: DOWN_MS + (isShort ? 30_000 : downMs) }),
  };
}

function measureBack(seeds: readonly number[], load: Omit<OutageLoad, "seed">): Measure[] {
  const runs = seeds.map((seed) => watchOutage({ ...load, seed }));
  const worst = (of: (watched: Watched, index: number) => number): number[] =>
    runs.map((watched) => Math.max(...watched.regions.map((_, index) => of(watched, index))));
  const firstGood = ({ probes }: Region): number => {
    const good = probes.find(({ at, isGood }) => isGood && at >= load.upMs);
    return good?.until ?? Number.POSITIVE_INFINITY;
  };
  const full = worst(({ regions: at }, index) => {
    const good = firstGood(at[index]);
    return Number.isFinite(good) ? (at[index].lastNotGood(load.upMs) - good) / 1000 : good;
  });
  const probed = worst(({ regions }, index) => {
    const { changes, probes } = regions[index];
    const halfOpen = changes.filter(({ to, at }) => to === "half-open" && at < load.upMs).slice(1);
    const waits = halfOpen.map(
      ({ at }) => (probes.find((probe) => probe.at >= at)?.at ?? Number.POSITIVE_INFINITY) - at,
    );
    return Math.max(0, ...waits) / 1000;
  });
  // A second of all regions together: one region's own arrivals scatter too much for a bound to say much.
  const peak = runs.map(({ calls }) => peakPerSecond(calls.flat(), load.upMs) / (load.rps * HEADROOM));
  return [
    load.rps >= 1000
      ? atMost("probe late by", "seconds", 1, probed)
      : told("probe late by", "seconds", probed),
    atMost("full traffic after the first good probe", "seconds", 15, full),
    ...(load.rps >= 1000
      ? [neverAbove("most calls in a second, of a capacity of 1.25x the load", "times", 1.1, peak)]
      : []),
  ];
}

function peakPerSecond(calls: readonly number[], from: number): number {
  const counts = new Map<number, number>();
  for (const at of calls) {
    if (at < from) continue;
    const second = Math.floor((at - from) / 1000);
    counts.set(second, (counts.get(second) ?? 0) + 1);
  }
  return Math.max(0, ...counts.values());
}

function healing(id: string, perSecond: number): Entry {
  return {
    id,
    what: `back after 30 s; a region of 10, ${perSecond}/s at 100/s`,
    measure: ({ seeds }) => {
      const results = seeds.map((seed) => outage({ policy: region({ isolates: 10 }), seed }, perSecond));
      return [
        atMost("full traffic after the first good probe", "seconds", 15, results.map(untilFull)),
        neverAbove("most calls in a second, of the capacity", "times", 1.1, results.map(peakInRecovery)),
      ];
    },
  };
}

/** The most that it gets in a second until 25 s after the outage, which is when a recovery is over. */
function peakInRecovery({ upstreamArrivals, capacity }: RunResult): number {
  const since = OUTAGE_ENDS_MS / 1000;
  return Math.max(...upstreamArrivals.slice(since, since + 25)) / capacity;
}

/** Seconds from the first probe after the outage until as much is served as can be, over three seconds. */
function untilFull({ regionChanges, seconds, capacity }: RunResult): number {
  const ramped = regionChanges.findIndex(({ to, atMs }) => to === "ramp" && atMs >= OUTAGE_ENDS_MS);
  if (ramped < 0) return Number.POSITIVE_INFINITY;
  const probed = regionChanges.findLast(({ to }, index) => to === "half-open" && index < ramped);
  const probedMs = Math.max(OUTAGE_ENDS_MS, probed?.atMs ?? 0);
  for (let from = seconds.length - 3; from >= OUTAGE_ENDS_MS / 1000; from--) {
    const stretch = seconds.slice(from, from + 3);
    const possible = sum(stretch.map(({ offered }) => Math.min(capacity, sum(offered))));
    if (sum(stretch.map(({ ok }) => sum(ok))) < 0.95 * possible) return from + 3 - probedMs / 1000;
  }
  return 0;
}

/** Moves between letting calls pass and refusing them; probes change nothing. */
function turns(changes: readonly { readonly to: string }[]): number {
  const open = changes
    .map(({ to }) => to)
    .filter((to) => to !== "half-open")
    .map((to) => to === "open");
  return open.filter((is, index) => index === 0 || is !== open[index - 1]).length;
}

/** An oracle serves what comes while it is up. It turns twice in ten seconds. */
const UP_SHARE = 0.5;

function comesAndGoes(id: string, who: string, policy: PolicyFactory): Entry {
  return {
    id,
    what: `5 s up, 5 s down; ${who}, 50/s at 100/s`,
    measure: ({ seeds, isShort }) => {
      const durationMs = isShort ? 120_000 : 600_000;
      return measureFlapping(seeds.map((seed) => flapping({ policy, seed, durationMs })));
    },
  };
}

function measureFlapping(results: readonly RunResult[]): Measure[] {
  const served = results.map(({ classes: [{ ok, offered }] }) => ok / offered / UP_SHARE);
  const inAll = results.map(
    ({ classes }) => sum(classes.map(({ ok }) => ok)) / sum(classes.map(({ offered }) => offered)) / UP_SHARE,
  );
  const opened = results.map(({ regionChanges }) => regionChanges.map(({ openForMs }) => openForMs));
  return [
    atMost(
      "turns in 10 s",
      "rate",
      1,
      results.map(({ regionChanges, durationMs }) => (turns(regionChanges) * 10_000) / durationMs),
    ),
    atLeast("P0 served, of what an oracle serves", "share", 0.8, served),
    told("of all classes", "share", inAll),
    told("calls that failed, of all made", "share", results.map(inVain)),
    told(
      "longest open time",
      "seconds",
      opened.map((times) => Math.max(0, ...times) / 1000),
    ),
  ];
}

/** What reached the upstream and was not answered well. */
function inVain({ classes, upstreamArrivals }: RunResult): number {
  return 1 - sum(classes.map(({ ok }) => ok)) / sum(upstreamArrivals);
}
