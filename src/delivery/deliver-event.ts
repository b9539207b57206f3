// One delivery of an event: as a webhook, to a bound Worker, or as the request that an upstream gets.
//
// An endpoint that does not answer gets a rest: what else waits for it is put off, and counts as no try. So a
// receiver that is gone holds up a consumer for a moment now and then, not once for each of its events.

import type { Engine } from "../edge/engine.ts";
import { targetRules, type Subscription } from "../edge/engine-subscriptions.ts";
import { outcomeOfBug } from "./deliver-outcome.ts";
import type { Delivered } from "./deliver.ts";
import type { RequestJob } from "./deliver-request.ts";
import type { ClaimedJob, DeliveryOutcome } from "./core/protocol.ts";
import type { CloudEvent } from "./events/cloud-event.ts";
import { writeBinary } from "./events/http-binding.ts";
import { deliverWebhook, type WebhookOutcome } from "./webhooks/deliver.ts";
import { readRetryAfterMs } from "./webhooks/core/retry-schedule.ts";
import { webhookId } from "./webhooks/signature.ts";

/** A receiver's time for an answer, where the configuration does not say it. */
const BINDING_TIMEOUT_MS = 15_000;
/** Others of the batch wait so long for a receiver; its try goes on behind them. */
export const PATIENCE_MS = 1_000;
/** Tries in a row without an answer, and how long the endpoint rests after them. */
export const MAX_UNANSWERED = 3;
export const REST_MS = 10_000;
/** The same for one that is only slow. */
export const SLOW_REST_MS = 2_000;
/** An event is put off for so long at most. */
export const MAX_REST_MS = 5 * 60_000;
/** To say how it went. */
const SLACK_MS = 2_000;

interface Rest {
  unanswered: number;
  until: number;
}

/** What this isolate knows of endpoints, as long as their configuration lives. */
const rests = new WeakMap<Subscription["plan"], Rest>();

export interface EventDelivery {
  readonly deliveryMs: number;
  readonly patienceMs: number;
  readonly noteSlow: () => void;
  readonly run: (job: ClaimedJob) => Promise<Delivered>;
}

/** How events of a subscription to a webhook or to a binding are delivered. */
export function eventDelivery(subscription: Subscription, engine: Engine): EventDelivery {
  const { plan } = subscription;
  const timeoutMs = plan.deliver.kind === "webhook" ? plan.deliver.timeoutMs : BINDING_TIMEOUT_MS;
  const rest = rests.get(plan) ?? { unanswered: 0, until: 0 };
  rests.set(plan, rest);
  return {
    deliveryMs: timeoutMs + SLACK_MS,
    patienceMs: PATIENCE_MS,
    noteSlow() {
      rest.unanswered += 1;
      if (rest.unanswered >= MAX_UNANSWERED) rest.until = Math.max(rest.until, Date.now() + SLOW_REST_MS);
    },
    async run(job) {
      const startedAt = Date.now();
      if (rest.until > startedAt) return { outcome: resting(rest.until - startedAt, job), tookMs: 0 };
      const outcome = await runOnce(job, subscription, engine);
      noteAnswer(rest, outcome, Date.now());
      return { outcome, tookMs: Math.max(0, Date.now() - startedAt) };
    },
  };
}

/** Longer each time: what waits for a receiver that is gone must not cost a row every few seconds. */
function resting(leastMs: number, { deferrals = 0 }: ClaimedJob): DeliveryOutcome {
  const forMs = Math.min(SLOW_REST_MS * 2 ** Math.min(deferrals, 20), MAX_REST_MS);
  return {
    kind: "deferred",
    forMs: Math.max(leastMs, forMs),
    reason: "its endpoint did not answer, and rests",
  };
}

function noteAnswer(rest: Rest, outcome: DeliveryOutcome, now: number): void {
  const isUnanswered =
    outcome.kind === "failed" && outcome.status === null && outcome.endpoint !== "unharmed";
  rest.unanswered = isUnanswered ? rest.unanswered + 1 : 0;
  if (rest.unanswered >= MAX_UNANSWERED) rest.until = now + REST_MS;
  // Its outbox ends what waits; what has been claimed already need not be tried.
  if (outcome.kind === "failed" && outcome.endpoint === "gone") rest.until = now + SLOW_REST_MS;
}

async function runOnce(
  job: ClaimedJob,
  subscription: Subscription,
  engine: Engine,
): Promise<DeliveryOutcome> {
  const { target, traceparent, attempt } = job;
  if (target.kind !== "event") return { kind: "poison", error: "a request stands among events" };
  const event = withTrace(target.event, traceparent);
  try {
    if (subscription.plan.deliver.kind !== "webhook") {
      return await callBinding(event, subscription, engine.ownVia);
    }
    const { url, timeoutMs, mode } = subscription.plan.deliver;
    const { secrets, headers } = subscription;
    const rules = targetRules(engine.plan, engine.isLocal);
    const endpoint = { url, secrets, timeoutMs, mode, headers, rules };
    return outcomeOf(await deliverWebhook({ event, attempt }, endpoint, callFetch, Date.now, Math.random));
  } catch (error) {
    engine.telemetry.bug(job.requestId ?? job.id, error, Date.now());
    return outcomeOfBug(job);
  }
}

/** Taken from its object, the runtime's own `fetch` refuses to run. */
const callFetch: typeof fetch = (input, init) => fetch(input, init);

/**
 * The event carries its place in the trace (CloudEvents' distributed tracing extension), unless it has one.
 */
function withTrace(event: CloudEvent, traceparent: string | null): CloudEvent {
  if (traceparent === null || event.extensions.traceparent !== undefined) return event;
  return { ...event, extensions: { ...event.extensions, traceparent } };
}

function outcomeOf(outcome: WebhookOutcome): DeliveryOutcome {
  const { status, error } = outcome.record;
  if (outcome.kind === "delivered") {
    return { kind: "succeeded", result: { status: status ?? 200, headers: [], body: null } };
  }
  const failed = { kind: "failed", status, error, retryAfterMs: null, result: null } as const;
  if (outcome.kind === "gone") return { ...failed, endpoint: "gone" };
  const again = { ...failed, retryAfterMs: outcome.nextInMs };
  return outcome.counts ? again : { ...again, endpoint: "unharmed" };
}

/** The event in CloudEvents' binary mode, with the id that is the same for all its tries. */
async function eventRequest(event: CloudEvent): Promise<{ headers: [string, string][]; body: Uint8Array }> {
  const { headers, body } = writeBinary(event);
  const { traceparent } = event.extensions;
  const own: [string, string][] = [["idempotency-key", await webhookId(event.source, event.id)]];
  if (typeof traceparent === "string") own.push(["traceparent", traceparent]);
  return { headers: [...headers.map(([name, value]): [string, string] => [name, value]), ...own], body };
}

async function callBinding(
  event: CloudEvent,
  { plan, fetcher }: Subscription,
  via: string,
): Promise<DeliveryOutcome> {
  const failed = { kind: "failed", status: null, retryAfterMs: null, result: null } as const;
  if (fetcher === null) return { kind: "deferred", forMs: REST_MS, reason: "its binding is not there" };
  const { headers, body } = await eventRequest(event);
  const signal = AbortSignal.timeout(BINDING_TIMEOUT_MS);
  const request = new Request(`https://${plan.name}.subscription/`, {
    method: "POST",
    headers: [...headers, ["via", via]],
    body,
    redirect: "manual",
    signal,
  });
  try {
    const { status, headers: answered, body: rest } = await fetcher.fetch(request);
    rest?.cancel().catch(() => {});
    if (status >= 200 && status <= 299) {
      return { kind: "succeeded", result: { status, headers: [], body: null } };
    }
    return {
      ...failed,
      status,
      error: null,
      retryAfterMs: readRetryAfterMs(answered.get("retry-after"), Date.now()),
    };
  } catch {
    return { ...failed, error: signal.aborted ? "timeout" : "unreachable" };
  }
}

/** A job of an upstream's subscription as the request that goes through the pipeline. */
export async function asRequest(job: ClaimedJob, path: string): Promise<RequestJob> {
  const { target, ...rest } = job;
  if (target.kind === "request") return { ...rest, target };
  const { headers, body } = await eventRequest(target.event);
  return { ...rest, target: { kind: "request", request: { method: "POST", path, headers, body } } };
}

/** Nobody waits for a subscriber's answer: one that refuses an event is asked again, like one that fails. */
export function asEventOutcome({ outcome, tookMs }: Delivered): Delivered {
  switch (outcome.kind) {
    case "succeeded":
      return { outcome: { ...outcome, result: { ...outcome.result, headers: [], body: null } }, tookMs };
    case "refused": {
      const { status } = outcome.result;
      return { outcome: { kind: "failed", status, error: null, retryAfterMs: null, result: null }, tookMs };
    }
    case "failed":
      return { outcome: { ...outcome, result: null }, tookMs };
    default:
      return { outcome, tookMs };
  }
}
