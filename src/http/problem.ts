// What a client gets when the gateway answers itself: a problem body (RFC 9457) and, where an upstream was
// involved, a `Proxy-Status` field (RFC 9209).

import { PROBLEMS, type ProblemCode } from "./problem-table.ts";
import { quoteString } from "./quoted-string.ts";

export { PROBLEMS, type Problem, type ProblemCode } from "./problem-table.ts";

const TOKEN = /^[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*$/;

/**
 * The JSON of a problem: the standard members, then the extras. An extra `detail` replaces the standard
 * sentence; no other extra replaces a standard member. `status` is for problems that have two statuses.
 */
export function problemBody(
  code: ProblemCode,
  requestId: string,
  extra: Record<string, string | number | readonly string[]>,
  status: number = PROBLEMS[code].status,
): string {
  const { title, detail } = PROBLEMS[code];
  const fixed = { type: `/_gateway/problems/${code}`, title, status };
  const named = { code, requestId };
  return JSON.stringify({ ...fixed, detail, ...named, ...extra, ...fixed, ...named });
}

/** The value of `proxy-status`: `tidegate; error=http_response_timeout; next-hop="payments"`. */
export function proxyStatus(gateway: string, error: string, upstream: string): string {
  const identity = TOKEN.test(gateway) ? gateway : quoteString(gateway);
  return `${identity}; error=${error}; next-hop=${quoteString(upstream)}`;
}
