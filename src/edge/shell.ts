// What surrounds the pipeline: the isolate, and the runtime that keeps work alive.

import type { Exchange } from "./exchange.ts";

/** What the pipeline needs of the isolate around it. */
export interface Shell {
  /** Answers the gateway's own paths (`/_gateway/...`). */
  answerOwnPath(x: Exchange): Promise<Response>;
  /** Lets work go on though its client hangs up: its end gives permits back. */
  waitUntil(work: Promise<unknown>): void;
}
