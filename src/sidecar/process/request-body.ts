// The body of a request on its way upstream: chunk by chunk as it arrives, counted against the route's limit.
// What fits in 64 KiB is kept for another try. A body that cannot be sent whole breaks the try, it never ends
// it. A try that fails takes nothing of the client's connection along: its answer has still to be written.

import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import type { BodyArrival, BodyRules, OutboundBody } from "../../edge/outbound-body.ts";
import { MAX_KEPT_BYTES } from "../../edge/outbound-body.ts";
import type { Incoming } from "./incoming.ts";

/** What a try sends: nothing, all of it, or what is still coming. */
export type Payload = null | Buffer | Readable;

/** An OutboundBody whose tries send what Node's clients take. */
export interface StreamBody extends OutboundBody {
  /** Calls back with what the next try sends: at once, or when this turn of the event loop is over. */
  send(begin: (payload: Payload) => void): void;
}

export function isStreamBody(body: OutboundBody): body is StreamBody {
  return "send" in body;
}

const BROKEN = "the client did not send its whole body";

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

  send = (begin: (payload: Payload) => void): void => begin(null);
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
  /** Its length is known and small: most often it is here with the fields. */
  readonly #isSmall: boolean;
  /** null: too much to keep, or nothing to keep it for. */
  #kept: Buffer[] | null;
  #bytes = 0;
  #isTooLarge = false;
  #current: Readable | null = null;
  #isFollowed = false;

  constructor(incoming: Incoming, message: IncomingMessage, rules: BodyRules) {
    this.#incoming = incoming;
    this.#message = message;
    this.#limitBytes = rules.limitBytes;
    this.#isSmall = rules.contentLength !== null && Number(rules.contentLength) <= MAX_KEPT_BYTES;
    this.#kept = this.#isSmall || (rules.keep && rules.contentLength === null) ? [] : null;
  }

  /** A body in one piece leaves with the fields, for half the work that a stream takes. */
  send(begin: (payload: Payload) => void): void {
    this.#follow();
    if (!this.#isSmall) return begin(this.#stream());
    const whole = this.#whole();
    if (whole !== null) return begin(whole);
    setImmediate(() => begin(this.#whole() ?? this.#stream()));
  }

  #whole(): Buffer | null {
    const kept = this.#kept;
    if (kept === null || !this.#message.readableEnded) return null;
    return kept.length === 1 ? kept[0] : Buffer.concat(kept);
  }

  #stream(): Readable {
    const current = new Readable({ read: () => this.#message.resume() });
    // A try that has failed is told of by the try itself; what still arrives of its body is nobody's.
    current.on("error", () => {});
    current.on("close", () => this.#message.resume());
    for (const chunk of this.#kept ?? []) current.push(chunk);
    this.#current = current;
    const { readableEnded, complete, destroyed } = this.#message;
    if (readableEnded) current.push(null);
    else if (destroyed && !complete) current.destroy(new Error(BROKEN));
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
    if (this.#isFollowed) return;
    this.#isFollowed = true;
    const message = this.#message;
    message.on("data", (chunk: Buffer) => this.#take(chunk));
    message.on("end", () => this.#current?.push(null));
    const broken = (): void => {
      if (!message.complete) this.#current?.destroy(new Error(BROKEN));
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
