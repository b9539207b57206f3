// Offers load to a limit and counts what passes: the error of a limit is what it admits in one window beyond
// its units, or what it refuses although there was room.

import type { LimitTerms } from "../../../src/hub/protocol.ts";
import type { LimitPolicy } from "./limit-policies.ts";
import { tidegate } from "./limit-policies.ts";

const DEFAULT_WINDOW_MS = 60_000;
const BURST_MS = 2_000;
const REGIONS = ["weur", "enam", "apac", "oc", "sam", "wnam", "eeur", "afr", "me"];

export interface LimitLoad {
  readonly policy?: LimitPolicy;
  readonly seed: number;
  readonly consistency?: LimitTerms["consistency"];
  readonly units: number;
  /** Requests in a window over the limit's units. */
  readonly rho: number;
  readonly shape: "steady" | "burst";
  readonly regions?: number;
  /** In each region. */
  readonly isolates?: number;
  /** Parts of the load that regions get; equal where absent. */
  readonly weights?: readonly number[];
  readonly windows?: number;
  readonly windowMs?: number;
}

export interface LimitRun {
  readonly seed: number;
  readonly offered: readonly number[];
  readonly admitted: readonly number[];
  /** Part of all requests that was answered after a wait. */
  readonly waited: number;
  /** Calls per second and isolate, while there is load. */
  readonly callRate: number;
}

/** Runs one load. The first window begins with nobody knowing the key, each other one follows at once. */
export function runLimit(load: LimitLoad): LimitRun {
  const { seed, units, rho, shape, consistency = "global", isolates = 8 } = load;
  const { windowMs = DEFAULT_WINDOW_MS } = load;
  const regions = REGIONS.slice(0, load.regions ?? 4);
  const terms: LimitTerms = { limit: "measured", key: "acme", consistency, units, windowMs };
  const { world, request, calls } = (load.policy ?? tidegate()).start({ seed, regions, isolates, terms });
  const { queue, chance } = world;
  if (consistency === "capped") queue.runFor(windowMs - (queue.now % windowMs));
  const windows = load.windows ?? 2;
  const offered = Array.from({ length: windows }, () => 0);
  const admitted = Array.from({ length: windows }, () => 0);
  const startMs = queue.now;
  let waits = 0;
  let called = 0;
  const lengthMs = shape === "steady" ? windowMs : Math.min(BURST_MS, windowMs / 5);
  const perMs = (rho * units) / lengthMs;
  for (let window = 0; window < windows; window++) {
    const endMs = queue.now + lengthMs;
    const inWindow = window;
    const before = calls();
    const arrive = (): void => {
      if (queue.now >= endMs) return;
      queue.after(chance.gap(perMs), arrive);
      const region = pickRegion(chance.next(), regions.length, load.weights);
      offered[inWindow]++;
      request(region, chance.whole(0, isolates - 1), (isAdmitted, waited) => {
        if (isAdmitted) admitted[Math.min(windows - 1, Math.floor((queue.now - startMs) / windowMs))]++;
        if (waited) waits++;
      });
    };
    queue.after(chance.gap(perMs), arrive);
    queue.runFor(lengthMs);
    called += calls() - before;
    queue.runFor(windowMs - lengthMs);
  }
  const total = offered.reduce((sum, count) => sum + count, 0);
  const seconds = (windows * lengthMs) / 1_000;
  return {
    seed,
    offered,
    admitted,
    waited: waits / total,
    callRate: called / seconds / (regions.length * isolates),
  };
}

function pickRegion(at: number, count: number, weights: readonly number[] | undefined): number {
  if (weights === undefined) return Math.floor(at * count);
  let rest = at * weights.reduce((sum, weight) => sum + weight, 0);
  for (let region = 0; region < weights.length; region++) {
    rest -= weights[region];
    if (rest < 0) return region;
  }
  return weights.length - 1;
}

export interface LimitSummary {
  /** Admitted beyond the units over the units; below zero: fewer. First window, and the one after it. */
  readonly cold: number;
  readonly coldWorst: number;
  readonly warm: number;
  readonly warmWorst: number;
  readonly waited: number;
  readonly callRate: number;
  /** Part of what was offered and would have fitted that was refused. */
  readonly refusedInVain: number;
}

/** Means over the seeds, and the worst of them. */
export function summarize(load: Omit<LimitLoad, "seed">, seeds: readonly number[]): LimitSummary {
  const runs = seeds.map((seed) => runLimit({ ...load, seed }));
  const { units } = load;
  const cold = runs.map(({ admitted }) => admitted[0] / units - 1);
  const warm = runs.map(({ admitted }) => (admitted[1] ?? admitted[0]) / units - 1);
  const missed = runs.map(({ admitted, offered }) =>
    mean(offered.map((count, window) => Math.max(0, 1 - admitted[window] / Math.min(count, units)))),
  );
  return {
    cold: mean(cold),
    coldWorst: Math.max(...cold),
    warm: mean(warm),
    warmWorst: Math.max(...warm),
    waited: mean(runs.map((run) => run.waited)),
    callRate: mean(runs.map((run) => run.callRate)),
    refusedInVain: mean(missed),
  };
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
