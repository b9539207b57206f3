// How often an upstream's calls usually fail, and whether what a breaker sees is more than chance brings at
// that share: an upstream that fails one call in ten has five failures in a row twice an hour at 50/s.
//
//   x = failures / n > p:  n * (x * ln(x / p) + (1 - x) * ln((1 - x) / (1 - p))) >= 23
//
// which chance brings less than once in 10^10 calls (Chernoff's bound on the tail of a binomial: P <=
// e^-23). Five in a row suffice while at most one call in a hundred fails by itself; ten in a row where one
// in ten. Of an upstream that has had less than a hundred calls nothing is usual: there a row and a share
// open whatever came before, which at one failure in ten chance brings to one upstream in a thousand.
//
// p is of the time before the breaker's window, halved every two minutes: what is judged must not count as
// usual. It never passes a fifth: beyond that an upstream is not usual but ill.

const CERTAIN = 23;
const MOST_USUAL = 0.2;
const HALF_LIFE_MS = 120_000;
/**
 * With fewer calls known from before, a row of failures is held against those of now as well; with fewer
 * known at all, nothing is usual yet.
 */
export const FEW_CALLS = 100;

export interface UsualFailures {
  calls: number;
  failures: number;
  /** Of the running period, and of the one before it: each as long as the breaker's window. */
  callsNow: number;
  failuresNow: number;
  callsBefore: number;
  failuresBefore: number;
  periodEndsAt: number;
  halvesAt: number;
}

export function createUsualFailures(): UsualFailures {
  return {
    calls: 0,
    failures: 0,
    callsNow: 0,
    failuresNow: 0,
    callsBefore: 0,
    failuresBefore: 0,
    periodEndsAt: Number.NEGATIVE_INFINITY,
    halvesAt: Number.NEGATIVE_INFINITY,
  };
}

/** Counts calls of a closed breaker. Allocates nothing. */
export function noteUsual(
  usual: UsualFailures,
  calls: number,
  failures: number,
  windowMs: number,
  now: number,
): void {
  if (now >= usual.periodEndsAt) endPeriod(usual, windowMs, now);
  usual.callsNow += calls;
  usual.failuresNow += failures;
}

/** What has been seen lately opened the breaker: that was nothing usual. */
export function forgetUnusual(usual: UsualFailures): void {
  usual.callsNow = 0;
  usual.failuresNow = 0;
  usual.callsBefore = 0;
  usual.failuresBefore = 0;
}

/** Whether so many failures in a row are more than chance brings. The row has been counted. */
export function isRowBeyondChance(usual: UsualFailures, row: number): boolean {
  if (usual.calls >= FEW_CALLS) return isBeyond(usual.failures, usual.calls, row, row);
  const calls = usual.calls + usual.callsBefore + usual.callsNow - row;
  const failures = usual.failures + usual.failuresBefore + usual.failuresNow - row;
  return calls < FEW_CALLS || isBeyond(failures, calls, row, row);
}

/** Whether so many failures of so many calls are more than chance brings. */
export function isShareBeyondChance({ calls, failures }: UsualFailures, of: number, failed: number): boolean {
  return calls < FEW_CALLS || isBeyond(failures, calls, of, failed);
}

function isBeyond(usualFailures: number, usualCalls: number, calls: number, failures: number): boolean {
  if (usualFailures <= 0 || usualCalls <= 0) return true;
  const usual = Math.min(MOST_USUAL, usualFailures / usualCalls);
  const share = failures / calls;
  if (share <= usual) return false;
  const good = 1 - share;
  const rest = good > 0 ? good * Math.log(good / (1 - usual)) : 0;
  return calls * (share * Math.log(share / usual) + rest) >= CERTAIN;
}

function endPeriod(usual: UsualFailures, windowMs: number, now: number): void {
  if (now >= usual.halvesAt) {
    usual.calls /= 2;
    usual.failures /= 2;
    usual.halvesAt = now + HALF_LIFE_MS;
  }
  usual.calls += usual.callsBefore;
  usual.failures += usual.failuresBefore;
  usual.callsBefore = usual.callsNow;
  usual.failuresBefore = usual.failuresNow;
  usual.callsNow = 0;
  usual.failuresNow = 0;
  usual.periodEndsAt = now + windowMs;
}
