// The body of a request on its way upstream: chunk by chunk as it arrives, counted against the route's limit.
// What fits in 64 KiB is kept for another try. A body that cannot be sent whole breaks the try, it never ends
// it. A try that fails takes nothing of the client's connection along: its answer has still to be written.

import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import type { BodyArrival, BodyRules, OutboundBody } from "../../edge/outbound-body.ts";
import { MAX_KEPT_BYTES } from "../../edge/outbound-body.ts";
import type { Incoming } from "./incoming.ts";

/** An OutboundBody whose tries send Node streams. */
export interface StreamBody extends OutboundBody {
  /** For the next try; null: there is none. */
  stream(): Readable | null;
}

export function isStreamBody(body: OutboundBody): body is StreamBody {
  return "stream" in body;
}

export function createStreamBody(incoming: Incoming, rules: BodyRules): StreamBody {
  const { body } = incoming;
  if (body === null) return new NoBody(incoming);
  return new RelayedBody(incoming, body, rules);
}

class NoBody implements StreamBody {
  readonly signal = null;
  readonly #incoming: Incoming;

  constructor(incoming: Incoming) {
    this.#incoming = incoming;
  }

  stream = (): null => null;
  next = (): null => null;
  repeatable = (): boolean => true;
  tooLarge = (): boolean => false;
  arrival = (): Promise<BodyArrival> => Promise.resolve(this.#incoming.gone ? "broken" : "whole");
  discard = (): void => {};
}

class RelayedBody implements StreamBody {
  readonly signal = null;
  readonly #incoming: Incoming;
  readonly #message: IncomingMessage;
  readonly #limitBytes: number;
  /** null: too much to keep, or nothing to keep it for. */
  #kept: Buffer[] | null;
  #bytes = 0;
  #isTooLarge = false;
  #current: Readable | null = null;

  constructor(incoming: Incoming, message: IncomingMessage, rules: BodyRules) {
    this.#incoming = incoming;
    this.#message = message;
    this.#limitBytes = rules.limitBytes;
    const isLarge = rules.contentLength !== null && Number(rules.contentLength) > MAX_KEPT_BYTES;
    this.#kept = rules.keep && !isLarge ? [] : null;
  }

  stream(): Readable {
    const isFirst = this.#current === null;
    const current = new Readable({ read: () => this.#message.resume() });
    // A try that has failed is told of by the try itself; what still arrives of its body is nobody's.
    current.on("error", () => {});
    current.on("close", () => this.#message.resume());
    for (const chunk of this.#kept ?? []) current.push(chunk);
    this.#current = current;
    if (isFirst) this.#follow();
    else if (this.#message.readableEnded) current.push(null);
    return current;
  }

  next = (): null => null;

  repeatable(): boolean {
    return this.#kept !== null && !this.#isTooLarge && !this.#incoming.gone;
  }

  tooLarge(): boolean {
    return this.#isTooLarge;
  }

  arrival(): Promise<BodyArrival> {
    return Promise.resolve(arrivalOf(this.#incoming, this.#message));
  }

  discard(): void {
    this.#kept = null;
  }

  #follow(): void {
    const message = this.#message;
    message.on("data", (chunk: Buffer) => this.#take(chunk));
    message.on("end", () => this.#current?.push(null));
    const broken = (): void => {
      if (!message.complete) this.#current?.destroy(new Error("the client did not send its whole body"));
    };
    message.on("error", broken);
    message.on("close", broken);
  }

  #take(chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#bytes > this.#limitBytes) {
      this.#isTooLarge = true;
      this.#kept = null;
      this.#current?.destroy(new Error("the body is larger than the route allows"));
      return;
    }
    if (this.#bytes > MAX_KEPT_BYTES) this.#kept = null;
    this.#kept?.push(chunk);
    const current = this.#current;
    // A body that is kept is small enough to go on arriving whatever its try does.
    if (current === null || current.destroyed) return;
    if (!current.push(chunk) && this.#kept === null) this.#message.pause();
  }
}

function arrivalOf(incoming: Incoming, message: IncomingMessage): BodyArrival {
  if (message.complete) return incoming.gone ? "broken" : "whole";
  return incoming.gone || message.destroyed ? "broken" : "arriving";
}
