// What surrounds the pipeline: the isolate, and the runtime that keeps work alive.

import type { QueuePlan } from "../config/plan.ts";
import type { SagaDefinition } from "../saga/core/definition.ts";
import type { TrafficClass } from "../resilience/level.ts";
import type { Exchange } from "./exchange.ts";
import type { Verdict } from "./verdict.ts";

/** Who calls, as far as the runtime knows without reading the request. */
export interface Caller {
  /** The client's address; null: `cf-connecting-ip` tells it, which Cloudflare sets. */
  readonly address: string | null;
  /** The host that it asks for; null: its `host` field tells it, or the URL of a request without one. */
  readonly host: string | null;
  /** Its requests are at most this important; 0 lowers nothing. */
  readonly leastClass: TrafficClass;
  /** Whether its `x-tidegate-class` counts. It lowers a class like the one above and never raises one. */
  readonly mayNameClass: boolean;
}

/** Somebody on the network. */
export const ANYBODY: Caller = { address: null, host: null, leastClass: 0, mayNameClass: false };

/** What the pipeline needs of the isolate around it. */
export interface Shell {
  readonly caller: Caller;
  /** Answers the gateway's own paths (`/_gateway/...`). */
  answerOwnPath(x: Exchange): Promise<Response>;
  /** Stores a request for later; on `admit` the exchange holds the answer. */
  acceptJob(x: Exchange, queue: QueuePlan): Promise<Verdict>;
  /** Stores a saga; on `admit` the exchange holds the answer. */
  startSaga(x: Exchange, saga: SagaDefinition): Promise<Verdict>;
  /** Publishes a request as an event of this type; on `admit` the exchange holds the answer. */
  publishRequest(x: Exchange, type: string): Promise<Verdict>;
  /** Lets work go on though its client hangs up: its end gives permits back. */
  waitUntil(work: Promise<unknown>): void;
}
