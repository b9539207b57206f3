// The load of an upstream as its region steers it: one cursor, one concurrency limit, one retry budget for
// all isolates. The hub adds up what they report and answers with a verdict; between two verdicts the isolate
// only enforces. A verdict holds until another one was asked for and did not come for VERDICT_MS; after that
// the isolate's own loops go on from where the region's were.

import type { ShedLoop } from "./cursor.ts";
import { VERDICT_MS } from "./regional-breaker.ts";

/** What the hub has decided, for one isolate. */
export interface LoadVerdict {
  /** Levels below pass; of the cursor's own level this fraction. */
  readonly cursor: number;
  readonly fraction: number;
  /** The share of arrivals that is refused. */
  readonly cut: number;
  /** Permits of this isolate. */
  readonly limit: number;
  /** Permits of all isolates; absent: not told. */
  readonly regionLimit?: number;
  /** Its part of those that are configured; where the limit is all that is configured, its permits. */
  readonly ceiling: number;
  /** Whether the upstream is known to refuse what is beyond the limit. */
  readonly isFull?: boolean;
  /** Whether other isolates call it, too. */
  readonly isShared?: boolean;
  /** Whether it comes back to where it was full before: nothing passes the limit at once. */
  readonly isReturning?: boolean;
  /** Whether the region has permits that nobody uses: who has requests in line may ask for them at once. */
  readonly hasSpare: boolean;
  /** Retries that it may schedule until the next verdict. */
  readonly retries: number;
}

export interface RegionalLoad {
  /** Until when the verdict holds; infinite: nothing was reported since it came. */
  until: number;
  limit: number;
  regionLimit: number;
  ceiling: number;
  isFull: boolean;
  isShared: boolean;
  isReturning: boolean;
  hasSpare: boolean;
  retries: number;
}

export function createRegionalLoad(): RegionalLoad {
  return {
    until: Number.NEGATIVE_INFINITY,
    limit: 0,
    regionLimit: 0,
    ceiling: 0,
    isFull: false,
    isShared: false,
    isReturning: false,
    hasSpare: false,
    retries: 0,
  };
}

/** Whether the region steers: there is a verdict, and no sign that the hub is gone. */
export function isLoadRegional(load: RegionalLoad, now: number): boolean {
  return now < load.until;
}

/** Takes a verdict in. The cursor moves at once. `unreported`: retries that the hub did not know of. */
export function takeLoadVerdict(
  load: RegionalLoad,
  shed: ShedLoop,
  verdict: LoadVerdict,
  unreported: number,
): void {
  load.until = Number.POSITIVE_INFINITY;
  load.limit = verdict.limit;
  load.regionLimit = verdict.regionLimit ?? verdict.limit;
  load.ceiling = verdict.ceiling;
  load.isFull = verdict.isFull === true;
  load.isShared = verdict.isShared === true;
  load.isReturning = verdict.isReturning === true;
  load.hasSpare = verdict.hasSpare;
  load.retries = Math.max(0, verdict.retries - unreported);
  shed.cursor = verdict.cursor;
  shed.fraction = verdict.fraction;
  shed.cut = verdict.cut;
}

/** A report is on its way: from now on a verdict is due. */
export function expectLoadVerdict(load: RegionalLoad, now: number): void {
  if (load.until === Number.POSITIVE_INFINITY) load.until = now + VERDICT_MS;
}

/** Takes one of the retries that the region has granted. */
export function takeRegionalRetry(load: RegionalLoad): boolean {
  if (load.retries < 1) return false;
  load.retries--;
  return true;
}
