// Writes the pipeline's answer to a client's connection: an upstream's with its body as it streams, or one
// that the pipeline made itself.

import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { isAnswered } from "./answered.ts";

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
  // What a client still sends of a body that nobody wants must not be taken for its next request.
  if (isLast || !message.complete) response.shouldKeepAlive = false;
  if (isAnswered(answer)) {
    response.writeHead(answer.status, answer.headers.toRaw());
    if (answer.body === null) response.end();
    else answer.body.sendTo(response);
    return;
  }
  await writeOwn(response, answer);
}

async function writeOwn(response: ServerResponse, answer: Response): Promise<void> {
  response.writeHead(answer.status, [...answer.headers].flat());
  if (answer.body === null) {
    response.end();
    return;
  }
  for await (const chunk of Readable.fromWeb(answer.body)) response.write(chunk);
  response.end();
}
