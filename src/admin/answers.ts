// What the handlers of the admin surface share: problems with a sentence of their own, and bodies.

import { makeProblem } from "../edge/answer.ts";
import type { Exchange } from "../edge/exchange.ts";
import type { ProblemCode } from "../http/problem.ts";

/** More bytes than this in a body of the admin surface are refused. */
export const MAX_ADMIN_BODY_BYTES = 64 * 1024;

export function problem(x: Exchange, code: ProblemCode, detail: string): Response {
  return makeProblem(x, code, { detail }, new Headers());
}

/** The region's hub did not answer, or there is none. */
export function notAnswered(x: Exchange): Response {
  const headers = new Headers({ "retry-after": "1" });
  return makeProblem(
    x,
    "not_accepted",
    { detail: "The region's hub did not answer: try again in a second.", retryAfter: 1 },
    headers,
  );
}

/** A body's JSON; undefined for anything else. */
export async function readJson(request: Request): Promise<unknown> {
  const text = await request.text();
  if (text.length > MAX_ADMIN_BODY_BYTES) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
