// A quantile of the last few samples of a ring.

/** Of the first `count` of `kept`, of all when it has been filled more than once; `quantile` from 0 to 1. */
export function quantileOf(kept: Float64Array, count: number, quantile: number): number {
  const sorted = kept.subarray(0, Math.min(count, kept.length)).toSorted();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * quantile))];
}
