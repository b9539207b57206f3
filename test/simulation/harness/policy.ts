// What stands between arrivals and the upstream. A policy takes each request and says, at once or
// later, how it ended; the runner gives it a world to do so in.

import type { RandomSource } from "../../../src/resilience/random.ts";
import type { VirtualClock } from "./clock.ts";
import type { UpstreamModel } from "./upstream-model.ts";

export interface SimulatedRequest {
  readonly id: string;
  readonly trafficClass: number;
  readonly user: string;
  /** Clock value by which it must have been answered. */
  readonly deadlineAt: number;
  /** Whether it may be tried again. */
  readonly idempotent: boolean;
  /** Its client is gone after so long, and nothing that was done for it is ever ended; null: it stays. */
  readonly cancelAfterMs: number | null;
}

export type Ending =
  | "ok"
  | "failed"
  | "shed"
  | "concurrency_limit"
  | "tenant_limit"
  | "cancelled"
  | "circuit_open"
  | "deadline_exceeded"
  | "upstream_timeout"
  | "upstream_unreachable";

export interface World {
  readonly clock: VirtualClock;
  readonly random: RandomSource;
  readonly upstream: UpstreamModel;
  conclude(request: SimulatedRequest, ending: Ending): void;
}

/** What a policy tells about itself once a second, and at the end. */
export interface PolicyReading {
  readonly cursor: number;
  readonly limit: number;
  readonly inflight: number;
  readonly waiting: number;
  readonly phase: string;
}

export interface PhaseChange {
  readonly atMs: number;
  readonly from: string;
  readonly to: string;
  readonly reason: string;
  readonly openForMs: number;
}

export interface Policy {
  arrive(request: SimulatedRequest): void;
  read(): PolicyReading;
  /** Of each isolate's breaker. */
  readonly phaseChanges: readonly PhaseChange[];
  /** Of the breaker of a region's hub, where there is one. */
  readonly regionChanges?: readonly PhaseChange[];
  /** Tries that were not a request's first. */
  readonly retries: number;
  /** Requests refused for room while a less important one stood in line. Must stay 0. */
  readonly unjustRefusals: number;
  /** Requests shed although a less important one had passed under the same cursor. Must stay 0. */
  readonly levelBreaches: number;
  /** Permits that are still out at a clock value. */
  permitsOutAt(now: number): number;
}

export interface PolicyFactory {
  readonly name: string;
  create(world: World): Policy;
}
