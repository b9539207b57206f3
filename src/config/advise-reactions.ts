// Advice on reactions: what is valid, and may leave something undone. One line each.

import { matchesEvent } from "../delivery/events/event-pattern.ts";
import { MAX_HOPS } from "../delivery/events/correlation.ts";
import { formatPath } from "./error-lines.ts";
import type { SubscriptionPlan } from "./plan.ts";
import { reactionCycle } from "./reaction-rules.ts";

export function reactionAdvice(subscriptions: readonly SubscriptionPlan[]): string[] {
  const reactions = subscriptions.flatMap(({ name, events, deliver, terms: { reaction } }) => {
    const undoes = deliver.kind === "upstream" && deliver.request?.method === "DELETE";
    return reaction === undefined ? [] : [{ name, on: events, reaction, undoes }];
  });
  const unheard = reactions.flatMap(({ name, reaction: { ok, failed, deadline } }) =>
    Object.entries({ ok, failed, deadline }).flatMap(([which, type]) =>
      type === null || subscriptions.some(({ events }) => matchesEvent(events, type))
        ? []
        : [`${formatPath(["reactions", name, "then", which])}: nobody has subscribed to it`],
    ),
  );
  const untold = reactions.flatMap(({ name, undoes, reaction: { ok, failed } }) =>
    ok !== null && failed === null && !undoes
      ? [
          `${formatPath(["reactions", name, "then", "failed"])}: nobody learns when it fails and undoes ` +
            "what came before; it becomes a dead letter",
        ]
      : [],
  );
  const links = reactions.map(({ name, on, reaction: { ok, failed, deadline } }) => {
    return { name, on, leadsTo: [ok, failed, deadline].filter((type) => type !== null) };
  });
  const cycle = reactionCycle(links);
  const round =
    cycle === null
      ? []
      : [
          `${formatPath(["reactions", cycle[0]])}: may go round, ${[...cycle, cycle[0]].join(" -> ")}; ` +
            `an event that has come through ${MAX_HOPS} reactions becomes a dead letter`,
        ];
  return [...unheard, ...untold, ...round];
}
