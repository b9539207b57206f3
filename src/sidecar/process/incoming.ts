// A request as Node's server has parsed it, in the shape that the pipeline reads: method, url, fields, body.

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Fields } from "./fields.ts";

/** Stands in for the authority: who was asked for is in the `host` field, which the pipeline checks. */
const AUTHORITY = "sidecar";

export class Incoming {
  readonly method: string;
  readonly url: string;
  readonly headers: Fields;
  /** The message itself where it has a body. Whoever takes it as a Web stream gets an iterable of chunks. */
  readonly body: IncomingMessage | null;
  /** Of the peer's certificate, as `x-forwarded-client-cert` shows it; null: it has proved none. */
  readonly identity: string | null;
  /** Whether the client has hung up, and what is to be done when it does. */
  gone = false;
  onGone: (() => void) | null = null;

  /** `target`: path and query as the client wrote them. */
  constructor(
    message: IncomingMessage,
    target: string,
    headers: Fields,
    isSecure: boolean,
    identity: string | null,
  ) {
    this.method = message.method ?? "GET";
    this.url = `${isSecure ? "https" : "http"}://${AUTHORITY}${target}`;
    this.headers = headers;
    this.body = hasBody(headers) ? message : null;
    this.identity = identity;
  }

  /** Learns of a client that hangs up before its answer is complete. */
  follow(response: ServerResponse): void {
    response.once("close", () => {
      if (response.writableFinished) return;
      this.gone = true;
      this.onGone?.();
    });
  }
}

/** The pipeline's view of it: it reads nothing of a request but what is here. */
export function asRequest(incoming: Incoming): Request {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the pipeline reads these fields alone
  return incoming as unknown as Request;
}

/** What `asRequest` was given. */
export function incomingOf(request: Request): Incoming {
  if (!(request instanceof Incoming)) throw new Error("not a request of this process");
  return request;
}

function hasBody(headers: Fields): boolean {
  const length = headers.get("content-length");
  return headers.has("transfer-encoding") || (length !== null && length !== "0");
}
