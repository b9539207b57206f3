// Advice on events and their subscriptions. One line each.

import { matchesEvent } from "../delivery/events/event-pattern.ts";
import { checkTarget } from "../delivery/webhooks/core/target-url.ts";
import { reactionAdvice } from "./advise-reactions.ts";
import { formatPath } from "./error-lines.ts";
import type { Plan, SubscriptionPlan } from "./plan.ts";

export function subscriptionAdvice({ routes, subscriptions }: Plan): string[] {
  const unheard = routes.flatMap(({ index, destination }) => {
    if (destination.kind !== "event") return [];
    const isHeard = subscriptions.some(({ events }) => matchesEvent(events, destination.event));
    return isHeard ? [] : [`${formatPath(["routes", index, "event"])}: nobody has subscribed to it`];
  });
  return [...unheard, ...subscriptions.flatMap(targetAdvice), ...reactionAdvice(subscriptions)];
}

function targetAdvice({ name, deliver }: SubscriptionPlan): string[] {
  if (deliver.kind !== "webhook") return [];
  const check = checkTarget(deliver.url, { isLocal: false, ownHosts: [], ports: [] });
  const path = formatPath(["subscriptions", name, "deliver", "webhook"]);
  return check.kind === "allowed"
    ? []
    : [`${path}: works in local development alone; deployed it needs a public https URL`];
}
