// Latencies of an upstream as a log histogram: 8 buckets per doubling, so a quantile is within 9 % of
// the truth. Counts are halved as time passes, so the last seconds weigh most. Recording allocates
// nothing; histograms of several isolates can be added up bucket by bucket.

export const LATENCY_BUCKETS = 192;
export const BUCKETS_PER_DOUBLING = 8;
const SMALLEST_MS = 0.125;
const HALF_LIFE_MS = 10_000;

export interface LatencyHistogram {
  readonly counts: Float64Array;
  total: number;
  halvedAt: number;
}

export function createLatencyHistogram(): LatencyHistogram {
  return { counts: new Float64Array(LATENCY_BUCKETS), total: 0, halvedAt: Number.NEGATIVE_INFINITY };
}

export function recordLatency(histogram: LatencyHistogram, latencyMs: number): void {
  histogram.counts[bucketOf(latencyMs)]++;
  histogram.total++;
}

/** Halves the counts once per half-life that has passed; after a long pause nothing is left. */
export function ageLatencies(histogram: LatencyHistogram, now: number): void {
  if (histogram.halvedAt === Number.NEGATIVE_INFINITY) histogram.halvedAt = now;
  const halvings = Math.floor((now - histogram.halvedAt) / HALF_LIFE_MS);
  if (halvings < 1) return;
  histogram.halvedAt += halvings * HALF_LIFE_MS;
  const factor = 0.5 ** halvings;
  for (let bucket = 0; bucket < LATENCY_BUCKETS; bucket++) histogram.counts[bucket] *= factor;
  histogram.total *= factor;
}

/** The latency in ms below which `quantile` of the calls are, or 0 when nothing is known. */
export function latencyAt(histogram: LatencyHistogram, quantile: number): number {
  if (histogram.total <= 0) return 0;
  let remaining = histogram.total * quantile;
  for (let bucket = 0; bucket < LATENCY_BUCKETS; bucket++) {
    remaining -= histogram.counts[bucket];
    if (remaining <= 0 && histogram.counts[bucket] > 0) return middleOf(bucket);
  }
  return middleOf(LATENCY_BUCKETS - 1);
}

/** Clocks count whole ms, so most latencies need no logarithm. */
const BUCKET_OF_MS = Uint8Array.from({ length: 2048 }, (_, ms) => bucketByLogarithm(ms));

/** Index of the bucket that a latency falls into. */
export function bucketOf(latencyMs: number): number {
  const wholeMs = latencyMs | 0;
  return wholeMs === latencyMs && wholeMs >= 0 && wholeMs < BUCKET_OF_MS.length
    ? BUCKET_OF_MS[wholeMs]
    : bucketByLogarithm(latencyMs);
}

function bucketByLogarithm(latencyMs: number): number {
  if (latencyMs <= SMALLEST_MS) return 0;
  const bucket = Math.floor(Math.log2(latencyMs / SMALLEST_MS) * BUCKETS_PER_DOUBLING);
  return bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1;
}

/** The latency in ms that a bucket stands for. */
export function middleOf(bucket: number): number {
  return SMALLEST_MS * 2 ** ((bucket + 0.5) / BUCKETS_PER_DOUBLING);
}
