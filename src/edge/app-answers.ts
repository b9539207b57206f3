// Answers that the pipeline did not make: of what a team has added to the app, and of bugs outside the
// pipeline. They carry a request id as all answers do.

import { problemBody } from "../http/problem.ts";
import { isAcceptableRequestId } from "../http/request-id.ts";

/** What Hono's middleware throws in order to answer, such as a 401 of `bearerAuth`. */
interface ThrownAnswer extends Error {
  getResponse(): Response;
}

/** The answer that was thrown, or that to a bug. */
export function answerThrown(error: Error | ThrownAnswer, request: Request): Response {
  return "getResponse" in error ? error.getResponse() : answerBug(error, request);
}

/** A bug outside the pipeline, or bindings that are missing: logged with its stack, answered without it. */
export function answerBug(thrown: unknown, request: Request): Response {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  const requestId = requestIdOf(request);
  const time = new Date().toISOString();
  console.error(JSON.stringify({ time, level: "error", event: "bug", requestId, stack: error.stack }));
  const headers = { "content-type": "application/problem+json", "x-request-id": requestId };
  return new Response(problemBody("internal_error", requestId, {}), { status: 500, headers });
}

/** The same answer, with a request id if it has none. A switch of protocols stays the object that it is. */
export function withRequestId(answer: Response, request: Request): Response {
  if (answer.status === 101 || answer.headers.has("x-request-id")) return answer;
  const named = new Response(answer.body, answer);
  named.headers.set("x-request-id", requestIdOf(request));
  return named;
}

function requestIdOf({ headers }: Request): string {
  const given = headers.get("x-request-id");
  return given !== null && isAcceptableRequestId(given) ? given : crypto.randomUUID();
}
