// The spans of a request, made of what the pipeline has noted, once it is over. Nothing here can hurt it.
//
//   SERVER request -+- CLIENT try, for each that left for a target
//                   +- PRODUCER send -+- INTERNAL wait, from its acceptance to the first delivery
//                                     +- CONSUMER process, for each delivery -+- CLIENT try

import type { TrafficClass } from "../resilience/level.ts";
import { formatTraceparent, isSampled, parseTraceparent } from "../http/trace-context.ts";
import type { Span } from "../telemetry/span.ts";
import { SpanKind } from "../telemetry/span.ts";
import { redactQuery } from "../telemetry/access-log.ts";
import { methodLabel } from "../telemetry/http-method.ts";
import { className } from "./class-names.ts";
import type { Engine } from "./engine.ts";
import type { Exchange } from "./exchange.ts";
import { newSpanId } from "./identity.ts";
import {
  MAX_URL_CHARS,
  addressOf,
  decisionOf,
  isNameless,
  messagingOf,
  methodOf,
  producerSpans,
  spanOf,
  trySpan,
  waitOf,
  waitSpans,
} from "./spans.ts";
import { Verdict, problemOf } from "./verdict.ts";

type Keep = (work: Promise<unknown>) => void;

/** A job or an event on its way, as far as its trace tells of it. */
export interface TracedJob {
  readonly id: string;
  readonly attempt: number;
  readonly deferrals?: number;
  readonly acceptedAt: number;
  readonly priority: TrafficClass;
  readonly traceparent: string | null;
}

/** The `traceparent` of what a try sends: the try itself is the parent. */
export function tryTraceparent({ engine, trace, traceId, traceFlags }: Exchange): string {
  const spanId = trace?.tries.at(-1)?.spanId ?? newSpanId(engine.random);
  return formatTraceparent(traceId, spanId, traceFlags);
}

/** The `traceparent` of what is stored for later, under a queue's name or an event's type. */
export function storedTraceparent(x: Exchange, destination: string): string {
  const spanId = newSpanId(x.engine.random);
  if (x.trace !== null) {
    x.trace.produced = { spanId, destination, startMs: Date.now(), endMs: null, id: null };
  }
  return formatTraceparent(x.traceId, spanId, x.traceFlags);
}

/** A wait in a line, which counts as such where the request is traced. */
export function waited<Value>({ trace }: Exchange, wait: Promise<Value>): Promise<Value> {
  if (trace === null) return wait;
  const since = Date.now();
  return wait.finally(() => (trace.waitedMs += Date.now() - since));
}

/** Hands on the spans of a request that is answered. */
export function traceRequest(x: Exchange, verdict: Verdict, status: number, now: number): void {
  record(x, now, () => {
    const { request, inbound, route } = x;
    const method = methodLabel(request.method);
    const verb = isNameless(method) ? "HTTP" : method;
    const isSecure = request.url.startsWith("https:");
    const isError = status >= 500;
    const type = verdict === Verdict.admit ? String(status) : problemOf(verdict);
    const name = route === null ? verb : `${verb} ${route.path}`;
    const span = spanOf(x, name, SpanKind.server, isError, now, {
      ...methodOf(request.method),
      "url.scheme": isSecure ? "https" : "http",
      "url.path": x.rawPath.slice(0, MAX_URL_CHARS),
      "url.query": x.query.length > 1 ? redactQuery(x.query.slice(1)) : null,
      ...addressOf(inbound.host, isSecure),
      "http.route": route?.path ?? null,
      "http.response.status_code": status,
      "error.type": isError ? type : null,
      ...decisionOf(x, verdict),
    });
    return [span];
  });
}

/** Hands on the spans of a delivery through the pipeline. */
export function traceDelivery(
  x: Exchange,
  verdict: Verdict,
  job: TracedJob,
  from: string,
  now: number,
): void {
  record(x, now, () => {
    const type = failureOf(x, verdict);
    const span = spanOf(x, `process ${from}`, SpanKind.consumer, type !== null, now, {
      ...messagingOf("process", from, job.id),
      ...waitOf(job, x.startedAt),
      "error.type": type,
      ...decisionOf(x, verdict),
    });
    return [span, ...waitSpans(x.engine, job, span, from)];
  });
}

/** Hands on the spans of a call that no client waits for, such as a saga's step. */
export function traceCall(x: Exchange, verdict: Verdict, now: number): void {
  record(x, now, () => {
    const type = failureOf(x, verdict);
    const attributes = { "error.type": type, ...decisionOf(x, verdict) };
    const name = `call ${x.upstream?.plan.name ?? ""}`;
    return [spanOf(x, name, SpanKind.internal, type !== null, now, attributes)];
  });
}

/** Why a call amounted to nothing: the problem's code, or the answer's status; null: it went well. */
function failureOf({ response }: Exchange, verdict: Verdict): string | null {
  if (verdict !== Verdict.admit) return problemOf(verdict);
  if (response === null) return "_OTHER";
  return response.status >= 400 ? String(response.status) : null;
}

/** Hands on the spans of an event that went past the pipeline: `error` is what kept it, null: nothing. */
export function traceEvent(
  engine: Engine,
  job: TracedJob,
  from: string,
  {
    startedAt,
    now,
    error,
  }: { readonly startedAt: number; readonly now: number; readonly error: string | null },
  keep: Keep,
): void {
  const exporter = engine.telemetry.tracer?.exporter ?? null;
  const parent = job.traceparent === null ? null : parseTraceparent(job.traceparent);
  if (exporter === null || parent === null || !isSampled(parent.flags)) return;
  const span: Span = {
    traceId: parent.traceId,
    spanId: newSpanId(engine.random),
    parentSpanId: parent.parentId,
    isParentRemote: true,
    traceState: null,
    name: `process ${from}`,
    kind: SpanKind.consumer,
    startMs: startedAt,
    endMs: now,
    isError: error !== null,
    attributes: {
      ...messagingOf("process", from, job.id),
      ...waitOf(job, startedAt),
      "error.type": error,
      "tidegate.class": className(job.priority),
    },
  };
  exporter.add([span, ...waitSpans(engine, job, span, from)], keep);
}

/** Sends what `build` makes of an exchange whose trace is recorded, and what it has sent and stored. */
function record(x: Exchange, now: number, build: () => readonly Span[]): void {
  const { trace, engine } = x;
  const exporter = engine.telemetry.tracer?.exporter ?? null;
  if (trace === null || !trace.isRecorded || exporter === null) return;
  try {
    // A bug on the way may have left one open.
    trace.end(now, null, "internal_error");
    const tries = trace.tries.map((tried, index) => trySpan(x, tried, index, now));
    exporter.add([...build(), ...tries, ...producerSpans(x)], (work) => x.shell.waitUntil(work));
  } catch (error) {
    engine.telemetry.bug(x.requestId, error, now);
  }
}
