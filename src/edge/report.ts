// Tells telemetry how a request ended.

import { PROBLEMS } from "../http/problem.ts";
import { className } from "./class-names.ts";
import { consumerAt } from "./engine.ts";
import type { Exchange } from "./exchange.ts";
import { Verdict, problemOf } from "./verdict.ts";

/** `reportAnswer` for a delivery, whose client is gone: without an answer the status is the problem's. */
export function reportDelivery(x: Exchange, verdict: Verdict, now: number): void {
  const refusal = verdict === Verdict.admit ? null : PROBLEMS[problemOf(verdict)].status;
  reportAnswer(x, verdict, refusal ?? x.response?.status ?? PROBLEMS.internal_error.status, now);
}

/** Counts the answer and, when the log wants it, writes its line. */
export function reportAnswer(x: Exchange, verdict: Verdict, status: number, now: number): void {
  const { telemetry } = x.engine;
  const code = verdict === Verdict.admit ? null : problemOf(verdict);
  const durationMs = now - x.startedAt;
  telemetry.answered(x.request.method, x.route?.index ?? -1, status, code, durationMs);
  if (!telemetry.accessLog.wants(now)) return;
  telemetry.logRequest(
    {
      requestId: x.requestId,
      traceId: x.traceId,
      method: x.request.method,
      path: x.rawPath,
      query: x.query,
      route: x.route?.name ?? null,
      upstream: x.upstream?.plan.name ?? null,
      consumer: consumerAt(x.engine, x.consumer)?.name ?? null,
      class: className(x.trafficClass),
      status,
      code,
      tries: x.tries,
      durationMs,
      failure: x.failure,
    },
    now,
  );
}
