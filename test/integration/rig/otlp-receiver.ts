// A receiver of OTLP over HTTP in JSON, as a collector has one: it takes spans in, and refuses what is not
// of the protocol's shape (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding), as
// trace.proto has it.
import { createServer, type IncomingHttpHeaders } from "node:http";
import { until } from "./processes.ts";

export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** "" where the trace begins. */
  readonly parentSpanId: string;
  readonly traceState: string;
  readonly flags: number;
  readonly name: string;
  readonly kind: "INTERNAL" | "SERVER" | "CLIENT" | "PRODUCER" | "CONSUMER";
  readonly startNanos: bigint;
  readonly endNanos: bigint;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  readonly isError: boolean;
  readonly resource: Readonly<Record<string, string | number | boolean>>;
}

export interface OtlpReceiver {
  /** What `OTEL_EXPORTER_OTLP_ENDPOINT` is set to. */
  readonly url: string;
  readonly spans: ReceivedSpan[];
  /** Of each request that came. */
  readonly headers: IncomingHttpHeaders[];
  /** What was wrong with requests. */
  readonly problems: string[];
  /** Answers with this status while it is set. */
  status: number | null;
  /** Waits until a trace has that many spans; gives them. */
  readonly trace: (traceId: string, spans: number) => Promise<readonly ReceivedSpan[]>;
  readonly stop: () => Promise<void>;
}

const WAIT_MS = 20_000;

export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [];
  const headers: IncomingHttpHeaders[] = [];
  const problems: string[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      headers.push(request.headers);
      const { status } = receiver;
      if (status !== null) return response.writeHead(status).end();
      try {
        if (request.method !== "POST" || request.url !== "/v1/traces") throw new Error("not for traces");
        if (request.headers["content-type"] !== "application/json") throw new Error("not JSON");
        spans.push(...readRequest(JSON.parse(Buffer.concat(chunks).toString("utf8"))));
      } catch (error) {
        problems.push(String(error));
        return response.writeHead(400).end();
      }
      return response.writeHead(200, { "content-type": "application/json" }).end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  const of = (traceId: string) => spans.filter((span) => span.traceId === traceId);
  const receiver: OtlpReceiver = {
    url: `http://127.0.0.1:${address.port}`,
    spans,
    headers,
    problems,
    status: null,
    async trace(traceId, count) {
      await until(`${count} spans of ${traceId}`, WAIT_MS, () => of(traceId).length >= count).catch(
        (error: unknown) => {
          const seen = of(traceId).map(({ kind, name }) => `${kind} ${name}`);
          throw new Error(`${String(error)}; there are ${JSON.stringify(seen)} ${problems.join("; ")}`);
        },
      );
      return of(traceId);
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return receiver;
}

/** One line for each span, indented below its parent, in the order of their start. */
export function treeOf(spans: readonly ReceivedSpan[], label: (span: ReceivedSpan) => string): string[] {
  const ids = new Set(spans.map(({ spanId }) => spanId));
  const below = (parents: readonly ReceivedSpan[], depth: number): string[] =>
    parents
      .toSorted((a, b) => compare(a.startNanos, b.startNanos) || a.name.localeCompare(b.name))
      .flatMap((span) => [
        `${"  ".repeat(depth)}${label(span)}`,
        ...below(
          spans.filter(({ parentSpanId }) => parentSpanId === span.spanId),
          depth + 1,
        ),
      ]);
  return below(
    spans.filter(({ parentSpanId }) => !ids.has(parentSpanId)),
    0,
  );
}

function compare(a: bigint, b: bigint): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** The spans of an `ExportTraceServiceRequest`; throws at the first thing that is not of its shape. */
export function readRequest(json: unknown): ReceivedSpan[] {
  return list(fields(json, "request", ["resourceSpans"])["resourceSpans"], "resourceSpans").flatMap(
    (each) => {
      const { resource, scopeSpans } = fields(each, "ResourceSpans", ["resource", "scopeSpans", "schemaUrl"]);
      const known = fields(resource, "Resource", ["attributes", "droppedAttributesCount"]);
      const named = attributesOf(known["attributes"]);
      return list(scopeSpans, "scopeSpans").flatMap((scoped) => {
        const { scope, spans } = fields(scoped, "ScopeSpans", ["scope", "spans", "schemaUrl"]);
        fields(scope, "InstrumentationScope", ["name", "version", "attributes", "droppedAttributesCount"]);
        return list(spans, "spans").map((span) => readSpan(span, named));
      });
    },
  );
}

const SPAN_FIELDS = (
  "traceId spanId traceState parentSpanId flags name kind startTimeUnixNano endTimeUnixNano attributes " +
  "droppedAttributesCount events droppedEventsCount links droppedLinksCount status"
).split(" ");
const KINDS = [null, "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"] as const;

function readSpan(json: unknown, resource: ReceivedSpan["resource"]): ReceivedSpan {
  const span = fields(json, "Span", SPAN_FIELDS);
  const kind = KINDS[integer(span["kind"], "kind")] ?? null;
  if (kind === null) throw new Error("no kind of spans");
  const { code = 0 } = fields(span["status"] ?? {}, "Status", ["message", "code"]);
  const startNanos = nanos(span["startTimeUnixNano"]);
  const endNanos = nanos(span["endTimeUnixNano"]);
  if (endNanos < startNanos) throw new Error("ends before it starts");
  const name = text(span["name"], "name", /./);
  return {
    traceId: text(span["traceId"], "traceId", /^(?!0+$)[0-9a-f]{32}$/),
    spanId: text(span["spanId"], "spanId", /^(?!0+$)[0-9a-f]{16}$/),
    parentSpanId: text(span["parentSpanId"] ?? "", "parentSpanId", /^(?:(?!0+$)[0-9a-f]{16})?$/),
    traceState: text(span["traceState"] ?? "", "traceState", /^/),
    flags: integer(span["flags"] ?? 0, "flags"),
    name,
    kind,
    startNanos,
    endNanos,
    attributes: attributesOf(span["attributes"] ?? []),
    isError: integer(code, "status.code") === 2,
    resource,
  };
}

function attributesOf(json: unknown): Record<string, string | number | boolean> {
  const pairs = list(json, "attributes").map((each): [string, string | number | boolean] => {
    const { key, value } = fields(each, "KeyValue", ["key", "value"]);
    const [kind, inner] = Object.entries(fields(value, "AnyValue", ANY_VALUE))[0] ?? [];
    return [text(key, "key", /./), valueOf(kind, inner)];
  });
  const keys = pairs.map(([key]) => key);
  if (new Set(keys).size < keys.length) throw new Error(`a key twice: ${keys.join(", ")}`);
  return Object.fromEntries(pairs);
}

const ANY_VALUE = ["stringValue", "boolValue", "intValue", "doubleValue"];

function valueOf(kind: string | undefined, value: unknown): string | number | boolean {
  if (kind === "stringValue") return text(value, kind, /^/);
  if (kind === "intValue") return Number(text(value, kind, /^-?\d+$/));
  if (kind === "boolValue" && typeof value === "boolean") return value;
  if (kind === "doubleValue" && typeof value === "number") return value;
  throw new Error(`not a ${String(kind)}: ${JSON.stringify(value)}`);
}

function nanos(json: unknown): bigint {
  return BigInt(text(json, "time", /^[1-9]\d{18}$/));
}

/** The fields of a message; one that its definition does not have is an error. */
function fields(json: unknown, message: string, known: readonly string[]): Record<string, unknown> {
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw new Error(`no ${message}`);
  const unknown = Object.keys(json).find((name) => !known.includes(name));
  if (unknown !== undefined) throw new Error(`${message} has no ${unknown}`);
  return { ...json };
}

function list(json: unknown, name: string): readonly unknown[] {
  if (!Array.isArray(json)) throw new Error(`${name} is no list`);
  return json;
}

function text(json: unknown, name: string, rule: RegExp): string {
  if (typeof json !== "string" || !rule.test(json)) throw new Error(`${name}: ${JSON.stringify(json)}`);
  return json;
}

function integer(json: unknown, name: string): number {
  if (typeof json !== "number" || !Number.isInteger(json)) throw new Error(`${name} is no integer`);
  return json;
}
