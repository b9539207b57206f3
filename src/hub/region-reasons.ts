// Why a region's breaker opens: what its isolates saw, added up and weighed, held against the numbers that
// are configured and against what chance brings.

import type { Breaker } from "../resilience/breaker.ts";
import { DOWN_RATE } from "../resilience/breaker.ts";
import { RAMP_FAILURE_RATE, RAMP_MINIMUM_CALLS, isRampGood } from "../resilience/breaker-ramp.ts";
import {
  advanceWindow,
  callCount,
  localFailureCount,
  remoteFailureCount,
} from "../resilience/call-window.ts";
import type { UsualFailures } from "../resilience/usual-failures.ts";
import { isShareBeyondChance } from "../resilience/usual-failures.ts";
import type { Evidence, WeighedSums } from "./region-evidence.ts";
import { hasConsecutive, weighedSums } from "./region-evidence.ts";

/** Up to so many isolates every report with failures is weighed; beyond, so many isolates per ms are. */
const EVERY_REPORT_ISOLATES = 256;
const WEIGHED_PER_MS = 20;

/** Calls that suffice where other regions see the upstream fail. */
export const SUSPECT_MINIMUM_CALLS = 5;

/** What a region's breaker is judged by. */
export interface Judged {
  readonly breaker: Breaker;
  readonly evidence: Evidence;
  /** When isolates are weighed again. */
  weighAt: number;
}

export type Reason = "consecutive" | "failure-rate" | "slow-rate";

export function reasonToOpen(region: Judged, isSuspect: boolean, now: number): Reason | null {
  const { options, usual } = region.breaker;
  if (hasConsecutive(region.evidence, usual, options.consecutive, now)) return "consecutive";
  if (!mayWeigh(region, now)) return null;
  const recent = weighedSums(region.evidence, "recent", now);
  if (recent.calls >= options.minimumCalls) {
    const isDown = recent.failureRate >= Math.max(DOWN_RATE, options.failureRate);
    if (isDown && isFailing(usual, recent)) return "failure-rate";
    const isSlow = recent.slowRate >= Math.max(DOWN_RATE, options.slowCallRate);
    if (options.slowCallMs !== null && isSlow) return "slow-rate";
  }
  const sums = weighedSums(region.evidence, "window", now);
  const minimum =
    isSuspect && !isHealthyHere(region, now)
      ? Math.min(SUSPECT_MINIMUM_CALLS, options.minimumCalls)
      : options.minimumCalls;
  if (sums.calls < minimum) return null;
  if (sums.failureRate >= options.failureRate && isFailing(usual, sums)) return "failure-rate";
  if (options.slowCallMs !== null && sums.slowRate >= options.slowCallRate) return "slow-rate";
  return null;
}

/** Whether more fails than chance brings. */
function isFailing(usual: UsualFailures, { calls, failureRate }: WeighedSums): boolean {
  return isShareBeyondChance(usual, calls, failureRate * calls);
}

export function isRampFailing({ breaker, evidence }: Judged, now: number): boolean {
  const { options, usual } = breaker;
  if (hasConsecutive(evidence, usual, options.consecutive, now)) return true;
  const sums = weighedSums(evidence, "window", now);
  if (sums.calls < RAMP_MINIMUM_CALLS) return false;
  if (sums.failureRate >= RAMP_FAILURE_RATE) return true;
  return options.slowCallMs !== null && sums.slowRate >= options.slowCallRate;
}

/** Whether what a ramp let pass until now has gone well, and not slowly either. */
export function isRampWell(region: Judged, now: number): boolean {
  if (!mayWeigh(region, now)) return false;
  const { options } = region.breaker;
  const sums = weighedSums(region.evidence, "window", now);
  const isSlow = options.slowCallMs !== null && sums.slowRate >= options.slowCallRate / 2;
  return isRampGood(sums.calls, sums.failures) && !isSlow;
}

/** Weighing costs by the isolates that there are: with many, not every report is worth it. */
function mayWeigh(region: Judged, now: number): boolean {
  if (now < region.weighAt) return false;
  region.weighAt = now + Math.max(0, region.evidence.isolates.size - EVERY_REPORT_ISOLATES) / WEIGHED_PER_MS;
  return true;
}

/** Whether this region's own evidence is good: enough calls, few failures. */
export function isHealthyHere({ breaker }: Judged, now: number): boolean {
  advanceWindow(breaker.window, now);
  const calls = callCount(breaker.window);
  const failures = remoteFailureCount(breaker.window) + localFailureCount(breaker.window);
  return calls >= breaker.options.minimumCalls && failures < RAMP_FAILURE_RATE * calls;
}
