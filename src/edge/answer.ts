// What the client gets: the upstream's answer with the gateway's fields, a route's fallback, or a
// problem. The body of an upstream's answer is handed through as the object that fetch gave.

import type { FallbackPlan } from "../config/plan.ts";
import { removeHopByHop } from "../http/hop-by-hop.ts";
import type { ProblemCode } from "../http/problem.ts";
import { PROBLEMS, problemBody, proxyStatus } from "../http/problem.ts";
import { retryAfterSeconds } from "../http/retry-after.ts";
import type { Exchange } from "./exchange.ts";
import { MAX_HEADER_BYTES } from "./inbound-headers.ts";
import { allowedMethods } from "./route-table.ts";
import { serverTiming } from "./server-timing.ts";
import { Verdict, mayFallBack, problemOf } from "./verdict.ts";

/** Where waiting helps but nobody knows how long. */
const DEFAULT_RETRY_AFTER_MS = 1000;

/** The upstream's answer, its hop-by-hop fields removed and ours added. */
export function passAnswer(x: Exchange, answer: Response): Response {
  const response = x.engine.carrier.receive(answer);
  const { headers } = response;
  if (answer.status !== 101) removeHopByHop(headers, false);
  if (x.route !== null) {
    const edit = x.engine.responseHeaders[x.route.index];
    for (const name of edit.remove) headers.delete(name);
    for (const [name, value] of edit.set) headers.set(name, value);
  }
  return sign(x, response);
}

/** The answer to a refusal: the route's fallback where it has one and may use it, else the problem. */
export function answerRefusal(x: Exchange, verdict: Exclude<Verdict, 0>): Response {
  const fallback = x.route?.fallback ?? null;
  if (fallback !== null && mayFallBack(verdict)) return answerFallback(x, fallback, verdict);
  return answerProblem(x, verdict);
}

function answerFallback(x: Exchange, fallback: FallbackPlan, verdict: Exclude<Verdict, 0>): Response {
  const code = problemOf(verdict);
  x.explanation?.note("fallback", code, { status: fallback.status });
  const body = x.request.method === "HEAD" || fallback.body === "" ? null : fallback.body;
  const headers = new Headers();
  for (const [name, value] of fallback.headers) headers.set(name, value);
  addProxyStatus(x, headers, code);
  return sign(x, new Response(body, { status: fallback.status, headers }));
}

function answerProblem(x: Exchange, verdict: Exclude<Verdict, 0>): Response {
  const code = problemOf(verdict);
  const status = verdict === Verdict.tenantConcurrency ? 429 : PROBLEMS[code].status;
  const headers = new Headers();
  const extra: ProblemMembers = {};
  if (status === 429 || status === 503 || verdict === Verdict.idempotencyInFlight) {
    extra["retryAfter"] = retryAfterSeconds(x.retryAfterMs > 0 ? x.retryAfterMs : DEFAULT_RETRY_AFTER_MS);
    headers.set("retry-after", String(extra["retryAfter"]));
  }
  if (x.limitRefused >= 0) extra["policy"] = x.engine.plan.limits[x.limitRefused].name;
  if (x.upstream !== null && involvesUpstream(verdict)) extra["upstream"] = x.upstream.plan.name;
  if (verdict === Verdict.tenantConcurrency) extra["tenant"] = x.engine.plan.tenants[x.tenant].name;
  if (verdict === Verdict.bodyTooLarge && x.route !== null) extra["limitBytes"] = x.route.bodyLimitBytes;
  if (verdict === Verdict.headersTooLarge) extra["limitBytes"] = MAX_HEADER_BYTES;
  if (x.queue !== null && verdict === Verdict.backlogFull) extra["queue"] = x.queue.name;
  if (x.saga !== null && verdict === Verdict.backlogFull) extra["saga"] = x.saga.name;
  if (x.event !== null && verdict === Verdict.backlogFull) extra["event"] = x.event;
  if (verdict === Verdict.unauthorized) {
    headers.set("www-authenticate", `ApiKey realm="${x.engine.plan.name}"`);
  }
  if (verdict === Verdict.methodNotAllowed) {
    const allowed = allowedMethods(x.engine.routes, x.path, x.inbound.host ?? "", x.request.headers);
    headers.set("allow", allowed.join(", "));
    extra["allowed"] = allowed;
  }
  addProxyStatus(x, headers, code);
  return makeProblem(x, code, { ...extra, ...x.problem }, headers, status);
}

export type ProblemMembers = Record<string, string | number | readonly string[]>;

/** A problem answer (RFC 9457) with the given members and fields. */
export function makeProblem(
  x: Exchange,
  code: ProblemCode,
  extra: ProblemMembers,
  headers: Headers,
  status: number = PROBLEMS[code].status,
): Response {
  headers.set("content-type", "application/problem+json");
  headers.set("cache-control", "no-store");
  const body = x.request.method === "HEAD" ? null : problemBody(code, x.requestId, extra, status);
  return sign(x, new Response(body, { status, headers }));
}

function involvesUpstream(verdict: Verdict): boolean {
  return verdict === Verdict.shed || verdict >= Verdict.upstreamConcurrency;
}

function addProxyStatus(x: Exchange, headers: Headers, code: ProblemCode): void {
  const { proxyError } = PROBLEMS[code];
  if (proxyError === undefined || x.upstream === null) return;
  headers.set("proxy-status", proxyStatus(x.engine.plan.name, proxyError, x.upstream.plan.name));
}

/** Every answer carries the request's id; limits and the decision where they are known and asked for. */
export function sign(x: Exchange, response: Response): Response {
  const { headers } = response;
  headers.set("x-request-id", x.requestId);
  if (x.rateLimit !== null) headers.set("ratelimit", x.rateLimit);
  if (x.rateLimit !== null && x.rateLimitPolicy !== null) headers.set("ratelimit-policy", x.rateLimitPolicy);
  if (x.explanation !== null) headers.set("x-tidegate-decision", x.explanation.toString());
  if (x.explanation !== null && x.trace !== null) {
    headers.append("server-timing", serverTiming(x.trace, x.startedAt, Date.now()));
  }
  return response;
}
