// Writes the pipeline's answer to a client's connection: an upstream's with its body as it streams, or one
// that the pipeline made itself.

import type { IncomingMessage, ServerResponse } from "node:http";
import { isAnswered } from "./answered.ts";

/** So much of a body that nobody wants is read before the next request of its connection. */
const MAX_UNWANTED_BYTES = 64 * 1024;

/** Writes an answer. `isLast`: the connection ends with it. */
export async function writeAnswer(
  message: IncomingMessage,
  response: ServerResponse,
  answer: Response,
  isLast: boolean,
): Promise<void> {
  if (response.destroyed) {
    await answer.body?.cancel();
    return;
  }
  if (isLast || leavesMuchUnread(message)) response.shouldKeepAlive = false;
  if (isAnswered(answer)) {
    response.writeHead(answer.status, answer.headers.toRaw());
    if (answer.body === null) response.end();
    else answer.body.sendTo(response);
    return;
  }
  await writeOwn(response, answer);
}

async function writeOwn(response: ServerResponse, answer: Response): Promise<void> {
  const fields = [...answer.headers].flat();
  if (answer.body === null) {
    response.writeHead(answer.status, fields).end();
    return;
  }
  // These are problems, fallbacks and pages: texts of known size.
  const body = Buffer.from(await answer.arrayBuffer());
  response.writeHead(answer.status, [...fields, "content-length", String(body.length)]).end(body);
}

/** Whether a client is still sending a body that nobody reads: its rest would have to be waited for. */
function leavesMuchUnread({ complete, headers }: IncomingMessage): boolean {
  const length = headers["content-length"];
  if (complete || (length === undefined && headers["transfer-encoding"] === undefined)) return false;
  return length === undefined || Number(length) > MAX_UNWANTED_BYTES;
}
