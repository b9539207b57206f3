// OTLP's JSON for spans (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding, OTLP 1.x): ids as
// lower-case hex, 64-bit integers as decimal text, enums as numbers.

import type { Attributes, AttributeValue, Span } from "./span.ts";

/** What names the sender in every message. */
export const SCOPE_NAME = "tidegate";

/** `Span.flags`: the sampled flag, and that it is known whether the parent is remote (SpanFlags). */
const SAMPLED = 0x01;
const HAS_IS_REMOTE = 0x100;
const IS_REMOTE = 0x200;
/** `Status.code`. */
const STATUS_ERROR = 2;

/** The body of one `POST /v1/traces`. */
export function encodeSpans(spans: readonly Span[], resource: Attributes): string {
  return JSON.stringify({
    resourceSpans: [
      {
        resource: { attributes: encodeAttributes(resource) },
        scopeSpans: [{ scope: { name: SCOPE_NAME }, spans: spans.map(encodeSpan) }],
      },
    ],
  });
}

function encodeSpan(span: Span): object {
  const { traceId, spanId, parentSpanId, traceState, name, kind, startMs, endMs } = span;
  return {
    traceId,
    spanId,
    ...(parentSpanId === null ? {} : { parentSpanId }),
    ...(traceState === null ? {} : { traceState }),
    flags: SAMPLED | HAS_IS_REMOTE | (span.isParentRemote ? IS_REMOTE : 0),
    name,
    kind,
    startTimeUnixNano: nanosOf(startMs),
    endTimeUnixNano: nanosOf(Math.max(startMs, endMs)),
    attributes: encodeAttributes(span.attributes),
    status: span.isError ? { code: STATUS_ERROR } : {},
  };
}

/** Whole ms are what the clock gives; their nanoseconds are more than a number holds. */
function nanosOf(ms: number): string {
  return `${Math.round(ms)}000000`;
}

function encodeAttributes(attributes: Attributes): object[] {
  return Object.entries(attributes).flatMap(([key, value]) =>
    value === null ? [] : [{ key, value: encodeValue(value) }],
  );
}

function encodeValue(value: Exclude<AttributeValue, null>): object {
  if (typeof value === "string") return { stringValue: value.toWellFormed() };
  if (typeof value === "boolean") return { boolValue: value };
  return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value };
}
