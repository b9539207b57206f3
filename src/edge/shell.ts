// What surrounds the pipeline: the isolate, and the runtime that keeps work alive.

import type { QueuePlan } from "../config/plan.ts";
import type { Exchange } from "./exchange.ts";
import type { Verdict } from "./verdict.ts";

/** What the pipeline needs of the isolate around it. */
export interface Shell {
  /** Answers the gateway's own paths (`/_gateway/...`). */
  answerOwnPath(x: Exchange): Promise<Response>;
  /** Stores a request for later; on `admit` the exchange holds the answer. */
  acceptJob(x: Exchange, queue: QueuePlan): Promise<Verdict>;
  /** Publishes a request as an event of this type; on `admit` the exchange holds the answer. */
  publishRequest(x: Exchange, type: string): Promise<Verdict>;
  /** Lets work go on though its client hangs up: its end gives permits back. */
  waitUntil(work: Promise<unknown>): void;
}
