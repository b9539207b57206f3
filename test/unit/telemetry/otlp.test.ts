// Our encoding of spans beside OpenTelemetry's own, and against the shape that receivers read.
import { JsonTraceSerializer } from "@opentelemetry/otlp-transformer";
import * as fc from "fast-check";
import { expect, it } from "vitest";
import { SCOPE_NAME, encodeSpans } from "../../../src/telemetry/otlp.ts";
import { SpanKind, type AttributeValue, type Span } from "../../../src/telemetry/span.ts";
import { readRequest } from "../../integration/rig/otlp-receiver.ts";

const HEX = "0123456789abcdef".split("");
const hex = (length: number) =>
  fc
    .string({ unit: fc.constantFrom(...HEX), minLength: length, maxLength: length })
    .filter((text) => !/^0+$/.test(text));
const values: fc.Arbitrary<AttributeValue> = fc.oneof(
  fc.string(),
  fc.boolean(),
  fc.constant(null),
  fc.maxSafeInteger(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
);
const attributes = fc.dictionary(fc.string({ minLength: 1 }).filter(isPlain), values);
const spans: fc.Arbitrary<Span> = fc
  .record({
    traceId: hex(32),
    spanId: hex(16),
    parentSpanId: fc.option(hex(16)),
    isParentRemote: fc.boolean(),
    name: fc.string({ minLength: 1 }).filter((name) => !/[\n\r\u2028\u2029]/.test(name)),
    kind: fc.constantFrom(...Object.values(SpanKind)),
    startMs: fc.integer({ min: 1.5e12, max: 4e12 }),
    tookMs: fc.integer({ min: 0, max: 1e6 }),
    attributes,
    isError: fc.boolean(),
  })
  .map(({ tookMs, ...span }) => ({ ...span, traceState: null, endMs: span.startMs + tookMs }));

function isPlain(name: string): boolean {
  return name !== "__proto__" && !/[\n\r\u2028\u2029]/.test(name);
}

it("says of any spans what OpenTelemetry's encoder says", () => {
  fc.assert(
    fc.property(fc.array(spans, { minLength: 1, maxLength: 5 }), attributes, (all, resource) => {
      const ours: unknown = JSON.parse(encodeSpans(all, resource));
      const theirs: unknown = JSON.parse(new TextDecoder().decode(theirEncoding(all, resource)));
      expect(plain(ours)).toEqual(plain(theirs));
    }),
  );
});

it("is read by a strict receiver without loss", () => {
  fc.assert(
    fc.property(spans, (span) => {
      const [read] = readRequest(JSON.parse(encodeSpans([span], {})));
      expect(read.traceId).toBe(span.traceId);
      expect(read.parentSpanId).toBe(span.parentSpanId ?? "");
      expect(read.startNanos).toBe(BigInt(span.startMs) * 1_000_000n);
      expect(read.endNanos).toBe(BigInt(span.endMs) * 1_000_000n);
      const written = Object.entries(span.attributes).filter(([, value]) => value !== null);
      expect(Object.entries(read.attributes)).toEqual(
        written.map(([key, value]) => [key, value === 0 ? 0 : value]),
      );
    }),
  );
});

it("never ends a span before it starts, though clocks are set back", () => {
  const [base] = fc.sample(spans, 1);
  const [read] = readRequest(JSON.parse(encodeSpans([{ ...base, endMs: base.startMs - 500 }], {})));
  expect(read.endNanos).toBe(read.startNanos);
});

function time(ms: number): [seconds: number, nanos: number] {
  return [Math.floor(ms / 1000), (ms % 1000) * 1_000_000];
}

/** The same spans as OpenTelemetry's SDK holds them. */
function theirEncoding(all: readonly Span[], given: Span["attributes"]): Uint8Array | undefined {
  const resource = { attributes: present(given), merge: () => resource, getRawAttributes: () => [] };
  return JsonTraceSerializer.serializeRequest(
    all.map((span) => ({
      name: span.name,
      kind: span.kind - 1,
      spanContext: () => ({ traceId: span.traceId, spanId: span.spanId, traceFlags: 1 }),
      parentSpanContext:
        span.parentSpanId === null
          ? { traceId: span.traceId, spanId: "", traceFlags: 1, isRemote: span.isParentRemote }
          : {
              traceId: span.traceId,
              spanId: span.parentSpanId,
              traceFlags: 1,
              isRemote: span.isParentRemote,
            },
      startTime: time(span.startMs),
      endTime: time(span.endMs),
      status: { code: span.isError ? 2 : 0 },
      attributes: present(span.attributes),
      links: [],
      events: [],
      duration: time(span.endMs - span.startMs),
      ended: true,
      resource,
      instrumentationScope: { name: SCOPE_NAME },
      droppedAttributesCount: 0,
      droppedEventsCount: 0,
      droppedLinksCount: 0,
    })),
  );
}

function present(all: Span["attributes"]): Record<string, string | number | boolean> {
  return Object.fromEntries(
    Object.entries(all).flatMap(([key, value]) => (value === null ? [] : [[key, value]])),
  );
}

/** Without what protobuf leaves out as a default, and with 64-bit integers as its JSON writes them. */
function plain(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(plain);
  if (typeof json !== "object" || json === null) return json;
  const kept = Object.entries(json).filter(
    ([key, value]) =>
      !/^dropped\w+Count$/.test(key) &&
      !(["events", "links"].includes(key) && Array.isArray(value) && value.length === 0) &&
      !(key === "code" && value === 0),
  );
  return Object.fromEntries(
    kept.map(([key, value]) => {
      if (key === "doubleValue" || key === "intValue") return ["number", Number(value) + 0];
      return [key, plain(value)];
    }),
  );
}
