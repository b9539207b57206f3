// The breaker of one upstream for a whole region: it adds up what isolates saw, decides, and hands out probes.
//
//   closed    opens when the region's calls fail: n >= minimum and fail/n >= rate, or slow/n >= slow rate
//             four isolates or more: one weighs at most a quarter, and failures must come from two at least
//             consecutive failures of isolates open it too: of any while they are few, of a quarter when not
//   open      until its time is over, then half-open
//   half-open probes are leases; one is out at first, then two, four; `probes` good ones lead to the ramp
//   ramp      as in an isolate, on the region's sums
//
// Calls carry the generation that admitted them; results of an earlier one are dropped.

import type { Breaker, BreakerOptions } from "../resilience/breaker-state.ts";
import { closeBreaker, halfOpenBreaker, openBreaker, rampBreaker } from "../resilience/breaker-moves.ts";
import { createBreaker, noteRetryAfter } from "../resilience/breaker.ts";
import type { CallSums, CallWindow } from "../resilience/call-window.ts";
import {
  advanceWindow,
  callCount,
  createCallWindow,
  localFailureCount,
  recordCalls,
  remoteFailureCount,
  resetWindow,
  slowCount,
} from "../resilience/call-window.ts";
import type { BreakerVerdict } from "../resilience/regional-breaker.ts";
import { returnLease, takeLease } from "../resilience/probe-leases.ts";

/** From so many isolates with calls on, no single one decides. */
export const MANY_ISOLATES = 4;
/** Greatest part of the evidence that one of many isolates makes up. */
export const MAX_ISOLATE_PART = 0.25;
/** Isolates that calls of one upstream are told apart by, at most. */
export const MAX_ISOLATES = 5_000;
/** Consecutive failures that an isolate saw count for so long. */
const CONSECUTIVE_MS = 2_000;
/** Calls that suffice where other regions see the upstream fail. */
export const SUSPECT_MINIMUM_CALLS = 5;
const RAMP_FAILURE_RATE = 0.25;
const RAMP_MINIMUM_CALLS = 10;

interface IsolateCalls {
  readonly window: CallWindow;
  /** When it last saw `consecutive` failures in a row. */
  consecutiveAt: number;
}

export interface RegionBreaker {
  readonly breaker: Breaker;
  readonly isolates: Map<string, IsolateCalls>;
}

export function createRegionBreaker(options: BreakerOptions): RegionBreaker {
  return { breaker: createBreaker(options), isolates: new Map() };
}

/** What one isolate reports of calls that it made under `generation`. */
export interface IsolateReport extends CallSums {
  readonly generation: number;
  /** Whether it saw `consecutive` failures in a row. */
  readonly consecutive: boolean;
  /** Until when the upstream asked to be left alone; 0: it did not. */
  readonly retryAfterMs: number;
}

/** Takes an isolate's calls in and opens, or ends a ramp, where they are reason to. `random` in [0, 1). */
export function noteCalls(
  region: RegionBreaker,
  isolate: string,
  report: IsolateReport,
  isSuspect: boolean,
  now: number,
  random: number,
): void {
  const { breaker } = region;
  moveOn(breaker, now);
  const { state } = breaker;
  // An isolate that has not heard of any generation yet reports what it saw while everything was closed.
  const isCurrent =
    report.generation === state.generation || (report.generation === 0 && state.phase === "closed");
  if (!isCurrent || state.phase === "open") return;
  if (report.retryAfterMs > 0) noteRetryAfter(breaker, now + report.retryAfterMs);
  if (state.phase === "half-open") return;
  const calls = callsOf(region, isolate);
  if (calls !== null) {
    recordCalls(calls.window, report, now);
    if (report.consecutive) calls.consecutiveAt = now;
  }
  recordCalls(breaker.window, report, now);
  if (state.phase === "ramp") {
    state.calls += report.ok + report.failRemote + report.failLocal;
    state.failures += report.failRemote + report.failLocal;
    state.slow += report.slow;
    const failing = isRampFailing(breaker, state) || hasConsecutive(region, now);
    if (failing) openFor(region, now, random, "ramp-failed");
    return;
  }
  const reason = reasonToOpen(region, isSuspect, now);
  if (reason !== null) openFor(region, now, random, reason);
}

/** A probe for an isolate, as a lease number; 0: none is to be had. It ends by itself after `leaseMs`. */
export function leaseProbe({ breaker }: RegionBreaker, leaseMs: number, now: number): number {
  moveOn(breaker, now);
  const { state } = breaker;
  if (state.phase !== "half-open") return 0;
  const allowed = Math.min(2 ** state.good, breaker.options.probes - state.good);
  return takeLease(state.leases, allowed, now, leaseMs);
}

/** The result of a leased probe; null: it was not made, the lease goes back. */
export function noteProbe(
  region: RegionBreaker,
  generation: number,
  lease: number,
  isGood: boolean | null,
  now: number,
  random: number,
): void {
  const { breaker } = region;
  const { state } = breaker;
  if (state.phase !== "half-open" || state.generation !== generation) return;
  if (!returnLease(state.leases, lease) || isGood === null) return;
  if (!isGood) {
    openFor(region, now, random, "probe-failed");
    return;
  }
  state.good++;
  if (state.good < breaker.options.probes) return;
  if (breaker.options.rampUpMs > 0) rampBreaker(breaker, now);
  else closeFor(region, now, "probes-good");
}

/** Moves on what only time moves: an open time or a ramp that is over. */
export function advanceRegionBreaker(region: RegionBreaker, now: number): void {
  moveOn(region.breaker, now);
  for (const [isolate, { window }] of region.isolates) {
    advanceWindow(window, now);
    if (callCount(window) === 0) region.isolates.delete(isolate);
  }
}

/** Whether this region's own evidence is good: enough calls, few failures. */
export function isHealthyHere({ breaker }: RegionBreaker, now: number): boolean {
  advanceWindow(breaker.window, now);
  const calls = callCount(breaker.window);
  const failures = remoteFailureCount(breaker.window) + localFailureCount(breaker.window);
  return calls >= breaker.options.minimumCalls && failures < RAMP_FAILURE_RATE * calls;
}

/** The breaker as isolates are told of it, in durations; `lease`: a probe for who is told, or 0. */
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
    openForMs: state.phase === "open" ? Math.max(0, Math.ceil(state.openUntil - now)) : 0,
    rampedMs: state.phase === "ramp" ? Math.max(0, now - state.since) : 0,
    lease,
    leaseMs: lease === 0 ? 0 : leaseMs,
  };
}

function moveOn(breaker: Breaker, now: number): void {
  const { state, options } = breaker;
  if (state.phase === "open" && now >= state.openUntil) halfOpenBreaker(breaker, now);
  const isRamped = state.phase === "ramp" && now - state.since >= options.rampUpMs;
  if (isRamped) closeBreaker(breaker, now, "ramp-done");
}

type Reason = "consecutive" | "failure-rate" | "slow-rate";

function reasonToOpen(region: RegionBreaker, isSuspect: boolean, now: number): Reason | null {
  if (hasConsecutive(region, now)) return "consecutive";
  const { options } = region.breaker;
  const sums = weighedSums(region, now);
  const minimum =
    isSuspect && !isHealthyHere(region, now)
      ? Math.min(SUSPECT_MINIMUM_CALLS, options.minimumCalls)
      : options.minimumCalls;
  if (sums.calls < minimum) return null;
  if (sums.failing >= sums.needed && sums.failures >= options.failureRate * sums.calls) return "failure-rate";
  if (options.slowCallMs !== null && sums.slow >= options.slowCallRate * sums.calls) return "slow-rate";
  return null;
}

interface WeighedSums {
  readonly calls: number;
  readonly failures: number;
  readonly slow: number;
  /** Isolates that saw failures, and how many of them it takes. */
  readonly failing: number;
  readonly needed: number;
}

/** The region's sums, with no isolate of many above its part: a call of a heavier one counts for less. */
function weighedSums({ isolates }: RegionBreaker, now: number): WeighedSums {
  let total = 0;
  let present = 0;
  for (const { window } of isolates.values()) {
    advanceWindow(window, now);
    const calls = callCount(window);
    total += calls;
    if (calls > 0) present++;
  }
  const most = present >= MANY_ISOLATES ? MAX_ISOLATE_PART * total : total;
  const sums = { calls: 0, failures: 0, slow: 0, failing: 0, needed: present >= MANY_ISOLATES ? 2 : 1 };
  for (const { window } of isolates.values()) {
    const calls = callCount(window);
    if (calls === 0) continue;
    const weight = Math.min(1, most / calls);
    const failures = remoteFailureCount(window) + localFailureCount(window);
    sums.calls += calls * weight;
    sums.failures += failures * weight;
    sums.slow += slowCount(window) * weight;
    if (failures > 0) sums.failing++;
  }
  return sums;
}

function hasConsecutive({ isolates }: RegionBreaker, now: number): boolean {
  let failing = 0;
  let present = 0;
  for (const { window, consecutiveAt } of isolates.values()) {
    if (callCount(window) > 0) present++;
    if (now - consecutiveAt < CONSECUTIVE_MS) failing++;
  }
  const needed = present < MANY_ISOLATES ? 1 : Math.max(2, Math.ceil(present * MAX_ISOLATE_PART));
  return failing >= needed;
}

function isRampFailing(
  { options }: Breaker,
  state: { calls: number; failures: number; slow: number },
): boolean {
  if (state.calls < RAMP_MINIMUM_CALLS) return false;
  if (state.failures >= RAMP_FAILURE_RATE * state.calls) return true;
  return options.slowCallMs !== null && state.slow >= options.slowCallRate * state.calls;
}

function openFor(
  region: RegionBreaker,
  now: number,
  random: number,
  reason: Reason | "ramp-failed" | "probe-failed",
) {
  openBreaker(region.breaker, now, random, reason);
  forgetCalls(region);
}

function closeFor(region: RegionBreaker, now: number, reason: "probes-good"): void {
  closeBreaker(region.breaker, now, reason);
  forgetCalls(region);
}

/** What was seen in another phase is no evidence in the next one. */
function forgetCalls({ isolates }: RegionBreaker): void {
  for (const calls of isolates.values()) {
    resetWindow(calls.window);
    calls.consecutiveAt = Number.NEGATIVE_INFINITY;
  }
}

function callsOf(region: RegionBreaker, isolate: string): IsolateCalls | null {
  const known = region.isolates.get(isolate);
  if (known !== undefined) return known;
  if (region.isolates.size >= MAX_ISOLATES) return null;
  const calls = {
    window: createCallWindow(region.breaker.options.windowMs),
    consecutiveAt: Number.NEGATIVE_INFINITY,
  };
  region.isolates.set(isolate, calls);
  return calls;
}
