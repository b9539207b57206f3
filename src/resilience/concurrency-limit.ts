// How many requests an upstream can take at a time. The algorithm is apart from admission (Netflix
// concurrency-limits): it sees samples of finished tries and says a number; permits enforce it.

/** What became of a try: served; refused, a 503; throttled, a 429; or no answer in time. */
export const SampleFate = { served: 0, refused: 1, throttled: 2, timedOut: 3 } as const;
export type SampleFate = (typeof SampleFate)[keyof typeof SampleFate];

/** What an unknown upstream gets at a time from a region, if it is configured for as many. */
export const START_LIMIT = 256;
/** What it gets from one isolate that no hub has told anything: there may be others. */
export const ISOLATE_START_LIMIT = 64;

export interface ConcurrencyLimit {
  /** Whole requests, at least 1. */
  readonly current: number;
  /** More than this is known to be refused, or not allowed. */
  readonly ceiling: number;
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
  /**
   * The region's hub has given this isolate so many permits: more it never says. null: the hub is gone;
   * `most` is how far an adaptive limit may grow by itself then.
   */
  follow(limit: number | null, most?: number): void;
  /** The same where the region knows that there are no more: what was found out here no longer counts. */
  obey(limit: number): void;
  /**
   * There are others, and nobody adds up: no more than `most` at first, then step by step.
   */
  beCareful(most: number, now: number): void;
  /** Starts over at the maximum: the upstream was away, what was learned before no longer holds. */
  forget(): void;
}

/** A limit that stays where it is, or at the isolate's part of it. */
export function createFixedLimit(max: number): ConcurrencyLimit {
  const limit = {
    current: max,
    ceiling: max,
    observe: () => false,
    follow: (given: number | null) => {
      limit.current = given ?? max;
    },
    obey: (given: number) => {
      limit.current = given;
    },
    beCareful: () => {},
    forget: () => {},
  };
  return limit;
}
