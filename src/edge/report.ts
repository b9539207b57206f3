// Tells telemetry how a request ended.

import { className } from "./checks.ts";
import { consumerAt } from "./engine.ts";
import type { Exchange } from "./exchange.ts";
import { Verdict, problemOf } from "./verdict.ts";

/** Counts the answer and, when the log wants it, writes its line. */
export function reportAnswer(x: Exchange, verdict: Verdict, status: number, now: number): void {
  const { telemetry } = x.engine;
  const code = verdict === Verdict.admit ? null : problemOf(verdict);
  const durationMs = now - x.startedAt;
  telemetry.answered(x.route?.index ?? -1, status, code, durationMs);
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
