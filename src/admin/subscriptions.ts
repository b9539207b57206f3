// Events and their subscriptions on the state page and among the metrics. What the outbox of the events has
// not handed on yet belongs to a subscription's lag: an event counts from the moment it was published.

import type { EndpointState, WaitingSequels } from "../delivery/core/event-protocol.ts";
import type { Engine } from "../edge/engine.ts";
import type { PrometheusText } from "../telemetry/prometheus.ts";
import { renderQueues, stateOf, type QueueState } from "./queues.ts";

export interface SubscriptionState extends QueueState {
  readonly delivery: "webhook" | "upstream" | "binding" | "pull";
  /** Events that wait for its outbox, and why; they are part of `depth` and `lag`. */
  readonly pending: { readonly count: number; readonly reason: string | null };
  /** Events that a replay has handed to it so far; null: there is none under way. */
  readonly replayed: number | null;
  /** How a webhook's receiver fares; null: nothing has gone wrong. */
  readonly endpoint: EndpointState | null;
}

/** A reaction is a subscription, and what it has brought about waits to be published. */
export type ReactionState = Omit<SubscriptionState, "endpoint"> & { readonly outcomes: WaitingSequels };

export interface EventStates {
  /** By name; null: its outbox did not answer. */
  readonly subscriptions: Readonly<Record<string, SubscriptionState | null>>;
  readonly reactions: Readonly<Record<string, ReactionState | null>>;
  readonly events: QueueState | null;
}

/** Asks the outbox of the events and that of every subscription. */
export async function describeEvents({ plan, outboxes }: Engine): Promise<EventStates> {
  const publishes = plan.routes.some(({ destination }) => destination.kind === "event");
  if (outboxes === null || (plan.subscriptions.length + plan.relays.length === 0 && !publishes)) {
    return { subscriptions: {}, reactions: {}, events: null };
  }
  const [log, ...described] = await Promise.all([
    outboxes.askEvents((outbox) => outbox.describe()),
    ...plan.subscriptions.map(({ name }) => outboxes.askSubscription(name, (outbox) => outbox.describe())),
  ]);
  const entries = plan.subscriptions.map(({ name, deliver }, index) => {
    const own = described[index];
    if (own === null) return [name, null] as const;
    const { count = 0, oldestAgeMs = 0, reason = null, replayed = null } = log?.pending?.[name] ?? {};
    const state = stateOf(own);
    const subscription: SubscriptionState = {
      ...state,
      depth: state.depth + count,
      lag: state.lag + count,
      oldestAgeMs: Math.max(state.oldestAgeMs, oldestAgeMs),
      delivery: deliver.kind,
      pending: { count, reason },
      replayed,
      endpoint: own.endpoint ?? null,
    };
    return [name, subscription] as const;
  });
  const isReaction = plan.subscriptions.map(({ terms }) => terms.reaction !== undefined);
  const reacting = entries.flatMap(([name, state], index) => {
    return isReaction[index] ? [[name, reactionState(state, described[index]?.sequels)] as const] : [];
  });
  return {
    subscriptions: Object.fromEntries(entries.filter((_, index) => !isReaction[index])),
    reactions: Object.fromEntries(reacting),
    events: log === null ? null : stateOf(log),
  };
}

function reactionState(
  state: SubscriptionState | null,
  outcomes: WaitingSequels = { count: 0, oldestAgeMs: 0, reason: null },
): ReactionState | null {
  if (state === null) return null;
  const { endpoint: _, ...rest } = state;
  return { ...rest, outcomes };
}

export function renderEvents(text: PrometheusText, { subscriptions, reactions, events }: EventStates): void {
  renderQueues(text, subscriptions, "subscription");
  renderReactions(text, reactions);
  const known = Object.entries(subscriptions).filter(([, state]) => state !== null);
  if (known.length > 0) {
    const metric = "tidegate_subscription_endpoint_disabled";
    text.metric(metric, "gauge", "1 while nothing is sent to a webhook's receiver.");
    for (const [name, state] of known) {
      text.sample(
        metric,
        { tidegate_subscription: name },
        (state?.endpoint?.disabled ?? null) === null ? 0 : 1,
      );
    }
  }
  if (events === null) return;
  text.metric("tidegate_events_depth", "gauge", "Events that are still to be handed to a subscription.");
  text.sample("tidegate_events_depth", {}, events.depth);
  text.metric("tidegate_events_total", "counter", "What the outbox of the events has done since it began.");
  for (const [event, count] of Object.entries(events.counts)) {
    text.sample("tidegate_events_total", { event }, count);
  }
}

function renderReactions(text: PrometheusText, reactions: EventStates["reactions"]): void {
  renderQueues(text, reactions, "reaction");
  const known = Object.entries(reactions).flatMap(([name, state]) =>
    state === null ? [] : [{ labels: { tidegate_reaction: name }, outcomes: state.outcomes }],
  );
  if (known.length === 0) return;
  const waiting = "tidegate_reaction_outcomes_waiting";
  text.metric(waiting, "gauge", "Events of a reaction's outcomes that are still to be published.");
  for (const { labels, outcomes } of known) text.sample(waiting, labels, outcomes.count);
  const age = "tidegate_reaction_outcomes_oldest_age_seconds";
  text.metric(age, "gauge", "Age of the oldest of them.");
  for (const { labels, outcomes } of known) text.sample(age, labels, outcomes.oldestAgeMs / 1000);
}
