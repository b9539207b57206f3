// The circuit breaker: a tagged union of four phases, moved by `(breaker, event, now, random)` alone.
//
//   closed    -> open       `consecutive` failures, or the failure or slow rate over enough calls; or 0.8 of
//                           enough calls of late. Failures count that are more than this upstream's usual
//                           share of them brings by chance (usual-failures.ts)
//   open      -> half-open  lazily, at the first call at or after `openUntil`
//   half-open -> ramp       `probes` good ones under lease; -> open at the first bad one
//   ramp      -> closed     after `rampUpMs`; -> open when a quarter of at least ten calls fail
//
//   open time = clamp(d / 2 + U(0, d / 2)),  d = min(maxOpenForMs, openForMs * 2^(strikes - 1))
//
// Strikes grow with each opening and fall by one per healthy 10 s, not at the first success (the
// ejection multiplier of Envoy's outlier detection), so flapping is punished. Every phase has its own
// generation and a call carries the one that admitted it: late results of an earlier one are dropped.
// A lease that is never returned expires. Admitting and recording in the closed phase allocate nothing.

import { closeBreaker, failureCount, halfOpenBreaker, openBreaker } from "./breaker-moves.ts";
import {
  RAMP_FAILURE_RATE,
  RAMP_MINIMUM_CALLS,
  isHeld,
  isRampGood,
  isRampOver,
  openOrHold,
  paceRamp,
  rampBreaker,
} from "./breaker-ramp.ts";
import type {
  Breaker,
  BreakerOptions,
  BreakerPhase,
  BreakerState,
  BreakerTransition,
} from "./breaker-state.ts";
import {
  advanceWindow,
  callCount,
  createCallWindow,
  recentCalls,
  recentFailures,
  recentSlow,
  recordCall,
  slowCount,
} from "./call-window.ts";
import { endHearsay, isHearsayOver } from "./hearsay.ts";
import { Outcome } from "./outcome.ts";
import {
  EMERGENCY_MS,
  isRegionInCharge,
  noteRegionalCall,
  noteRegionalProbe,
  resumeRegional,
  takeRegionalLease,
} from "./regional-breaker.ts";
import { LEASE_NUMBERS, returnLease, takeLease } from "./probe-leases.ts";
import { createUsualFailures, isRowBeyondChance, isShareBeyondChance, noteUsual } from "./usual-failures.ts";

export type { Breaker, BreakerOptions, BreakerPhase, BreakerState, BreakerTransition };

/** What `admitCall` answers instead of a token when the call must not be made. */
export const NOT_ADMITTED = -1;

/** What counts as of late: evidence of an upstream that went down, or turned slow, all at once. */
export const RECENT_MS = 1_500;
/** Failures, or slow ones, per call of late that open, however good the rest of the window was. */
export const DOWN_RATE = 0.8;

export function createBreaker(options: BreakerOptions): Breaker {
  return {
    options,
    window: createCallWindow(options.windowMs),
    usual: createUsualFailures(),
    state: { phase: "closed", generation: 1, since: Number.POSITIVE_INFINITY, consecutive: 0 },
    strikes: 0,
    downSince: Number.POSITIVE_INFINITY,
    returnedAt: Number.NEGATIVE_INFINITY,
    relapses: 0,
    goodAt: Number.NEGATIVE_INFINITY,
    leaveAloneUntil: 0,
    lastTransition: null,
    regional: null,
  };
}

/**
 * Asks for one call. Gives a token for `recordResult`, or `NOT_ADMITTED`. In half-open the token is a
 * probe lease that ends by itself after `leaseMs`.
 */
export function admitCall(breaker: Breaker, now: number, leaseMs: number): number {
  const { state, regional } = breaker;
  switch (state.phase) {
    case "closed":
      return state.generation * LEASE_NUMBERS;
    case "ramp":
      if (!isRampOver(breaker, now)) return state.generation * LEASE_NUMBERS;
      closeBreaker(breaker, now, "ramp-done");
      return breaker.state.generation * LEASE_NUMBERS;
    case "open":
      if (now < state.openUntil) return NOT_ADMITTED;
      if (regional === null) halfOpenBreaker(breaker, now);
      else if (isHearsayOver(breaker, now)) endHearsay(breaker, regional, now);
      else if (now >= regional.until) halfOpenBreaker(breaker, now);
      else if (!resumeRegional(breaker, regional, now)) return NOT_ADMITTED;
      return admitCall(breaker, now, leaseMs);
    case "half-open":
      if (regional !== null && now < regional.until) {
        const lease = takeRegionalLease(regional, now);
        return lease === 0 ? NOT_ADMITTED : state.generation * LEASE_NUMBERS + lease;
      }
      return admitProbe(state, breaker.options.probes, now, leaseMs);
  }
}

/** Reports the result of an admitted call. Results of an earlier generation change nothing. */
export function recordResult(
  breaker: Breaker,
  token: number,
  outcome: Outcome,
  slow: boolean,
  now: number,
  random: number,
): void {
  const state = breaker.state;
  const lease = token - state.generation * LEASE_NUMBERS;
  if (lease < 0 || lease >= LEASE_NUMBERS) return;
  if (outcome === Outcome.ok) breaker.goodAt = now;
  switch (state.phase) {
    case "closed":
      recordClosed(breaker, state, outcome, slow, now, random);
      return;
    case "ramp":
      recordRamp(breaker, state, outcome, slow, now, random);
      return;
    case "half-open":
      recordProbe(breaker, state, lease, outcome, slow, now, random);
      return;
    case "open":
      return;
  }
}

/** The upstream said when to come back; an opening waits at least that long, within `maxOpenForMs`. */
export function noteRetryAfter(breaker: Breaker, until: number): void {
  if (until > breaker.leaveAloneUntil) breaker.leaveAloneUntil = until;
  const { regional } = breaker;
  if (regional !== null && until > regional.retryAfterAt) regional.retryAfterAt = until;
}

/** The phase as a reader should see it: an open time that is over reads as half-open. */
export function phaseAt(breaker: Breaker, now: number): BreakerPhase {
  const state = breaker.state;
  if (state.phase === "open" && now >= state.openUntil) {
    return isHearsayOver(breaker, now) ? "closed" : "half-open";
  }
  if (isRampOver(breaker, now)) return "closed";
  return state.phase;
}

/** Failures per call in the window, or -1 below `minimumCalls`: too little is known. */
export function failureRate(breaker: Breaker, now: number): number {
  advanceWindow(breaker.window, now);
  const calls = callCount(breaker.window);
  return calls < breaker.options.minimumCalls ? -1 : failureCount(breaker.window) / calls;
}

function recordClosed(
  breaker: Breaker,
  state: Extract<BreakerState, { phase: "closed" }>,
  outcome: Outcome,
  slow: boolean,
  now: number,
  random: number,
): void {
  if (outcome === Outcome.ignored) return;
  const { options, window } = breaker;
  recordCall(window, outcome, slow, now);
  noteUsual(breaker.usual, 1, outcome === Outcome.ok ? 0 : 1, options.windowMs, now);
  if (breaker.regional !== null) noteRegionalCall(breaker, breaker.regional, outcome, slow, now);
  state.consecutive = outcome === Outcome.ok ? 0 : state.consecutive + 1;
  if (state.consecutive === 0 && !slow) return;
  const reason = reasonToOpen(breaker, state.consecutive, now);
  if (reason !== null) openAtOnce(breaker, now, random, reason);
}

/** Whether the rates, of the whole window or of late, or a row of failures are reason to open. */
function reasonToOpen(
  { options, window, usual }: Breaker,
  row: number,
  now: number,
): "consecutive" | "failure-rate" | "slow-rate" | null {
  if (row >= options.consecutive && isRowBeyondChance(usual, row)) return "consecutive";
  const calls = callCount(window);
  if (calls < options.minimumCalls) return null;
  const failures = failureCount(window);
  if (failures >= options.failureRate * calls && isShareBeyondChance(usual, calls, failures)) {
    return "failure-rate";
  }
  const countsSlow = options.slowCallMs !== null;
  if (countsSlow && slowCount(window) >= options.slowCallRate * calls) return "slow-rate";
  const recent = recentCalls(window, RECENT_MS, now);
  if (recent < options.minimumCalls) return null;
  const failed = recentFailures(window, RECENT_MS, now);
  const isDown = failed >= Math.max(DOWN_RATE, options.failureRate) * recent;
  if (isDown && isShareBeyondChance(usual, recent, failed)) return "failure-rate";
  const isSlow = recentSlow(window, RECENT_MS, now) >= Math.max(DOWN_RATE, options.slowCallRate) * recent;
  return countsSlow && isSlow ? "slow-rate" : null;
}

function recordRamp(
  breaker: Breaker,
  state: Extract<BreakerState, { phase: "ramp" }>,
  outcome: Outcome,
  slow: boolean,
  now: number,
  random: number,
): void {
  if (outcome === Outcome.ignored) return;
  const { options } = breaker;
  recordCall(breaker.window, outcome, slow, now);
  if (breaker.regional !== null) noteRegionalCall(breaker, breaker.regional, outcome, slow, now);
  state.calls++;
  if (slow) state.slow++;
  state.consecutive = outcome === Outcome.ok ? 0 : state.consecutive + 1;
  if (outcome !== Outcome.ok) state.failures++;
  const enough = state.calls >= RAMP_MINIMUM_CALLS;
  const failing = enough && state.failures >= RAMP_FAILURE_RATE * state.calls;
  const slowing = enough && options.slowCallMs !== null && state.slow >= options.slowCallRate * state.calls;
  const isRow = state.consecutive >= options.consecutive;
  if (isRegionInCharge(breaker, now)) {
    if (isRow && !isHeld(state)) openAtOnce(breaker, now, random, "ramp-failed");
    return;
  }
  if (isRow || failing || slowing) openOrHold(breaker, now, random, "ramp-failed");
  else if (isRampOver(breaker, now)) closeBreaker(breaker, now, "ramp-done");
  else paceRamp(breaker, state, isRampGood(state.calls, state.failures), now);
}

function recordProbe(
  breaker: Breaker,
  state: Extract<BreakerState, { phase: "half-open" }>,
  lease: number,
  outcome: Outcome,
  slow: boolean,
  now: number,
  random: number,
): void {
  if (breaker.regional !== null && isRegionInCharge(breaker, now)) {
    const good = outcome === Outcome.ignored ? null : outcome === Outcome.ok && !slow;
    noteRegionalProbe(breaker.regional, lease, good);
    return;
  }
  if (!returnLease(state.leases, lease) || outcome === Outcome.ignored) return;
  recordCall(breaker.window, outcome, slow, now);
  if (outcome !== Outcome.ok || slow) {
    openBreaker(breaker, now, random, "probe-failed");
    return;
  }
  state.good++;
  if (state.good < breaker.options.probes) return;
  if (breaker.options.rampUpMs > 0) rampBreaker(breaker, now);
  else closeBreaker(breaker, now, "probes-good");
}

/** Opens on this isolate's own evidence; where the region decides, only until it has. */
function openAtOnce(
  breaker: Breaker,
  now: number,
  random: number,
  reason: BreakerTransition["reason"],
): void {
  const inCharge = isRegionInCharge(breaker, now);
  if (inCharge) openBreaker(breaker, now, random, reason);
  else openOrHold(breaker, now, random, reason);
  if (breaker.regional === null) return;
  breaker.regional.openedAt = now;
  if (breaker.state.phase === "open" && reason !== "failure-rate" && reason !== "slow-rate") {
    breaker.regional.consecutiveAt = now;
  }
  if (!inCharge || breaker.state.phase !== "open") return;
  const { generation, openUntil } = breaker.state;
  breaker.state = { phase: "open", generation, openUntil: Math.min(openUntil, now + EMERGENCY_MS) };
}

/** One probe at first, then two, four ...: as many as good ones allow, never more than are still needed. */
function admitProbe(
  state: Extract<BreakerState, { phase: "half-open" }>,
  probes: number,
  now: number,
  leaseMs: number,
): number {
  const lease = takeLease(state.leases, Math.min(2 ** state.good, probes - state.good), now, leaseMs);
  return lease === 0 ? NOT_ADMITTED : state.generation * LEASE_NUMBERS + lease;
}
