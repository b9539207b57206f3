// A duration histogram as Prometheus counts it, with the bucket bounds that OpenTelemetry's HTTP
// conventions advise.

export const BUCKET_BOUNDS_SECONDS = [
  0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
] as const;

export interface DurationHistogram {
  /** One per bound, then one for everything above. Not cumulative. */
  readonly counts: Float64Array;
  sumSeconds: number;
}

export function createDurationHistogram(): DurationHistogram {
  return { counts: new Float64Array(BUCKET_BOUNDS_SECONDS.length + 1), sumSeconds: 0 };
}

/** A clock that was set back in between makes a duration of 0: a sum never falls. */
export function recordDuration(histogram: DurationHistogram, ms: number): void {
  const seconds = Math.max(0, ms) / 1000;
  let bucket = 0;
  while (bucket < BUCKET_BOUNDS_SECONDS.length && seconds > BUCKET_BOUNDS_SECONDS[bucket]) bucket++;
  histogram.counts[bucket]++;
  histogram.sumSeconds += seconds;
}
