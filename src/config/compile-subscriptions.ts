// Subscriptions of a parsed configuration become subscriptions of the Plan.

import { EVENT_MAX_AGE_MS } from "../delivery/events/event-terms.ts";
import { MAX_RETRY_AFTER_MS, MAX_TRIES, RETRY_JITTER } from "../delivery/webhooks/core/retry-schedule.ts";
import { deliveryRoute } from "./compile-queues.ts";
import type { SubscriptionPlan, SubscriptionTerms, UpstreamPlan } from "./plan.ts";
import { DEFAULT_QUEUE_DELAY_MS, DEFAULT_QUEUE_MAX_DELAY_MS } from "./schema-queues.ts";
import { DEFAULT_WEBHOOK_TIMEOUT_MS, type SubscriptionParsed } from "./schema-subscriptions.ts";
import type { ParsedConfig } from "./schema.ts";

/** A stored event: 96 KiB of data and its attributes. */
export const EVENT_BODY_BYTES = 1024 * 1024;

/** `firstRoute`: the index behind the last route of the Plan, those of queues included. */
export function compileSubscriptions(
  config: ParsedConfig,
  upstreams: readonly UpstreamPlan[],
  firstRoute: number,
): SubscriptionPlan[] {
  let routes = firstRoute;
  return Object.entries(config.subscriptions).map(([name, parsed], index) => {
    const deliver = compileDeliver(name, parsed, upstreams, routes);
    if (deliver.kind === "upstream") routes += 1;
    const { events, ordered } = parsed;
    return { index, name, events, ordered, deliver, terms: termsOf(parsed, deliver.kind) };
  });
}

function compileDeliver(
  name: string,
  { deliver }: SubscriptionParsed,
  upstreams: readonly UpstreamPlan[],
  routeIndex: number,
): SubscriptionPlan["deliver"] {
  const { webhook, secrets = [], binding } = deliver;
  if (webhook !== undefined) {
    const headers = (deliver.headers ?? []).map(([field, { value, secret }]) => ({
      name: field,
      value,
      secret,
    }));
    const { timeout: timeoutMs = DEFAULT_WEBHOOK_TIMEOUT_MS, mode = "binary" } = deliver;
    return { kind: "webhook", url: webhook, secrets, timeoutMs, mode, headers };
  }
  if (binding !== undefined) return { kind: "binding", binding };
  if (deliver.pull === true) return { kind: "pull" };
  const upstream = upstreams.find((other) => other.name === deliver.upstream);
  if (upstream === undefined) throw new Error(`unchecked name: ${String(deliver.upstream)}`);
  const route = {
    name: `subscription.${name}`,
    index: routeIndex,
    priority: 1,
    bodyLimitBytes: EVENT_BODY_BYTES,
  } as const;
  return {
    kind: "upstream",
    upstream: upstream.index,
    path: deliver.path ?? "/",
    request: null,
    delivery: deliveryRoute(route, upstream),
  };
}

function termsOf(
  { highWatermark, alertAt }: SubscriptionParsed,
  delivery: SubscriptionTerms["delivery"],
): SubscriptionTerms {
  // A webhook's sender says when to try again; these bounds only let it.
  const retry =
    delivery === "webhook"
      ? { attempts: MAX_TRIES, delayMs: 1_000, maxDelayMs: MAX_RETRY_AFTER_MS * (1 + RETRY_JITTER) }
      : { attempts: 10, delayMs: DEFAULT_QUEUE_DELAY_MS, maxDelayMs: DEFAULT_QUEUE_MAX_DELAY_MS };
  return {
    highWatermark,
    resumeAt: 0.7,
    alertAt,
    maxAgeMs: EVENT_MAX_AGE_MS,
    retry,
    onDeadHead: "block",
    delivery,
  };
}
