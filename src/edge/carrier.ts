// How requests leave for their targets and how answers come back: the one part of the pipeline that depends
// on the runtime. On Workers it is `fetch`; a process has connections and streams of its own.

import type { Target } from "./engine.ts";
import type { Exchange } from "./exchange.ts";
import type { BodyRules, OutboundBody } from "./outbound-body.ts";
import type { TIMED_OUT } from "./timeout.ts";

/** What one try sends, and how long it may take until response headers. */
export interface Sending {
  readonly target: Target;
  /** Path and query, to be appended to the target's base URL. */
  readonly path: string;
  readonly body: OutboundBody;
  readonly remainingMs: number;
  readonly timeoutMs: number;
}

export interface Carrier {
  /** The request's body for as many tries as `rules` allow. */
  bodyOf(x: Exchange, rules: BodyRules): OutboundBody;
  /** The answer at its response headers, or TIMED_OUT; rejects when there is none. Throws only bugs. */
  readonly send: (x: Exchange, sending: Sending) => Promise<Response | typeof TIMED_OUT>;
  /** An answer whose fields may be edited; its body is the object that `send` gave. */
  receive(answer: Response): Response;
}
