// What a circuit breaker is made of: its options, its phases as a tagged union, and the last change of
// phase with the numbers that decided it. breaker.ts moves it.

import type { CallWindow } from "./call-window.ts";
import type { ProbeLeases } from "./probe-leases.ts";
import type { Regional } from "./regional-breaker.ts";
import type { UsualFailures } from "./usual-failures.ts";

export interface BreakerOptions {
  readonly failureRate: number;
  /** A call slower than this is slow; null: no call is. */
  readonly slowCallMs: number | null;
  readonly slowCallRate: number;
  readonly minimumCalls: number;
  readonly windowMs: number;
  readonly consecutive: number;
  readonly openForMs: number;
  readonly maxOpenForMs: number;
  readonly probes: number;
  readonly rampUpMs: number;
}

/** Those of an upstream that is configured without any. */
export const DEFAULT_BREAKER: BreakerOptions = {
  failureRate: 0.5,
  slowCallMs: null,
  slowCallRate: 0.8,
  minimumCalls: 20,
  windowMs: 10_000,
  consecutive: 5,
  openForMs: 1_000,
  maxOpenForMs: 10_000,
  probes: 3,
  rampUpMs: 10_000,
};

export type BreakerPhase = "closed" | "open" | "half-open" | "ramp";

export type BreakerState =
  | { readonly phase: "closed"; readonly generation: number; readonly since: number; consecutive: number }
  | { readonly phase: "open"; readonly generation: number; readonly openUntil: number }
  | { readonly phase: "half-open"; readonly generation: number; readonly leases: ProbeLeases; good: number }
  | {
      readonly phase: "ramp";
      readonly generation: number;
      readonly since: number;
      /** How far it had come at `seenAt`, and how fast it goes on: see breaker-ramp.ts. */
      rampedMs: number;
      seenAt: number;
      pace: number;
      consecutive: number;
      calls: number;
      failures: number;
      slow: number;
    };

/** Why and when the breaker last changed its phase, with the numbers that decided. */
export interface BreakerTransition {
  readonly from: BreakerPhase;
  readonly to: BreakerPhase;
  readonly at: number;
  readonly reason:
    | "consecutive"
    | "failure-rate"
    | "slow-rate"
    | "open-time-over"
    | "probe-failed"
    | "probes-good"
    | "ramp-failed"
    | "ramp-done"
    | "flapping"
    | "region";
  readonly calls: number;
  readonly failures: number;
  readonly slow: number;
  /** Probes that had gone well before it left half-open. */
  readonly goodProbes: number;
  readonly openForMs: number;
}

export interface Breaker {
  readonly options: BreakerOptions;
  readonly window: CallWindow;
  readonly usual: UsualFailures;
  state: BreakerState;
  strikes: number;
  /** When it opened without having tried the upstream again since. */
  downSince: number;
  /** When traffic last began to come back, and how often in a row it failed soon after that. */
  returnedAt: number;
  relapses: number;
  /** When a call last went well. */
  goodAt: number;
  /** The upstream asked to be left alone until then (`Retry-After`). */
  leaveAloneUntil: number;
  lastTransition: BreakerTransition | null;
  /** What the region says of this upstream and has not heard of; null: this breaker is on its own. */
  regional: Regional | null;
}
