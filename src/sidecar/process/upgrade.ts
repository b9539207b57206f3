// WebSocket upgrades: the one hop-by-hop request that passes. Node's own client tells a refusal from an
// upgrade; once it is upgraded, bytes go both ways untouched until one side ends.

import { request as requestHttp } from "node:http";
import type { IncomingMessage } from "node:http";
import { request as requestHttps } from "node:https";
import type { Duplex } from "node:stream";
import type { Sending } from "../../edge/carrier.ts";
import type { Exchange } from "../../edge/exchange.ts";
import { TIMED_OUT } from "../../edge/timeout.ts";
import { AnswerBody, Answered, asResponse } from "./answered.ts";
import type { TargetConnections } from "./carrier.ts";
import { Fields } from "./fields.ts";
import { incomingOf } from "./incoming.ts";

/** Asks for the upgrade; the answer is a 101 with its connection, or whatever the upstream says instead. */
export function openTunnel(
  x: Exchange,
  { path, timeoutMs }: Sending,
  fields: Fields,
  { origin, basePath, host }: TargetConnections,
): Promise<Response | typeof TIMED_OUT> {
  fields.set("connection", "upgrade");
  if (!fields.has("host")) fields.set("host", host);
  const send = origin.startsWith("https:") ? requestHttps : requestHttp;
  const incoming = incomingOf(x.request);
  return new Promise((resolve, reject) => {
    const outgoing = send(origin + basePath + path, {
      method: incoming.method,
      headers: fields.toRaw(),
      setHost: false,
      agent: false,
    });
    const giveUp = (): void => void outgoing.destroy(new Error("the client hung up"));
    const timer = setTimeout(() => {
      resolve(TIMED_OUT);
      outgoing.destroy();
    }, timeoutMs);
    const settle = (answered: Answered): void => {
      clearTimeout(timer);
      incoming.onGone = null;
      resolve(asResponse(answered));
    };
    incoming.onGone = giveUp;
    outgoing.on("upgrade", (answer: IncomingMessage, socket: Duplex, head: Buffer) =>
      settle(new Answered(101, Fields.ofRaw(answer.rawHeaders), null, { socket, head })),
    );
    outgoing.on("response", (answer) => settle(bodyOf(answer)));
    outgoing.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    outgoing.end();
    if (incoming.gone) giveUp();
  });
}

/** Lets bytes pass both ways until both sides have ended or one has broken off. */
export function joinSockets(one: Duplex, other: Duplex): void {
  one.on("error", () => other.destroy());
  other.on("error", () => one.destroy());
  one.on("close", () => other.destroy());
  other.on("close", () => one.destroy());
  one.pipe(other);
  other.pipe(one);
}

function bodyOf(answer: IncomingMessage): Answered {
  const body = new AnswerBody({
    pause: () => void answer.pause(),
    resume: () => void answer.resume(),
    abort: (reason) => void answer.destroy(reason),
    aborted: false,
    paused: false,
    reason: null,
  });
  answer.on("data", (chunk: Buffer) => body.take(chunk));
  answer.on("end", () => body.end());
  answer.on("error", () => body.fail());
  return new Answered(answer.statusCode ?? 0, Fields.ofRaw(answer.rawHeaders), body);
}
