// How this process sends: connections that are kept to each target, and tries that end when their time is
// over or their client has gone. The fields are the pipeline's; the peer's identity is added here, behind
// everything that a client could name in `Connection`.

import type { Carrier, Sending } from "../../edge/carrier.ts";
import type { Target } from "../../edge/engine.ts";
import type { Exchange } from "../../edge/exchange.ts";
import { isUpgrade, writeUpstreamFields } from "../../edge/outbound-request.ts";
import { TIMED_OUT } from "../../edge/timeout.ts";
import { Pool } from "undici";
import type { Dispatcher } from "undici";
import { AnswerBody, Answered, asResponse } from "./answered.ts";
import { Fields } from "./fields.ts";
import type { Incoming } from "./incoming.ts";
import { incomingOf } from "./incoming.ts";
import { createStreamBody, isStreamBody } from "./request-body.ts";
import { openTunnel } from "./upgrade.ts";

/** Longest wait for a connection. Whoever waits is given up earlier, by its own timeout. */
const CONNECT_TIMEOUT_MS = 10_000;
/** An idle connection is kept so long. Below what servers commonly keep theirs (5 s and more). */
const KEEP_ALIVE_MS = 4_000;

export const IDENTITY_FIELD = "x-forwarded-client-cert";

export interface CarrierOptions {
  /** Whether the peer's identity is written, and what the client says of it removed. */
  readonly tellsIdentity: boolean;
  /** Base URL of the target that sees the `host` that was asked for: the service behind the sidecar. */
  readonly keepsHostFor: string | null;
}

export interface TargetConnections {
  readonly origin: string;
  readonly pool: Pool;
  /** Of the target's URL, without a slash at its end. */
  readonly basePath: string;
  readonly host: string;
}

/** Connections to all targets, opened as they are needed. */
export class Connections {
  readonly #byBaseUrl = new Map<string, TargetConnections>();

  to({ baseUrl }: Target): TargetConnections {
    const known = this.#byBaseUrl.get(baseUrl);
    if (known !== undefined) return known;
    const { origin, pathname, host } = new URL(baseUrl);
    const connections = {
      origin,
      // Time is measured by tries; a body may stream for as long as it likes.
      pool: new Pool(origin, {
        headersTimeout: 0,
        bodyTimeout: 0,
        keepAliveTimeout: KEEP_ALIVE_MS,
        connect: { timeout: CONNECT_TIMEOUT_MS },
        allowH2: false,
      }),
      basePath: pathname === "/" ? "" : pathname.replace(/\/$/, ""),
      host,
    };
    this.#byBaseUrl.set(baseUrl, connections);
    return connections;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#byBaseUrl.values()].map(({ pool }) => pool.destroy()));
  }
}

export function createCarrier(connections: Connections, options: CarrierOptions): Carrier {
  return {
    bodyOf: (x, rules) => createStreamBody(incomingOf(x.request), rules),
    receive: (answer) => answer,
    send(x, sending) {
      const fields = fieldsOf(x, sending, options);
      const to = connections.to(sending.target);
      return isUpgrade(x) ? openTunnel(x, sending, fields, to) : sendTry(x, sending, fields, to);
    },
  };
}

function fieldsOf(x: Exchange, { target, remainingMs }: Sending, options: CarrierOptions): Fields {
  const incoming = incomingOf(x.request);
  const fields = incoming.headers.copy();
  writeUpstreamFields(fields, x, remainingMs);
  if (options.tellsIdentity) {
    if (incoming.identity === null) fields.delete(IDENTITY_FIELD);
    else fields.set(IDENTITY_FIELD, incoming.identity);
  }
  if (x.inbound.host !== null && target.baseUrl === options.keepsHostFor) fields.set("host", x.inbound.host);
  return fields;
}

function sendTry(
  x: Exchange,
  { path, body, timeoutMs }: Sending,
  fields: Fields,
  { origin, pool, basePath }: TargetConnections,
): Promise<Response | typeof TIMED_OUT> {
  if (!isStreamBody(body)) throw new Error("a body of another runtime");
  const incoming = incomingOf(x.request);
  return new Promise((resolve, reject) => {
    const attempt = new Try(incoming, timeoutMs, resolve, reject);
    const headers = fields.toRaw();
    body.send((payload) => {
      if (attempt.isOver) return;
      pool.dispatch(
        { origin, path: basePath + path, method: incoming.method, headers, body: payload },
        attempt,
      );
    });
  });
}

/** One request of a connection; it is settled once: by the answer, by its time, or by a failure. */
class Try implements Dispatcher.DispatchHandler {
  readonly #incoming: Incoming;
  readonly #resolve: (answer: Response | typeof TIMED_OUT) => void;
  readonly #reject: (error: Error) => void;
  readonly #timer: NodeJS.Timeout;
  #controller: Dispatcher.DispatchController | null = null;
  #givenUp: Error | null = null;
  #body: AnswerBody | null = null;

  constructor(
    incoming: Incoming,
    timeoutMs: number,
    resolve: (answer: Response | typeof TIMED_OUT) => void,
    reject: (error: Error) => void,
  ) {
    this.#incoming = incoming;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#timer = setTimeout(() => {
      this.#resolve(TIMED_OUT);
      this.#giveUp(new Error("no answer in time"));
    }, timeoutMs);
    incoming.onGone = () => this.#giveUp(new Error("the client hung up"));
    if (incoming.gone) this.#giveUp(new Error("the client hung up"));
  }

  /** Given up before anything was sent: nothing is to be sent any more. */
  get isOver(): boolean {
    return this.#givenUp !== null;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#givenUp !== null) controller.abort(this.#givenUp);
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    // 100 to 199 but 101 are not carried.
    if (status < 200) return;
    this.#settle();
    this.#body = new AnswerBody(controller);
    this.#resolve(asResponse(new Answered(status, Fields.ofRecord(headers), this.#body)));
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#body?.take(chunk);
  }

  onResponseEnd(): void {
    this.#body?.end();
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    this.#settle();
    if (this.#body === null) this.#reject(error);
    else this.#body.fail();
  }

  #giveUp(reason: Error): void {
    this.#settle();
    this.#givenUp = reason;
    this.#controller?.abort(reason);
    this.#reject(reason);
  }

  #settle(): void {
    clearTimeout(this.#timer);
    this.#incoming.onGone = null;
  }
}
