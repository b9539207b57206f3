// A breaker that follows its region: the hub's verdict moves it; what it sees is kept for the next report.
// While the region decides, the isolate by itself only opens on what it has seen alone, at once and for at
// most EMERGENCY_MS, until the hub speaks; probes it makes under the hub's leases alone.
//
// A verdict holds until another one was asked for and did not come for VERDICT_MS: an isolate without traffic
// asks for none, so age alone says nothing of the hub. After that everything is decided here again.

import { closeBreaker, halfOpenBreaker, noteTransition } from "./breaker-moves.ts";
import { createRamp, moveRamp } from "./breaker-ramp.ts";
import type { Breaker, BreakerPhase } from "./breaker-state.ts";
import type { CallSums } from "./call-window.ts";
import { Outcome } from "./outcome.ts";
import { createProbeLeases } from "./probe-leases.ts";

/** An isolate that opens on its own evidence waits at most this long for the hub to agree. */
export const EMERGENCY_MS = 2_000;
/** A verdict holds for so long after the first report that no other one has answered. */
export const VERDICT_MS = 4_000;
/** Probes whose results wait for a report, at most. */
const MAX_PROBE_RESULTS = 16;

/** What the hub has decided, in durations: clocks differ. */
export interface BreakerVerdict {
  readonly generation: number;
  readonly phase: BreakerPhase;
  /** Ms that it stays open; ms since the ramp began. */
  readonly openForMs: number;
  readonly rampedMs: number;
  /** How fast the ramp goes on; absent: as time does. */
  readonly pace?: number;
  /** A leased probe, and within how long it must start; 0: none. */
  readonly lease: number;
  readonly leaseMs: number;
}

export interface ProbeResult {
  readonly lease: number;
  /** null: the probe was not made. */
  readonly good: boolean | null;
}

export interface Regional {
  generation: number;
  phase: BreakerPhase;
  /** Until when the verdict holds; infinite: nothing was reported since it came. */
  until: number;
  /** What it says was not asked for: it ends with the open time. */
  isHearsay: boolean;
  /** When the hub last said anything of this upstream. */
  heardAt: number;
  /** When the region's ramp began, by this isolate's clock. */
  rampedSince: number;
  pace: number;
  lease: number;
  leaseUntil: number;
  /** The leased probe that went out and that the hub has not heard of; 0: none. */
  started: number;
  /** Seen under this generation and not reported. */
  ok: number;
  failRemote: number;
  failLocal: number;
  slow: number;
  /** When the first of these calls ended. */
  newsSince: number;
  /** When `consecutive` failures in a row were last seen, and when this isolate opened by itself. */
  consecutiveAt: number;
  openedAt: number;
  retryAfterAt: number;
  probes: ProbeResult[];
}

/** What a report to the hub says of calls. */
export interface RegionalNews extends CallSums {
  readonly generation: number;
  readonly consecutive: boolean;
  readonly retryAfterMs: number;
  /** A leased probe that is under way; 0: none. */
  readonly started: number;
  readonly probes: readonly ProbeResult[];
}

/** Whether the region decides: there is a verdict, and no sign that the hub is gone. */
export function isRegionInCharge(breaker: Breaker, now: number): boolean {
  return breaker.regional !== null && now < breaker.regional.until;
}

/** Takes the hub's verdict in. One that is older than what is known, and in force, changes nothing. */
export function followVerdict(breaker: Breaker, verdict: BreakerVerdict, now: number): void {
  const regional = (breaker.regional ??= createRegional());
  const wasInCharge = now < regional.until;
  if (wasInCharge && verdict.generation < regional.generation) return;
  const holdsPromise = wasInCharge && isPromised(regional, verdict, now);
  const isOther = verdict.generation !== regional.generation || verdict.phase !== regional.phase;
  // What was seen before the first verdict was seen of a closed breaker.
  const isFirst = regional.generation === 0 && verdict.phase === "closed";
  regional.until = Number.POSITIVE_INFINITY;
  regional.isHearsay = false;
  regional.heardAt = now;
  regional.generation = verdict.generation;
  regional.phase = verdict.phase;
  regional.rampedSince = now - verdict.rampedMs;
  regional.pace = verdict.pace ?? 1;
  if (verdict.lease !== 0 || (isOther && !holdsPromise)) {
    regional.lease = verdict.lease;
    regional.leaseUntil = now + verdict.leaseMs;
  }
  if (isOther && !isFirst) forgetNews(regional);
  if (isOther || !wasInCharge) move(breaker, verdict, now);
  else if (verdict.phase === "ramp" && breaker.state.phase === "ramp") {
    moveRamp(breaker.state, verdict.rampedMs, regional.pace, now);
  } else if (verdict.phase === "open" && breaker.state.phase === "open") {
    const { generation } = breaker.state;
    breaker.state = { phase: "open", generation, openUntil: now + verdict.openForMs };
  }
}

/** Whether the probe that was promised while the circuit was open is one of the phase that has come now. */
function isPromised(regional: Regional, verdict: BreakerVerdict, now: number): boolean {
  const isNext = verdict.phase === "half-open" && verdict.generation === regional.generation + 1;
  return isNext && regional.phase === "open" && !wantsLease(regional, now);
}

/** Ends an opening on own evidence that the region did not share. False: the region lets no calls pass. */
export function resumeRegional(breaker: Breaker, regional: Regional, now: number): boolean {
  if (regional.phase === "closed") closeBreaker(breaker, now, "open-time-over");
  else if (regional.phase === "ramp") {
    const { rampedSince, pace } = regional;
    breaker.state = createRamp(breaker.state.generation + 1, now - rampedSince, pace, now);
  } else if (regional.phase === "open" && !wantsLease(regional, now)) {
    // The first probe of the phase to come was promised: the hub has moved on by now, as this isolate does.
    regional.generation++;
    regional.phase = "half-open";
    halfOpenBreaker(breaker, now);
  } else return false;
  return true;
}

/** Whether a lease would be of use: there is none that waits for its call. */
export function wantsLease({ lease, leaseUntil }: Regional, now: number): boolean {
  return lease === 0 || now >= leaseUntil;
}

/**
 * Whether a call that is refused might be a probe, if only the hub were asked: the open time is over, no
 * lease is at hand, and what the hub said is `staleMs` old. Where calls are rare a lease that comes behind
 * a refusal would be over before the next call.
 */
export function wantsProbe({ regional, state }: Breaker, staleMs: number, now: number): boolean {
  if (regional === null || now >= regional.until || now - regional.heardAt < staleMs) return false;
  const isTime = state.phase === "half-open" || (state.phase === "open" && now >= state.openUntil);
  return isTime && wantsLease(regional, now);
}

/** Takes a leased probe, for the one call that may be made with it; 0: there is none. */
export function takeRegionalLease(regional: Regional, now: number): number {
  const { lease } = regional;
  regional.lease = 0;
  if (lease === 0 || now >= regional.leaseUntil) return 0;
  regional.started = lease;
  return lease;
}

/** Keeps a call for the next report. What nobody took for a whole window is no evidence any more. */
export function noteRegionalCall(
  breaker: Breaker,
  regional: Regional,
  outcome: Outcome,
  slow: boolean,
  now: number,
): void {
  if (outcome === Outcome.ignored) return;
  if (now - regional.newsSince >= breaker.options.windowMs) forgetCalls(regional);
  if (regional.newsSince === Number.POSITIVE_INFINITY) regional.newsSince = now;
  if (outcome === Outcome.ok) regional.ok++;
  else if (outcome === Outcome.failRemote) regional.failRemote++;
  else regional.failLocal++;
  if (slow) regional.slow++;
}

export function noteRegionalProbe(regional: Regional, lease: number, good: boolean | null): void {
  if (regional.started === lease) regional.started = 0;
  if (regional.probes.length < MAX_PROBE_RESULTS) regional.probes.push({ lease, good });
}

/** Whether the hub should hear at once: of a probe, or of an opening on the isolate's own evidence. */
export function hasUrgentNews({ started, probes, openedAt }: Regional): boolean {
  return started !== 0 || probes.length > 0 || openedAt > Number.NEGATIVE_INFINITY;
}

/**
 * Takes what the hub has not heard; null when there is nothing. Every sync begins with it, also one that then
 * fails: from now on a verdict is due.
 */
export function takeNews(breaker: Breaker, now: number): RegionalNews | null {
  const { regional } = breaker;
  if (regional === null) return null;
  if (regional.until === Number.POSITIVE_INFINITY) regional.until = now + VERDICT_MS;
  if (now - regional.newsSince >= breaker.options.windowMs) forgetCalls(regional);
  const { generation, ok, failRemote, failLocal, slow, started, probes } = regional;
  const consecutive = now - regional.consecutiveAt < EMERGENCY_MS;
  const retryAfterMs = Math.max(0, Math.ceil(regional.retryAfterAt - now));
  forgetNews(regional);
  const isNothing =
    ok + failRemote + failLocal + started + probes.length === 0 && !consecutive && retryAfterMs === 0;
  return isNothing
    ? null
    : { generation, ok, failRemote, failLocal, slow, consecutive, retryAfterMs, started, probes };
}

/** Before the first verdict, so that what is seen until then can be reported. */
export function expectRegion(breaker: Breaker): void {
  breaker.regional ??= createRegional();
}

function move(breaker: Breaker, verdict: BreakerVerdict, now: number): void {
  const { phase, openForMs, rampedMs, pace = 1 } = verdict;
  const { state } = breaker;
  const generation = state.generation + 1;
  // What the isolate has opened itself already opens no second time.
  if (phase !== "closed" && phase !== state.phase) noteTransition(breaker, phase, now, "region", openForMs);
  switch (phase) {
    case "open":
      breaker.state = { phase, generation, openUntil: now + openForMs };
      return;
    case "half-open":
      breaker.state = { phase, generation, leases: createProbeLeases(), good: 0 };
      return;
    case "ramp":
      breaker.state = createRamp(generation, rampedMs, pace, now);
      return;
    case "closed":
      // An opening on own evidence that the hub does not share yet runs its short time.
      if (state.phase === "open" && state.openUntil > now && state.openUntil - now <= EMERGENCY_MS) return;
      if (state.phase !== "closed") closeBreaker(breaker, now, "region");
  }
}

function createRegional(): Regional {
  return {
    generation: 0,
    phase: "closed",
    until: Number.NEGATIVE_INFINITY,
    isHearsay: false,
    heardAt: Number.NEGATIVE_INFINITY,
    rampedSince: 0,
    pace: 1,
    lease: 0,
    leaseUntil: Number.NEGATIVE_INFINITY,
    started: 0,
    ok: 0,
    failRemote: 0,
    failLocal: 0,
    slow: 0,
    newsSince: Number.POSITIVE_INFINITY,
    consecutiveAt: Number.NEGATIVE_INFINITY,
    openedAt: Number.NEGATIVE_INFINITY,
    retryAfterAt: 0,
    probes: [],
  };
}

function forgetNews(regional: Regional): void {
  forgetCalls(regional);
  regional.consecutiveAt = Number.NEGATIVE_INFINITY;
  regional.openedAt = Number.NEGATIVE_INFINITY;
  regional.retryAfterAt = 0;
  regional.started = 0;
  regional.probes = [];
}

function forgetCalls(regional: Regional): void {
  regional.ok = 0;
  regional.failRemote = 0;
  regional.failLocal = 0;
  regional.slow = 0;
  regional.newsSince = Number.POSITIVE_INFINITY;
}
