// Reactions of a parsed configuration become subscriptions of the Plan: an upstream gets their events, as the
// request that is written, and their outbox is told what to publish of its outcome.

import { SECRET_PREFIX, secretOf } from "../saga/core/definition.ts";
import { deliveryRoute, retryOf } from "./compile-queues.ts";
import { EVENT_BODY_BYTES } from "./compile-subscriptions.ts";
import type { Plan, ReactionRequest, SubscriptionPlan, SubscriptionTerms, UpstreamPlan } from "./plan.ts";
import type { ReactionParsed } from "./schema-reactions.ts";
import type { ParsedConfig } from "./schema.ts";

/** `before`: what is in the Plan already; indices go on behind it. */
export function compileReactions(
  config: ParsedConfig,
  upstreams: readonly UpstreamPlan[],
  { routes, queues, subscriptions }: Pick<Plan, "routes" | "queues" | "subscriptions">,
): SubscriptionPlan[] {
  const delivered = subscriptions.filter(({ deliver }) => deliver.kind === "upstream");
  const firstRoute = routes.length + queues.length + delivered.length;
  return Object.entries(config.reactions).map(([name, parsed], place) => {
    const upstream = upstreams.find((other) => other.name === parsed.request.upstream);
    if (upstream === undefined) throw new Error(`unchecked name: ${parsed.request.upstream}`);
    const route = {
      name: `reaction.${name}`,
      index: firstRoute + place,
      priority: 1,
      bodyLimitBytes: EVENT_BODY_BYTES,
    } as const;
    return {
      index: subscriptions.length + place,
      name,
      events: parsed.on,
      ordered: parsed.ordered,
      deliver: {
        kind: "upstream",
        upstream: upstream.index,
        path: "/",
        request: requestOf(parsed.request),
        delivery: deliveryRoute(route, upstream),
      },
      terms: termsOf(parsed, `/${config.name}/reactions/${name}`),
    };
  });
}

function requestOf({ method, path, headers, body }: ReactionParsed["request"]): ReactionRequest {
  const secrets = headers.flatMap(([name, value]) => {
    const secret = secretOf(value);
    return secret === null ? [] : [{ name, value: "", secret }];
  });
  const templates = headers.filter(([, value]) => !value.startsWith(SECRET_PREFIX));
  const request = { method, path, headers: templates, secretHeaders: { set: secrets, remove: [] } };
  return body === undefined ? request : { ...request, body };
}

function termsOf(parsed: ReactionParsed, source: string): SubscriptionTerms {
  const { ok = null, failed = null, deadline = null } = parsed.then;
  return {
    highWatermark: parsed.highWatermark,
    resumeAt: 0.7,
    alertAt: parsed.alertAt,
    maxAgeMs: parsed.deadline,
    retry: retryOf(parsed.retry),
    // What `failed` tells of has had its consequence; what nobody is told of waits for a person.
    onDeadHead: failed === null ? "block" : "skip",
    delivery: "upstream",
    reaction: { source, ok, failed, deadline },
  };
}
