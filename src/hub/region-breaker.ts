// The breaker of one upstream for a whole region: adds up what isolates saw, decides, and hands out probes.
//
//   closed    opens when the region's calls fail: n >= minimum and fail/n >= rate, or slow/n >= slow rate,
//             over the window; or n >= minimum and a rate of 0.8 of late. No single one of many suffices.
//             Consecutive failures open it too: of any one of few isolates, of a quarter of many, or twice as
//             many of the region without a good call between
//   open      until its time is over, then half-open
//             the first probe is promised while it is open, so that it goes out without a round trip
//   half-open probes are leases; one is out at first, then two, four; `probes` good ones lead to the ramp,
//             after a ramp that failed only when they were good for a while
//   ramp      opens when a quarter of at least ten calls fail; else closes after `rampUpMs`, sooner when all
//             goes well; one that relapses again and again is held instead (resilience/breaker-ramp.ts)
//
// Calls carry the generation that admitted them; results of an earlier one are dropped.

import type { Breaker, BreakerOptions } from "../resilience/breaker-state.ts";
import { closeBreaker, halfOpenBreaker, openBreaker } from "../resilience/breaker-moves.ts";
import { endRamp, isRampOver, openOrHold, paceRamp, rampBreaker } from "../resilience/breaker-ramp.ts";
import { createBreaker, noteRetryAfter } from "../resilience/breaker.ts";
import type { CallSums } from "../resilience/call-window.ts";
import { recordCalls } from "../resilience/call-window.ts";
import { renewLease, returnLease, takeLease } from "../resilience/probe-leases.ts";
import { noteUsual } from "../resilience/usual-failures.ts";
import { createEvidence, forgetEvidence, noteEvidence, pruneEvidence } from "./region-evidence.ts";
import type { Judged, Reason } from "./region-reasons.ts";
import { isRampFailing, isRampWell, reasonToOpen } from "./region-reasons.ts";

export { MANY_ISOLATES, MAX_ISOLATES, MAX_ISOLATE_PART } from "./region-evidence.ts";
export { SUSPECT_MINIMUM_CALLS, isHealthyHere } from "./region-reasons.ts";

/** An isolate must start a probe that it got the lease for within this time. */
export const PROBE_START_MS = 2_000;
/** News of a probe takes at most this long to arrive. */
export const PROBE_NEWS_MS = 1_500;
/** Lease numbers of a phase begin with it. */
const FIRST_LEASE = 1;
const PRUNE_EVERY_MS = 5_000;
/** After each ramp that failed probes must be good for so much longer, up to a bound. */
const STEADY_MS_PER_FLAP = 1_000;
const MAX_STEADY_MS = 3_000;
/** Once enough probes were good, those that look on are so far apart. */
const STEADY_PROBE_EVERY_MS = 500;

export interface RegionBreaker extends Judged {
  /** Ramps that failed since the last one that did not. */
  flaps: number;
  /** When the first good probe of this half-open phase came back, and when the last one went out. */
  goodSince: number;
  leasedAt: number;
  /** The open phase whose first probe is promised, by its generation. */
  promised: number;
  /** When isolates without calls were last dropped. */
  prunedAt: number;
}

export function createRegionBreaker(options: BreakerOptions): RegionBreaker {
  return {
    breaker: createBreaker(options),
    evidence: createEvidence(),
    flaps: 0,
    goodSince: 0,
    leasedAt: Number.NEGATIVE_INFINITY,
    promised: 0,
    weighAt: Number.NEGATIVE_INFINITY,
    prunedAt: Number.NEGATIVE_INFINITY,
  };
}

/** What one isolate reports of calls that it made under `generation`. */
export interface IsolateReport extends CallSums {
  readonly generation: number;
  /** Whether it saw `consecutive` failures in a row. */
  readonly consecutive: boolean;
  /** For how long the upstream asked to be left alone; 0: it did not. */
  readonly retryAfterMs: number;
}

/** Tells how many isolates the region has: one of many does not decide, be it the only one that reports. */
export function noteIsolates(region: RegionBreaker, isolates: number): void {
  region.evidence.known = isolates;
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
  moveOn(region, now);
  const { state } = breaker;
  // An isolate that has not heard of any generation yet reports what it saw while everything was closed.
  const isCurrent =
    report.generation === state.generation || (report.generation === 0 && state.phase === "closed");
  const retryAt = Math.min(now + report.retryAfterMs, now + breaker.options.maxOpenForMs);
  if (state.phase === "open") {
    // What was under way when it opened says how long, too.
    if (report.generation !== state.generation - 1 || retryAt <= state.openUntil) return;
    breaker.state = { ...state, openUntil: Math.min(retryAt, longestOpen(breaker, now)) };
    return;
  }
  if (!isCurrent) return;
  if (report.retryAfterMs > 0) noteRetryAfter(breaker, retryAt);
  if (state.phase === "half-open") return;
  noteEvidence(region.evidence, isolate, report, breaker.options.windowMs, now);
  recordCalls(breaker.window, report, now);
  const failures = report.failRemote + report.failLocal;
  if (state.phase === "closed") {
    noteUsual(breaker.usual, report.ok + failures, failures, breaker.options.windowMs, now);
  }
  if (report.ok > 0) breaker.goodAt = now;
  const isAllGood = failures + report.slow === 0 && !report.consecutive;
  if (state.phase === "ramp") {
    if (!isAllGood && isRampFailing(region, now)) openFor(region, now, random, "ramp-failed");
    else paceRamp(breaker, state, isRampWell(region, now), now);
    return;
  }
  if (isAllGood) return;
  const reason = reasonToOpen(region, isSuspect, now);
  if (reason !== null) openFor(region, now, random, reason);
}

/** Retry-After never keeps it open for longer than this from when it opened. */
function longestOpen({ lastTransition, options }: Breaker, now: number): number {
  return (lastTransition?.at ?? now) + options.maxOpenForMs;
}

/**
 * A probe for an isolate, as a lease number; 0: none is to be had. It ends by itself after `leaseMs`: as long
 * as the isolate may take to start it and to say so.
 */
export function leaseProbe(region: RegionBreaker, leaseMs: number, now: number): number {
  moveOn(region, now);
  const { state, options } = region.breaker;
  if (state.phase !== "half-open") return 0;
  const missing = options.probes - state.good;
  if (missing <= 0 && now - region.leasedAt < STEADY_PROBE_EVERY_MS) return 0;
  const lease = takeLease(state.leases, missing <= 0 ? 1 : Math.min(2 ** state.good, missing), now, leaseMs);
  if (lease !== 0) region.leasedAt = now;
  return lease;
}

/**
 * Promises the first probe of the half-open phase to come: the lease number, valid for PROBE_START_MS once
 * the open time is over; 0: it is promised already, or the breaker is not open.
 */
export function promiseProbe(region: RegionBreaker, now: number): number {
  moveOn(region, now);
  const { state } = region.breaker;
  if (state.phase !== "open" || region.promised === state.generation) return 0;
  region.promised = state.generation;
  return FIRST_LEASE;
}

/** A leased probe is under way: its lease lasts for `leaseMs` more, as long as its answer may take. */
export function noteProbeStart(
  { breaker: { state } }: RegionBreaker,
  generation: number,
  lease: number,
  leaseMs: number,
  now: number,
): void {
  if (state.phase === "half-open" && state.generation === generation) {
    renewLease(state.leases, lease, now, leaseMs);
  }
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
  breaker.goodAt = now;
  if (state.good === 0) region.goodSince = now;
  state.good++;
  if (state.good < breaker.options.probes || now - region.goodSince < steadyMs(region)) return;
  if (breaker.options.rampUpMs > 0) rampBreaker(breaker, now);
  else closeFor(region, now, "probes-good");
}

/** Moves on what only time moves: an open time or a ramp that is over. */
export function advanceRegionBreaker(region: RegionBreaker, now: number): void {
  moveOn(region, now);
  if (region.breaker.state.phase !== "closed" || now - region.prunedAt < PRUNE_EVERY_MS) return;
  region.prunedAt = now;
  pruneEvidence(region.evidence, now);
}

function steadyMs({ flaps }: RegionBreaker): number {
  return Math.min(MAX_STEADY_MS, flaps * STEADY_MS_PER_FLAP);
}

function moveOn(region: RegionBreaker, now: number): void {
  const { breaker } = region;
  const { state } = breaker;
  if (state.phase === "open" && now >= state.openUntil) {
    halfOpenBreaker(breaker, now);
    if (region.promised === state.generation) keepPromise(region, state.openUntil, now);
  }
  if (!isRampOver(breaker, now)) return;
  region.flaps = 0;
  endRamp(breaker, now);
}

/** The first lease of a phase is the one that was promised, for as long after the open time as it holds. */
function keepPromise({ breaker }: RegionBreaker, openUntil: number, now: number): void {
  const leaseMs = openUntil + PROBE_START_MS + PROBE_NEWS_MS - now;
  if (breaker.state.phase === "half-open" && leaseMs > 0) takeLease(breaker.state.leases, 1, now, leaseMs);
}

function openFor(
  region: RegionBreaker,
  now: number,
  random: number,
  reason: Reason | "ramp-failed" | "probe-failed",
) {
  if (reason === "ramp-failed") region.flaps++;
  if (reason === "probe-failed") openBreaker(region.breaker, now, random, reason);
  else openOrHold(region.breaker, now, random, reason);
  forgetEvidence(region.evidence);
}

function closeFor(region: RegionBreaker, now: number, reason: "probes-good"): void {
  closeBreaker(region.breaker, now, reason);
  forgetEvidence(region.evidence);
}
