// An upstream's answer: its status and fields, and a body that goes straight from the upstream's connection
// to the client's. Until somebody takes the body a little of it is kept, then the connection pauses.

import type { ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { Dispatcher } from "undici";
import type { Fields } from "./fields.ts";

/** So much of a body may wait for the pipeline to look at the answer's fields. */
export const MAX_WAITING_BYTES = 64 * 1024;

export class Answered {
  readonly status: number;
  readonly headers: Fields;
  readonly body: AnswerBody | null;
  /** The connection that a 101 has opened, and what came on it with the answer. */
  readonly tunnel: { readonly socket: Duplex; readonly head: Buffer } | null;

  constructor(status: number, headers: Fields, body: AnswerBody | null, tunnel: Answered["tunnel"] = null) {
    this.status = status;
    this.headers = headers;
    this.body = body;
    this.tunnel = tunnel;
  }
}

/** The pipeline's view of it: it reads the status, edits the fields, and may cancel the body. */
export function asResponse(answered: Answered): Response {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the pipeline uses these members alone
  return answered as unknown as Response;
}

export function isAnswered(response: unknown): response is Answered {
  return response instanceof Answered;
}

export class AnswerBody {
  readonly #controller: Dispatcher.DispatchController;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #ended = false;
  #failed = false;
  #response: ServerResponse | null = null;

  constructor(controller: Dispatcher.DispatchController) {
    this.#controller = controller;
  }

  /** The upstream has sent more of it. */
  take(chunk: Buffer): void {
    const response = this.#response;
    if (response === null) {
      this.#waiting.push(chunk);
      this.#waitingBytes += chunk.length;
      if (this.#waitingBytes > MAX_WAITING_BYTES) this.#controller.pause();
    } else if (!response.write(chunk)) this.#controller.pause();
  }

  end(): void {
    this.#ended = true;
    this.#response?.end();
  }

  /** The upstream has broken off: what the client has got must not look complete. */
  fail(): void {
    this.#failed = true;
    this.#response?.destroy();
  }

  /** Hands it on, to a response whose fields are written. */
  sendTo(response: ServerResponse): void {
    this.#response = response;
    if (this.#failed) {
      response.destroy();
      return;
    }
    const [only] = this.#waiting;
    if (this.#ended) {
      if (this.#waiting.length === 1) response.end(only);
      else response.end(Buffer.concat(this.#waiting));
      return;
    }
    for (const chunk of this.#waiting) response.write(chunk);
    this.#waiting = [];
    response.flushHeaders();
    response.on("drain", () => this.#controller.resume());
    response.on("close", () => {
      if (!this.#ended) this.#controller.abort(new Error("the client hung up"));
    });
    if (!response.writableNeedDrain) this.#controller.resume();
  }

  /** Nobody wants it. */
  cancel(): Promise<void> {
    if (!this.#ended) this.#controller.abort(new Error("the answer was not wanted"));
    return Promise.resolve();
  }
}
