// A span as it is kept until it is sent: OpenTelemetry's data model, as far as it is used here.

/** The numbers of OTLP's enum. */
export const SpanKind = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 } as const;

export type SpanKind = (typeof SpanKind)[keyof typeof SpanKind];

/** null: there is nothing to say. */
export type AttributeValue = string | number | boolean | null;

export type Attributes = Readonly<Record<string, AttributeValue>>;

export interface Span {
  /** 32 lower-case hex digits. */
  readonly traceId: string;
  /** 16 lower-case hex digits. */
  readonly spanId: string;
  /** null: the trace begins here. */
  readonly parentSpanId: string | null;
  /** Whether the parent is in another process. */
  readonly isParentRemote: boolean;
  /** The `tracestate` that came along; null: none. */
  readonly traceState: string | null;
  readonly name: string;
  readonly kind: SpanKind;
  /** Ms since the epoch. */
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Attributes;
  readonly isError: boolean;
}
