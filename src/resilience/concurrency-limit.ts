// How many requests an upstream can take at a time. The algorithm is apart from admission (Netflix
// concurrency-limits): it sees samples of finished tries and says a number; permits enforce it.

/** What became of a try: served; refused, a 503; throttled, a 429; or no answer in time. */
export const SampleFate = { served: 0, refused: 1, throttled: 2, timedOut: 3 } as const;
export type SampleFate = (typeof SampleFate)[keyof typeof SampleFate];

export interface ConcurrencyLimit {
  /** Whole requests, at least 1. */
  readonly current: number;
  /** So many more may the most important class have in flight, while the limit is lowered gently. */
  readonly criticalExtra: number;
  /**
   * Takes one finished try in; tries that say nothing about capacity are not reported. `latencyMs` runs
   * to the response headers; `inflight` is what was in flight when the try began, itself included, and
   * `inflightNow` what is at its end. True when a refusal says that there were too many at a time: then
   * it says nothing about the upstream's health.
   */
  observe(
    latencyMs: number,
    inflight: number,
    inflightNow: number,
    startedAt: number,
    fate: SampleFate,
    now: number,
  ): boolean;
  /** Starts over at the maximum: the upstream was away, what was learned before no longer holds. */
  forget(): void;
}

/** A limit that stays where it is. */
export function createFixedLimit(max: number): ConcurrencyLimit {
  return { current: max, criticalExtra: 0, observe: () => false, forget: () => {} };
}
