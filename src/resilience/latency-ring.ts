// The last latencies of a window, of which quantiles are taken: at most KEPT_LATENCIES, the newest.

const KEPT_LATENCIES = 64;

export function createLatencyRing(): Float64Array {
  return new Float64Array(KEPT_LATENCIES);
}

/** Keeps the latency of a window's call number `index`. */
export function keepLatency(ring: Float64Array, index: number, latencyMs: number): void {
  ring[index % KEPT_LATENCIES] = latencyMs;
}

/** A quantile of the latencies of a window that has had so many calls, at least one. */
export function quantileOf(ring: Float64Array, calls: number, quantile: number): number {
  const kept = ring.subarray(0, Math.min(calls, KEPT_LATENCIES)).toSorted();
  return kept[Math.min(kept.length - 1, Math.floor(kept.length * quantile))];
}
