// When things are well again: from which second of a run on no later second is worse than it should be.

import type { RunResult, SecondTally } from "../harness/run.ts";

/** Seconds from `sinceMs` on until `isWell` holds for every second that follows; infinity: never. */
export function secondsUntil(
  { seconds }: RunResult,
  sinceMs: number,
  isWell: (second: SecondTally) => boolean,
): number {
  const since = sinceMs / 1000;
  for (let second = seconds.length - 1; second >= since; second--) {
    if (!isWell(seconds[second])) {
      return second === seconds.length - 1 ? Number.POSITIVE_INFINITY : second + 1 - since;
    }
  }
  return 0;
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
