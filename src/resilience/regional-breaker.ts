// A breaker that follows its region: the hub's verdict moves it, and what it sees is kept for the next report.
// While the verdict is recent the isolate by itself only opens on consecutive failures, at once and for at most
// EMERGENCY_MS, until the hub speaks; probes it makes under the hub's leases alone. Without a recent verdict
// everything is decided here again.

import { closeBreaker } from "./breaker-moves.ts";
import type { Breaker, BreakerPhase } from "./breaker-state.ts";
import type { CallSums } from "./call-window.ts";
import { Outcome } from "./outcome.ts";
import { createProbeLeases } from "./probe-leases.ts";

/** An isolate that opens on its own evidence waits at most this long for the hub to agree. */
export const EMERGENCY_MS = 2_000;
/** A verdict is in force for so long. */
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
  /** A leased probe and how long it may take; 0: none. */
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
  /** Until when the verdict is in force. */
  until: number;
  lease: number;
  leaseUntil: number;
  /** Seen under this generation and not reported. */
  ok: number;
  failRemote: number;
  failLocal: number;
  slow: number;
  consecutive: boolean;
  retryAfterAt: number;
  probes: ProbeResult[];
}

/** What a report to the hub says of calls. */
export interface RegionalNews extends CallSums {
  readonly generation: number;
  readonly consecutive: boolean;
  readonly retryAfterMs: number;
  readonly probes: readonly ProbeResult[];
}

/** Whether the region decides: there is a verdict, and it is recent. */
export function isRegionInCharge(breaker: Breaker, now: number): boolean {
  return breaker.regional !== null && now < breaker.regional.until;
}

/** Takes the hub's verdict in. */
export function followVerdict(breaker: Breaker, verdict: BreakerVerdict, now: number): void {
  const known = breaker.regional;
  const regional = known ?? createRegional();
  breaker.regional = regional;
  const isNews = verdict.generation !== regional.generation || known === null;
  regional.until = now + VERDICT_MS;
  regional.phase = verdict.phase;
  if (verdict.lease !== 0) {
    regional.lease = verdict.lease;
    regional.leaseUntil = now + verdict.leaseMs;
  }
  if (!isNews) return;
  regional.generation = verdict.generation;
  forgetNews(regional);
  move(breaker, verdict, now);
}

/** Takes a leased probe, for the one call that may be made with it; 0: there is none. */
export function takeRegionalLease(regional: Regional, now: number): number {
  const { lease } = regional;
  regional.lease = 0;
  return now < regional.leaseUntil ? lease : 0;
}

/** Keeps a call for the next report. */
export function noteRegionalCall(regional: Regional, outcome: Outcome, slow: boolean): void {
  if (outcome === Outcome.ok) regional.ok++;
  else if (outcome === Outcome.failRemote) regional.failRemote++;
  else if (outcome === Outcome.failLocal) regional.failLocal++;
  else return;
  if (slow) regional.slow++;
}

export function noteRegionalProbe(regional: Regional, lease: number, good: boolean | null): void {
  if (regional.probes.length < MAX_PROBE_RESULTS) regional.probes.push({ lease, good });
}

/** Whether the hub should hear at once: of a probe's result, or of an opening on the isolate's own evidence. */
export function hasUrgentNews({ probes, consecutive }: Regional): boolean {
  return probes.length > 0 || consecutive;
}

/** Takes what the hub has not heard; null when there is nothing. */
export function takeNews(breaker: Breaker, now: number): RegionalNews | null {
  const { regional } = breaker;
  if (regional === null) return null;
  const { generation, ok, failRemote, failLocal, slow, consecutive, probes } = regional;
  const retryAfterMs = Math.max(0, Math.ceil(regional.retryAfterAt - now));
  if (ok + failRemote + failLocal + probes.length === 0 && !consecutive) return null;
  forgetNews(regional);
  return { generation, ok, failRemote, failLocal, slow, consecutive, retryAfterMs, probes };
}

/** Before the first verdict, so that what is seen until then can be reported. */
export function expectRegion(breaker: Breaker): void {
  breaker.regional ??= createRegional();
}

function move(breaker: Breaker, { phase, openForMs, rampedMs }: BreakerVerdict, now: number): void {
  const { state } = breaker;
  const generation = state.generation + 1;
  switch (phase) {
    case "open":
      breaker.state = { phase, generation, openUntil: now + openForMs };
      return;
    case "half-open":
      breaker.state = { phase, generation, leases: createProbeLeases(), good: 0 };
      return;
    case "ramp":
      breaker.state = {
        phase,
        generation,
        since: now - rampedMs,
        consecutive: 0,
        calls: 0,
        failures: 0,
        slow: 0,
      };
      return;
    case "closed":
      // An opening on own evidence that the hub does not share yet runs its short time.
      if (state.phase === "open" && state.openUntil > now && state.openUntil - now <= EMERGENCY_MS) return;
      if (state.phase !== "closed") closeBreaker(breaker, now, "ramp-done");
  }
}

function createRegional(): Regional {
  return {
    generation: 0,
    phase: "closed",
    until: Number.NEGATIVE_INFINITY,
    lease: 0,
    leaseUntil: Number.NEGATIVE_INFINITY,
    ok: 0,
    failRemote: 0,
    failLocal: 0,
    slow: 0,
    consecutive: false,
    retryAfterAt: 0,
    probes: [],
  };
}

function forgetNews(regional: Regional): void {
  regional.ok = 0;
  regional.failRemote = 0;
  regional.failLocal = 0;
  regional.slow = 0;
  regional.consecutive = false;
  regional.retryAfterAt = 0;
  regional.probes = [];
}
