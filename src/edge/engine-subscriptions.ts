// What subscriptions need of the Worker's bindings, and what they are with it.

import type { Plan, SubscriptionPlan, WebhookPlan } from "../config/plan.ts";
import { MIN_SECRET_BYTES, secretBytes } from "../delivery/webhooks/signature.ts";
import { TARGET_RULES, checkTarget, type TargetRules } from "../delivery/webhooks/core/target-url.ts";
import type { HeaderPairs } from "../delivery/events/http-binding.ts";
import { isFetcher, resolveEdit, textOf, type Bindings, type TargetFetcher } from "./bindings.ts";

const SECRET_RULE = `it must be "whsec_" and base64 of ${MIN_SECRET_BYTES} random bytes or more`;

/** A subscription with its secrets and its binding. */
export interface Subscription {
  readonly plan: SubscriptionPlan;
  readonly secrets: readonly string[];
  readonly headers: HeaderPairs;
  /** Null: it is not delivered to a binding. */
  readonly fetcher: TargetFetcher | null;
}

export function resolveSubscriptions(plan: Plan, bindings: Bindings): readonly Subscription[] {
  return plan.subscriptions.map((subscription) => {
    const { deliver } = subscription;
    const bound = deliver.kind === "binding" ? bindings[deliver.binding] : null;
    const webhook = deliver.kind === "webhook" ? deliver : { secrets: [], headers: [] };
    const reacting = deliver.kind === "upstream" ? (deliver.request?.secretHeaders.set ?? []) : [];
    return {
      plan: subscription,
      secrets: webhook.secrets.flatMap((name) => textOf(bindings, name) ?? []),
      headers: resolveEdit({ set: [...webhook.headers, ...reacting], remove: [] }, bindings).set,
      fetcher: isFetcher(bound) ? bound : null,
    };
  });
}

/** What is asked of a webhook's URL when the Worker starts and before each try. */
export function targetRules(plan: Plan, isLocal: boolean): TargetRules {
  return { isLocal, ownHosts: plan.routes.flatMap(({ hosts }) => [...(hosts ?? [])]), ports: [] };
}

/** Secrets that cannot sign, URLs that nothing may be sent to from here, bindings that are not there. */
export function missingForSubscriptions(plan: Plan, bindings: Bindings): string[] {
  return plan.subscriptions.flatMap((subscription) => {
    const { name, deliver } = subscription;
    if (deliver.kind === "webhook") return webhookLines(subscription, deliver, plan, bindings);
    if (deliver.kind !== "binding" || isFetcher(bindings[deliver.binding])) return [];
    return [`subscriptions.${name}: the Worker has no binding ${deliver.binding}; add it to wrangler.toml`];
  });
}

function webhookLines(
  { name }: SubscriptionPlan,
  { url, secrets }: WebhookPlan,
  plan: Plan,
  bindings: Bindings,
): string[] {
  const lines = secrets.flatMap((secret) => {
    const value = bindings[secret];
    if (typeof value !== "string" || secretBytes(value) !== null) return [];
    return [`env:${secret}: cannot sign webhooks of subscriptions.${name}; ${SECRET_RULE}`];
  });
  const check = checkTarget(url, targetRules(plan, bindings.TIDEGATE_LOCAL === "1"));
  return check.kind === "allowed"
    ? lines
    : [...lines, `subscriptions.${name}.deliver.webhook: ${TARGET_RULES[check.reason]}`];
}
