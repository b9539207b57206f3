// Sends one event to one webhook endpoint, once. It decides nothing that outlives the try: what it says is
// given to whoever keeps the schedule and the endpoint's health.

import { writeBinary, writeStructuredMessage, type HeaderPairs } from "../events/http-binding.ts";
import type { CloudEvent } from "../events/cloud-event.ts";
import {
  MAX_KEPT_CHARS,
  MAX_READ_BYTES,
  countsAgainstReceiver,
  judgeStatus,
  type TryError,
} from "./core/answers.ts";
import { isOwnHeader } from "./core/own-headers.ts";
import { nextTryInMs, readRetryAfterMs } from "./core/retry-schedule.ts";
import { checkTarget, type TargetRules } from "./core/target-url.ts";
import { signWebhook, webhookId } from "./signature.ts";

/** A receiver has so long for its whole answer. */
export const DEFAULT_TIMEOUT_MS = 15_000;
export const MAX_TIMEOUT_MS = 30_000;

const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

export interface WebhookEndpoint {
  readonly url: string;
  /** The newest one first; all of them sign. */
  readonly secrets: readonly string[];
  readonly timeoutMs: number;
  /** How the event travels: its attributes in headers, or all of it in the body. */
  readonly mode: "binary" | "structured";
  readonly headers: HeaderPairs;
  readonly rules: TargetRules;
}

export interface WebhookTry {
  readonly event: CloudEvent;
  /** 1 for the first. */
  readonly attempt: number;
}

/** What one try says, as it is kept in the log of attempts. */
export interface TryRecord {
  readonly attempt: number;
  readonly at: number;
  readonly ms: number;
  readonly status: number | null;
  readonly error: TryError | null;
  /** The beginning of the answer's body. */
  readonly answer: string;
}

export type WebhookOutcome =
  | { readonly kind: "delivered"; readonly record: TryRecord }
  | {
      readonly kind: "failed";
      readonly record: TryRecord;
      /** Null: that was the last try. */
      readonly nextInMs: number | null;
      /** Whether it says something about the receiver. */
      readonly counts: boolean;
    }
  /** 410: nothing is to be sent to this endpoint any more. */
  | { readonly kind: "gone"; readonly record: TryRecord };

/**
 * Makes one try. It never throws. `now`: ms since the epoch. `random` is in [0, 1).
 * A redirect is not followed; at most 64 KiB of an answer are read.
 */
export async function deliverWebhook(
  { event, attempt }: WebhookTry,
  endpoint: WebhookEndpoint,
  fetcher: typeof fetch,
  now: () => number,
  random: () => number,
): Promise<WebhookOutcome> {
  const at = now();
  const answer = await send(event, endpoint, fetcher, at);
  const { status, error } = answer;
  const record: TryRecord = { attempt, at, ms: Math.max(0, now() - at), status, error, answer: answer.text };
  const verdict =
    status === null ? ({ kind: "failed", isOverload: error === "timeout" } as const) : judgeStatus(status);
  if (verdict.kind !== "failed") return { kind: verdict.kind, record };
  const retryAfterMs = readRetryAfterMs(answer.retryAfter, now());
  const nextInMs = nextTryInMs({ attempt, isOverload: verdict.isOverload, retryAfterMs }, random());
  return { kind: "failed", record, nextInMs, counts: countsAgainstReceiver(error) };
}

interface Answer {
  readonly status: number | null;
  readonly error: TryError | null;
  readonly retryAfter: string | null;
  readonly text: string;
}

function noAnswer(error: TryError): Answer {
  return { status: null, error, retryAfter: null, text: "" };
}

async function send(
  event: CloudEvent,
  endpoint: WebhookEndpoint,
  fetcher: typeof fetch,
  at: number,
): Promise<Answer> {
  const target = checkTarget(endpoint.url, endpoint.rules);
  if (target.kind === "refused") return noAnswer("target-refused");
  const request = await webhookRequest(event, endpoint, at);
  if (request === null) return noAnswer("secret-unusable");
  try {
    const response = await fetcher(target.url, {
      method: "POST",
      headers: request.headers,
      body: request.body,
      redirect: "manual",
      signal: AbortSignal.timeout(Math.min(endpoint.timeoutMs, MAX_TIMEOUT_MS)),
    });
    const { status, headers } = response;
    // A body that breaks off does not change what the status said.
    const text = await readStart(response.body).catch(() => "");
    return { status, error: null, retryAfter: headers.get("retry-after"), text };
  } catch (error) {
    const isTimeout =
      error instanceof Error && (error.name === "TimeoutError" || error.name === "AbortError");
    return noAnswer(isTimeout ? "timeout" : "unreachable");
  }
}

/** The headers and the body of one try; null when its secrets cannot sign. */
export async function webhookRequest(
  event: CloudEvent,
  endpoint: WebhookEndpoint,
  at: number,
): Promise<{ readonly headers: Headers; readonly body: Uint8Array } | null> {
  const { headers: written, body } =
    endpoint.mode === "binary" ? writeBinary(event) : writeStructuredMessage(event);
  const id = await webhookId(event.source, event.id);
  const timestamp = Math.floor(at / 1_000);
  const signature = await signWebhook({ id, timestamp, body }, endpoint.secrets);
  if (signature === null) return null;
  const headers = new Headers({ "user-agent": "Tidegate-Webhooks/1" });
  for (const [name, value] of endpoint.headers) if (isOwnHeader(name, value)) headers.set(name, value);
  for (const [name, value] of written) headers.set(name, value);
  const { traceparent } = event.extensions;
  const isTrace = typeof traceparent === "string" && TRACEPARENT.test(traceparent);
  if (isTrace) headers.set("traceparent", traceparent);
  headers.set("webhook-id", id);
  headers.set("webhook-timestamp", String(timestamp));
  headers.set("webhook-signature", signature);
  return { headers, body };
}

/** The first characters of a body, of which no more than `MAX_READ_BYTES` are read. */
async function readStart(body: ReadableStream<Uint8Array> | null): Promise<string> {
  if (body === null) return "";
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  while (bytes < MAX_READ_BYTES) {
    const { done, value } = await reader.read();
    if (done) return (text + decoder.decode()).slice(0, MAX_KEPT_CHARS);
    bytes += value.length;
    if (text.length < MAX_KEPT_CHARS) text += decoder.decode(value, { stream: true });
  }
  await reader.cancel();
  return text.slice(0, MAX_KEPT_CHARS);
}
