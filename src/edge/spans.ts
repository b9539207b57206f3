// The parts that spans are made of: what OpenTelemetry's conventions for HTTP (stable) and messaging say, and
// what the gateway alone knows under `tidegate.`. No values of queries, no addresses of clients and no header
// fields are in them.
// https://opentelemetry.io/docs/specs/semconv/http/http-spans/
// https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/

import { redactQuery } from "../telemetry/access-log.ts";
import { methodLabel } from "../telemetry/http-method.ts";
import type { TriedSpan } from "../telemetry/request-trace.ts";
import type { Attributes, Span } from "../telemetry/span.ts";
import { SpanKind } from "../telemetry/span.ts";
import { className } from "./class-names.ts";
import type { Engine } from "./engine.ts";
import { consumerAt } from "./engine.ts";
import type { Exchange } from "./exchange.ts";
import { newSpanId } from "./identity.ts";
import type { TracedJob } from "./trace.ts";
import { Verdict, problemOf } from "./verdict.ts";

/** Of a path or a URL; the rest is left out. */
export const MAX_URL_CHARS = 2048;
/** What has to be handed on of `tracestate` (Trace Context 3.3.1.5); more is not kept in spans. */
export const MAX_TRACESTATE_CHARS = 512;

/** What came along of the client's own trace; null: nothing, or too much. */
function traceStateOf({ traceKept, inbound: { tracestate } }: Exchange): string | null {
  return traceKept && tracestate !== null && tracestate.length <= MAX_TRACESTATE_CHARS ? tracestate : null;
}

export function spanOf(
  x: Exchange,
  name: string,
  kind: SpanKind,
  isError: boolean,
  endMs: number,
  attributes: Attributes,
): Span {
  return {
    traceId: x.traceId,
    spanId: x.trace?.spanId ?? "",
    parentSpanId: x.parentSpanId,
    isParentRemote: x.parentSpanId !== null,
    traceState: traceStateOf(x),
    name,
    kind,
    startMs: x.startedAt,
    endMs,
    attributes,
    isError,
  };
}

function childOf(
  x: Exchange,
  child: Omit<Span, "traceId" | "parentSpanId" | "isParentRemote" | "traceState">,
) {
  const { traceId, trace } = x;
  const parentSpanId = trace?.spanId ?? null;
  return { traceId, parentSpanId, isParentRemote: false, traceState: traceStateOf(x), ...child };
}

export function trySpan(x: Exchange, tried: TriedSpan, index: number, now: number): Span {
  const { startMs, endMs, status, error, baseUrl, target, phase, waitedMs } = tried;
  const method = methodLabel(x.request.method);
  const [path, query] = tried.path.split("?", 2);
  const isError = status === null || status >= 400;
  return childOf(x, {
    spanId: tried.spanId,
    name: isNameless(method) ? "HTTP" : method,
    kind: SpanKind.client,
    startMs,
    endMs: endMs ?? now,
    isError,
    attributes: {
      ...methodOf(x.request.method),
      "url.full":
        (baseUrl + path).slice(0, MAX_URL_CHARS) + (query === undefined ? "" : `?${redactQuery(query)}`),
      ...addressOf(new URL(baseUrl).host, baseUrl.startsWith("https:")),
      "http.response.status_code": status,
      "http.request.resend_count": index === 0 ? null : index,
      "error.type": isError ? (error ?? String(status)) : null,
      "tidegate.upstream": x.upstream?.plan.name ?? null,
      "tidegate.target": target,
      "tidegate.breaker.phase": phase,
      "tidegate.wait_ms": waitedMs,
    },
  });
}

export function producerSpans(x: Exchange): Span[] {
  const { produced = null } = x.trace ?? {};
  // What was not stored was not sent.
  if (produced === null || produced.endMs === null) return [];
  const { spanId, startMs, endMs, destination, id } = produced;
  const attributes = messagingOf("send", destination, id);
  const name = `send ${destination}`;
  return [childOf(x, { spanId, name, kind: SpanKind.producer, startMs, endMs, isError: false, attributes })];
}

/** From its acceptance to its first delivery; later ones say how long it has waited in all. */
export function waitSpans(
  engine: Engine,
  job: TracedJob,
  { traceId, parentSpanId, startMs }: Span,
  from: string,
): Span[] {
  if (job.attempt > 1 || (job.deferrals ?? 0) > 0 || parentSpanId === null) return [];
  return [
    {
      traceId,
      spanId: newSpanId(engine.random),
      parentSpanId,
      isParentRemote: true,
      traceState: null,
      name: `wait ${from}`,
      kind: SpanKind.internal,
      // Its outbox has a clock of its own.
      startMs: Math.min(job.acceptedAt, startMs),
      endMs: startMs,
      isError: false,
      attributes: messagingOf("wait", from, job.id),
    },
  ];
}

export function messagingOf(
  operation: "send" | "wait" | "process",
  destination: string,
  id: string | null,
): Attributes {
  return {
    "messaging.system": "tidegate",
    "messaging.operation.name": operation,
    "messaging.operation.type": operation === "wait" ? null : operation,
    "messaging.destination.name": destination,
    "messaging.message.id": id,
  };
}

export function waitOf({ acceptedAt, attempt, deferrals = 0 }: TracedJob, startedAt: number): Attributes {
  return {
    "tidegate.attempt": attempt,
    "tidegate.deferrals": deferrals,
    "tidegate.wait_ms": Math.max(0, startedAt - acceptedAt),
  };
}

/** What the gateway decided and by which numbers. */
export function decisionOf(x: Exchange, verdict: Verdict): Attributes {
  const { engine, upstream, tenant, limitRefused, trace } = x;
  return {
    "tidegate.decision": verdict === Verdict.admit ? "admit" : problemOf(verdict),
    "tidegate.route": x.route?.name ?? null,
    "tidegate.upstream": upstream?.plan.name ?? null,
    "tidegate.class": className(x.trafficClass),
    "tidegate.level": upstream === null ? null : x.level,
    "tidegate.cursor": upstream === null ? null : (upstream.forced?.cursor ?? upstream.control.shed.cursor),
    "tidegate.consumer": consumerAt(engine, x.consumer)?.name ?? null,
    "tidegate.tenant": tenant < 0 ? null : engine.plan.tenants[tenant].name,
    "tidegate.limit": limitRefused < 0 ? null : engine.plan.limits[limitRefused].name,
    "tidegate.tries": x.tries,
    "tidegate.queue_wait_ms": trace?.waitedMs ?? null,
    "tidegate.request_id": x.requestId,
  };
}

/** Of a method that no label stands for, the conventions keep the original apart. */
export function methodOf(method: string): Attributes {
  const label = methodLabel(method);
  return {
    "http.request.method": label,
    "http.request.method_original": isNameless(label) ? method : null,
  };
}

export function isNameless(label: string): boolean {
  return label === "_OTHER";
}

/** `server.address` and `server.port` of a `host[:port]`. */
export function addressOf(host: string | null, isSecure: boolean): Attributes {
  if (host === null) return {};
  const [, address, port] = /^(.*?)(?::(\d+))?$/.exec(host) ?? [];
  const usual = isSecure ? 443 : 80;
  return { "server.address": address, "server.port": port === undefined ? usual : Number(port) };
}
