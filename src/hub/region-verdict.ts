// A region's breaker as isolates are told of it.

import type { BreakerVerdict } from "../resilience/regional-breaker.ts";
import { rampedMsAt } from "../resilience/breaker-ramp.ts";
import type { RegionBreaker } from "./region-breaker.ts";

/**
 * What an isolate is told, with a lease from `leaseProbe` or 0. `leaseMs`: within how long the probe must
 * start; a little less than the lease lasts, for the news of it to arrive. Says what the last move left: to
 * be asked after `advanceRegionBreaker`.
 */
export function verdictOf(
  { breaker }: RegionBreaker,
  lease: number,
  leaseMs: number,
  now: number,
): BreakerVerdict {
  const { state } = breaker;
  return {
    generation: state.generation,
    phase: state.phase,
    openForMs: state.phase === "open" ? Math.max(0, state.openUntil - now) : 0,
    rampedMs: state.phase === "ramp" ? rampedMsAt(state, now) : 0,
    ...(state.phase === "ramp" && state.pace !== 1 && { pace: state.pace }),
    lease,
    leaseMs,
  };
}
