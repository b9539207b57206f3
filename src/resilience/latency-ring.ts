// The last latencies of a window, of which quantiles are taken: at most KEPT_LATENCIES, the newest.

const KEPT_LATENCIES = 64;
/** Where latencies are put in order; nothing is left in it from one call to the next. */
const sorted = new Float64Array(KEPT_LATENCIES);

export function createLatencyRing(): Float64Array {
  return new Float64Array(KEPT_LATENCIES);
}

/** Keeps the latency of a window's call number `index`. */
export function keepLatency(ring: Float64Array, index: number, latencyMs: number): void {
  ring[index % KEPT_LATENCIES] = latencyMs;
}

/** A quantile of the latencies of a window that has had so many calls, at least one. Allocates nothing. */
export function quantileOf(ring: Float64Array, calls: number, quantile: number): number {
  const kept = Math.min(calls, KEPT_LATENCIES);
  for (let index = 0; index < kept; index++) insert(sorted, index, ring[index]);
  return sorted[Math.min(kept - 1, Math.floor(kept * quantile))];
}

function insert(values: Float64Array, count: number, value: number): void {
  let at = count;
  for (; at > 0 && values[at - 1] > value; at--) values[at] = values[at - 1];
  values[at] = value;
}
