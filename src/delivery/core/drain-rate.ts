// How many jobs end per second: a mean that decays with a time constant of 10 s.
//
//   r(t) = r(t0) * e^(-(t - t0)/T)            while nothing ends
//   r    = r + n/T                            when n jobs end
//
// A steady stream of k per second is in equilibrium at r = k. While nothing ends r only falls, so a wait that
// is divided by it only grows.

/** Time constant of the mean. */
export const DRAIN_TIME_CONSTANT_MS = 10_000;

const MS_PER_SECOND = 1_000;

export interface DrainRate {
  /** Jobs per second, as it was at `at`. */
  readonly perSecond: number;
  readonly at: number;
}

/** Jobs per second at `now`. A clock that went back does not raise it. */
export function drainPerSecond(rate: DrainRate, now: number): number {
  return rate.perSecond * Math.exp(-Math.max(0, now - rate.at) / DRAIN_TIME_CONSTANT_MS);
}

/** The rate after `count` jobs have ended at `now`. */
export function addDrained(rate: DrainRate, count: number, now: number): DrainRate {
  const perSecond = drainPerSecond(rate, now) + (count * MS_PER_SECOND) / DRAIN_TIME_CONSTANT_MS;
  return { perSecond, at: Math.max(now, rate.at) };
}
