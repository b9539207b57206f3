// The moves of a breaker from one phase to another, for whoever decides them: the isolate that sees calls, or
// the hub that adds isolates up. Each move starts a new generation and notes why, with the numbers that
// decided.

import type { Breaker, BreakerOptions, BreakerPhase, BreakerTransition } from "./breaker-state.ts";
import type { CallWindow } from "./call-window.ts";
import { callCount, localFailureCount, remoteFailureCount, resetWindow, slowCount } from "./call-window.ts";
import { createProbeLeases } from "./probe-leases.ts";
import { forgetUnusual } from "./usual-failures.ts";

const HEALTHY_MS_PER_STRIKE = 10_000;

/**
 * Opens for a time that grows with each opening, but for failed probes of the first `maxOpenForMs`.
 * `random` in [0, 1) jitters it.
 */
export function openBreaker(
  breaker: Breaker,
  now: number,
  random: number,
  reason: BreakerTransition["reason"],
): void {
  const { options, state } = breaker;
  const healed =
    state.phase === "closed" ? Math.max(0, Math.floor((now - state.since) / HEALTHY_MS_PER_STRIKE)) : 0;
  const isProbe = reason === "probe-failed";
  if (!isProbe) breaker.downSince = now;
  // An outage that has just begun is often over soon: it is tried again at the pace that it began with.
  const isYoung = isProbe && now - breaker.downSince < options.maxOpenForMs;
  if (!isYoung) {
    breaker.strikes = Math.min(Math.max(0, breaker.strikes - healed) + 1, strikesAtLongest(options));
  }
  const fullMs = Math.min(options.maxOpenForMs, options.openForMs * 2 ** (breaker.strikes - 1));
  // Probes are `openForMs` apart, what they take included.
  const restMs = isProbe ? options.openForMs - (now - (breaker.lastTransition?.at ?? now)) : 0;
  const leastMs = Math.max(breaker.leaveAloneUntil - now, restMs);
  const jitteredMs = fullMs / 2 + (random * fullMs) / 2;
  const openForMs = Math.min(options.maxOpenForMs, Math.max(jitteredMs, leastMs));
  breaker.leaveAloneUntil = 0;
  forgetUnusual(breaker.usual);
  noteTransition(breaker, "open", now, reason, openForMs);
  breaker.state = { phase: "open", generation: state.generation + 1, openUntil: now + openForMs };
}

/** More strikes than this would only delay the return to short open times. */
function strikesAtLongest(options: BreakerOptions): number {
  return 1 + Math.ceil(Math.log2(options.maxOpenForMs / options.openForMs));
}

/** The open time is over: probes may go out. */
export function halfOpenBreaker(breaker: Breaker, now: number): void {
  noteTransition(breaker, "half-open", now, "open-time-over", 0);
  const generation = breaker.state.generation + 1;
  breaker.state = { phase: "half-open", generation, leases: createProbeLeases(), good: 0 };
}

export function closeBreaker(breaker: Breaker, now: number, reason: BreakerTransition["reason"]): void {
  noteTransition(breaker, "closed", now, reason, 0);
  resetWindow(breaker.window);
  breaker.state = { phase: "closed", generation: breaker.state.generation + 1, since: now, consecutive: 0 };
}

/** Keeps why and when a breaker moves, with the numbers that it knows; call before it moves. */
export function noteTransition(
  breaker: Breaker,
  to: BreakerPhase,
  at: number,
  reason: BreakerTransition["reason"],
  openForMs: number,
): void {
  const { window, state } = breaker;
  breaker.lastTransition = {
    from: state.phase,
    to,
    at,
    reason,
    calls: callCount(window),
    failures: failureCount(window),
    slow: slowCount(window),
    goodProbes: state.phase === "half-open" ? state.good : 0,
    openForMs: Math.round(openForMs),
  };
}

/** Failures of either kind. */
export function failureCount(window: CallWindow): number {
  return remoteFailureCount(window) + localFailureCount(window);
}
