// What the stages of the pipeline say: small integers, 0 to go on. Each refusal belongs to one problem.

import type { ProblemCode } from "../http/problem.ts";

export const Verdict = {
  admit: 0,
  badPath: 1,
  badRequest: 2,
  headersTooLarge: 3,
  loopDetected: 4,
  routeNotFound: 5,
  methodNotAllowed: 6,
  unauthorized: 7,
  forbidden: 8,
  bodyTooLarge: 9,
  rateLimited: 10,
  quotaExceeded: 11,
  shed: 12,
  tenantConcurrency: 13,
  routeConcurrency: 14,
  upstreamConcurrency: 15,
  circuitOpen: 16,
  noTarget: 17,
  deadlineExceeded: 18,
  upstreamUnreachable: 19,
  upstreamInvalid: 20,
  upstreamTimeout: 21,
  internalError: 22,
  backlogFull: 23,
  notAccepted: 24,
  idempotencyKeyRequired: 25,
  idempotencyConflict: 26,
  idempotencyInFlight: 27,
} as const;

export type Verdict = (typeof Verdict)[keyof typeof Verdict];

const CODES: Record<Exclude<Verdict, 0>, ProblemCode> = {
  [Verdict.badPath]: "bad_path",
  [Verdict.badRequest]: "bad_request",
  [Verdict.headersTooLarge]: "headers_too_large",
  [Verdict.loopDetected]: "loop_detected",
  [Verdict.routeNotFound]: "route_not_found",
  [Verdict.methodNotAllowed]: "method_not_allowed",
  [Verdict.unauthorized]: "unauthorized",
  [Verdict.forbidden]: "forbidden",
  [Verdict.bodyTooLarge]: "body_too_large",
  [Verdict.rateLimited]: "rate_limited",
  [Verdict.quotaExceeded]: "quota_exceeded",
  [Verdict.shed]: "shed",
  [Verdict.tenantConcurrency]: "concurrency_limit",
  [Verdict.routeConcurrency]: "concurrency_limit",
  [Verdict.upstreamConcurrency]: "concurrency_limit",
  [Verdict.circuitOpen]: "circuit_open",
  [Verdict.noTarget]: "no_target",
  [Verdict.deadlineExceeded]: "deadline_exceeded",
  [Verdict.upstreamUnreachable]: "upstream_unreachable",
  [Verdict.upstreamInvalid]: "upstream_invalid",
  [Verdict.upstreamTimeout]: "upstream_timeout",
  [Verdict.internalError]: "internal_error",
  [Verdict.backlogFull]: "backlog_full",
  [Verdict.notAccepted]: "not_accepted",
  [Verdict.idempotencyKeyRequired]: "idempotency_key_required",
  [Verdict.idempotencyConflict]: "idempotency_conflict",
  [Verdict.idempotencyInFlight]: "idempotency_in_flight",
};

export function problemOf(verdict: Exclude<Verdict, 0>): ProblemCode {
  return CODES[verdict];
}

/** Whether a route's `fallback` may answer instead (the client could do nothing about it). */
export function mayFallBack(verdict: Verdict): boolean {
  return (
    verdict === Verdict.shed ||
    (verdict >= Verdict.tenantConcurrency && verdict <= Verdict.circuitOpen) ||
    (verdict >= Verdict.deadlineExceeded && verdict <= Verdict.upstreamTimeout)
  );
}
