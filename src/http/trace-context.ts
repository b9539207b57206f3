// The `traceparent` field (https://www.w3.org/TR/trace-context-2/): read from any version, written as 00.

const VERSION_00_LENGTH = 55;
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-|$)/;
/** `sampled` and `random-trace-id`; a version 00 field has all other flags zero (section 3.2.2.5). */
const KNOWN_FLAGS = 0b11;

export interface Traceparent {
  /** 32 lower-case hex digits. */
  readonly traceId: string;
  /** 16 lower-case hex digits. */
  readonly parentId: string;
  /** 2 lower-case hex digits, as they came. */
  readonly flags: string;
}

/** The parts of a `traceparent`; null when it is invalid and a new trace begins. */
export function parseTraceparent(value: string): Traceparent | null {
  if (value.length > VERSION_00_LENGTH && value.startsWith("00")) return null;
  const match = TRACEPARENT.exec(value);
  return match === null ? null : { traceId: match[1], parentId: match[2], flags: match[3] };
}

/** A version 00 field for this span; flags that version 00 does not know are cleared. */
export function formatTraceparent(traceId: string, spanId: string, flags: string): string {
  const known = Number.parseInt(flags, 16) & KNOWN_FLAGS;
  return `00-${traceId}-${spanId}-0${known}`;
}

/** Whether flags say that whoever sent them records the trace (Trace Context 3.2.2.5.1). */
export function isSampled(flags: string): boolean {
  return (Number.parseInt(flags, 16) & 1) === 1;
}
