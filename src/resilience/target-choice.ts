// Which target gets the next try: weighted power of two choices (Mitzenmacher 2001). Two candidates are
// drawn by weight, the one with less in flight per weight wins. A try that follows a failed one avoids
// the target that failed when there is another.

import type { Permits } from "./permits.ts";
import { MAX_PERMITS, createPermits } from "./permits.ts";
import type { RandomSource } from "./random.ts";
import { nextRandom } from "./random.ts";

export interface TargetLoads {
  readonly weights: Float64Array;
  readonly totalWeight: number;
  /** What each target has in flight: permits without a bound, so that a lost request ends there too. */
  readonly inflight: readonly Permits[];
}

export const NO_TARGET = -1;

export function createTargetLoads(weights: readonly number[]): TargetLoads {
  let totalWeight = 0;
  for (const weight of weights) totalWeight += weight;
  const inflight = weights.map(() => createPermits(MAX_PERMITS));
  return { weights: Float64Array.from(weights), totalWeight, inflight };
}

/** The index of the chosen target; `avoid` may be NO_TARGET. */
export function chooseTarget(loads: TargetLoads, random: RandomSource, avoid: number): number {
  if (loads.weights.length === 1) return 0;
  const one = draw(loads, nextRandom(random), avoid);
  const other = draw(loads, nextRandom(random), avoid);
  return loadOf(loads, other) < loadOf(loads, one) ? other : one;
}

function draw(loads: TargetLoads, uniform: number, avoid: number): number {
  const avoided = avoid === NO_TARGET ? 0 : loads.weights[avoid];
  let remaining = uniform * (loads.totalWeight - avoided);
  let last = NO_TARGET;
  for (let index = 0; index < loads.weights.length; index++) {
    if (index === avoid) continue;
    last = index;
    remaining -= loads.weights[index];
    if (remaining < 0) return index;
  }
  return last;
}

function loadOf(loads: TargetLoads, index: number): number {
  return (loads.inflight[index].inUse + 1) / loads.weights[index];
}
