// Which target gets the next try: weighted power of two choices (Mitzenmacher 2001). Two candidates are
// drawn by weight, the one with less in flight per weight wins. A try that follows a failed one avoids
// the target that failed when there is another. A target that is drained weighs nothing and gets none;
// neither does one that has been ejected, unless every target that is not drained has been.

import type { Permits } from "./permits.ts";
import { MAX_PERMITS, createPermits } from "./permits.ts";
import type { RandomSource } from "./random.ts";
import { nextRandom } from "./random.ts";

export interface TargetLoads {
  readonly configured: readonly number[];
  /** 1: an operator lets nothing through to it. */
  readonly drained: Uint8Array;
  /** How much of its weight its own results leave it: 0 while ejected, less than 1 while it comes back. */
  readonly shares: Float64Array;
  /** What the choice goes by; `placeWeights` makes it of the three above. */
  readonly weights: Float64Array;
  totalWeight: number;
  /** What each target has in flight: permits without a bound, so that a lost request ends there too. */
  readonly inflight: readonly Permits[];
}

export const NO_TARGET = -1;

export function createTargetLoads(weights: readonly number[]): TargetLoads {
  const loads: TargetLoads = {
    configured: weights,
    drained: new Uint8Array(weights.length),
    shares: new Float64Array(weights.length).fill(1),
    weights: new Float64Array(weights.length),
    totalWeight: 0,
    inflight: weights.map(() => createPermits(MAX_PERMITS)),
  };
  placeWeights(loads);
  return loads;
}

/** Drains the targets that `isDrained` names, and no others. */
export function drainTargets(loads: TargetLoads, isDrained: (target: number) => boolean): void {
  for (let index = 0; index < loads.drained.length; index++) loads.drained[index] = isDrained(index) ? 1 : 0;
  placeWeights(loads);
}

/**
 * Puts drains and shares in force. When a drain leaves only ejected targets, they get traffic in spite of
 * that: a target that may be bad is better than none.
 */
export function placeWeights(loads: TargetLoads): void {
  sumWeights(loads, false);
  if (loads.totalWeight <= 0) sumWeights(loads, true);
}

function sumWeights(loads: TargetLoads, inSpiteOfShares: boolean): void {
  loads.totalWeight = 0;
  for (let index = 0; index < loads.weights.length; index++) {
    const share = inSpiteOfShares ? 1 : loads.shares[index];
    loads.weights[index] = loads.drained[index] === 1 ? 0 : loads.configured[index] * share;
    loads.totalWeight += loads.weights[index];
  }
}

/** The index of the chosen target, or NO_TARGET when all are drained; `avoid` may be NO_TARGET. */
export function chooseTarget(loads: TargetLoads, random: RandomSource, avoid: number): number {
  if (loads.totalWeight <= 0) return NO_TARGET;
  if (loads.weights.length === 1) return 0;
  const isOnly = avoid >= 0 && loads.weights[avoid] >= loads.totalWeight;
  const avoided = isOnly ? NO_TARGET : avoid;
  const one = draw(loads, nextRandom(random), avoided);
  const other = draw(loads, nextRandom(random), avoided);
  return loadOf(loads, other) < loadOf(loads, one) ? other : one;
}

function draw({ weights, totalWeight }: TargetLoads, uniform: number, avoid: number): number {
  let remaining = uniform * (avoid < 0 ? totalWeight : totalWeight - weights[avoid]);
  // There is another one than `avoid`, or that would not be avoided.
  let drawn = avoid;
  for (let index = 0; index < weights.length; index++) {
    const weight = weights[index];
    if (index === avoid || weight === 0) continue;
    drawn = index;
    remaining -= weight;
    if (remaining < 0) break;
  }
  return drawn;
}

function loadOf(loads: TargetLoads, index: number): number {
  return (loads.inflight[index].inUse + 1) / loads.weights[index];
}
