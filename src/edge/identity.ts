// What a request is called: its id and its trace. Both are kept when the client's are acceptable.

import { isAcceptableRequestId } from "../http/request-id.ts";
import { parseTraceparent } from "../http/trace-context.ts";
import type { RandomSource } from "../resilience/random.ts";
import { nextUint32 } from "../resilience/random.ts";
import type { Tracer } from "../telemetry/tracer.ts";
import type { InboundHeaders } from "./inbound-headers.ts";

export interface RequestIdentity {
  readonly requestId: string;
  readonly traceId: string;
  /** Of the span that the client sent; null: the trace begins here. */
  readonly parentSpanId: string | null;
  /** 2 hex digits. */
  readonly traceFlags: string;
  /** Whether the client's trace goes on; a new one begins without its state. */
  readonly traceKept: boolean;
}

const HEX = Array.from({ length: 256 }, (_, value) => value.toString(16).padStart(2, "0"));

/**
 * Keeps the client's names or makes new ones; a new request id is the trace id. `tracer` decides whether the
 * trace is recorded; without one a client's decision goes on, and what begins here is not.
 */
export function identify(
  inbound: InboundHeaders,
  random: RandomSource,
  tracer: Tracer | null,
): RequestIdentity {
  const parent = inbound.traceparent === null ? null : parseTraceparent(inbound.traceparent);
  const traceId = parent === null ? randomHex(random, 4) : parent.traceId;
  const kept = inbound.requestId !== null && isAcceptableRequestId(inbound.requestId);
  const made = parent === null ? traceId : randomHex(random, 4);
  return {
    requestId: kept && inbound.requestId !== null ? inbound.requestId : made,
    traceId,
    parentSpanId: parent?.parentId ?? null,
    traceFlags: tracer?.flagsOf(parent?.flags ?? null, traceId) ?? parent?.flags ?? "00",
    traceKept: parent !== null,
  };
}

/** 16 hex digits for one span; never all zero. */
export function newSpanId(random: RandomSource): string {
  return randomHex(random, 2);
}

function randomHex(random: RandomSource, words: number): string {
  let text = "";
  let any = 0;
  for (let index = 0; index < words; index++) {
    const bits = nextUint32(random);
    any |= bits;
    text += HEX[bits >>> 24] + HEX[(bits >>> 16) & 255] + HEX[(bits >>> 8) & 255] + HEX[bits & 255];
  }
  return any === 0 ? text.slice(0, -1) + "1" : text;
}
