// Makes one call of a saga through the gateway's own pipeline, and says what became of it.

import type { Engine } from "../edge/engine.ts";
import type { UpstreamReply } from "./upstream-call.ts";
import { callUpstream } from "./upstream-call.ts";
import type { CallResult } from "./core/call-result.ts";
import type { SagaCall } from "./core/calls.ts";
import type { SagaOrigin } from "./core/protocol.ts";
import { MAX_INPUT_BYTES } from "./core/protocol.ts";
import type { Json } from "./core/template.ts";

/** A body has the rest of its call's time, and so long at least: the lease of the call ends later. */
const BODY_TIMEOUT_MS = 3_000;

export async function performCall(
  engine: Engine,
  call: SagaCall,
  origin: SagaOrigin,
  bindings: Readonly<Record<string, unknown>>,
  waitUntil: (work: Promise<unknown>) => void,
): Promise<CallResult> {
  const { idempotencyKey, secretHeaders, headers: plain, ...rest } = call;
  const headers = [...plain];
  for (const [name, secret] of secretHeaders) {
    const value = bindings[secret];
    if (typeof value !== "string") {
      return { kind: "unsent", reason: `no secret ${secret}`, retryAfterMs: null };
    }
    headers.push([name, value]);
  }
  const { trafficClass, consumer, tenant, requestId } = origin;
  const keyed =
    idempotencyKey === null ? headers : [...headers, ["idempotency-key", idempotencyKey] as const];
  const abort = new AbortController();
  const { signal } = abort;
  const timeoutAt = Date.now() + call.timeoutMs;
  try {
    const upstreamCall = { ...rest, headers: keyed, trafficClass, consumer, tenant, requestId, signal };
    return await resultOf(await callUpstream(engine, upstreamCall, waitUntil), timeoutAt);
  } finally {
    abort.abort();
  }
}

async function resultOf(reply: UpstreamReply, timeoutAt: number): Promise<CallResult> {
  if (reply.kind !== "answered") return reply;
  const { response, retryAfterMs } = reply;
  const { status } = response;
  const text = await readText(response, Math.max(BODY_TIMEOUT_MS, timeoutAt - Date.now()));
  // A cut-off answer to a success is no success: what it would have said may be needed to undo it.
  if (text === null) return { kind: "lost", reason: "the answer's body did not come" };
  return { kind: "answered", status, body: bodyOf(text), retryAfterMs };
}

/** JSON where it is, else text; null for nothing and for what is too long to be kept. */
function bodyOf(text: string): Json {
  if (text === "" || text.length > MAX_INPUT_BYTES) return null;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** null: it broke off, or took too long. */
async function readText(response: Response, withinMs: number): Promise<string | null> {
  const { promise: tooLong, resolve } = Promise.withResolvers<null>();
  const timer = setTimeout(() => resolve(null), withinMs);
  try {
    return await Promise.race([response.text(), tooLong]);
  } catch {
    return null;
  } finally {
    clearTimeout(timer);
  }
}
