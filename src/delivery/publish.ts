// Publishes events: each is in the outbox of all events, in one transaction, before anybody is told so. The
// same event (source and id name it) may come again within a day and is then known: nothing happens twice.

import type { Plan, TrafficClass } from "../config/plan.ts";
import type { Engine } from "../edge/engine.ts";
import type { Submitted } from "./accept-batches.ts";
import { digestOf } from "./accept-body.ts";
import { MAX_BATCH_JOBS, type AcceptItem } from "./core/protocol.ts";
import type { CloudEvent } from "./events/cloud-event.ts";
import type { Outboxes } from "./outboxes.ts";

/** Longest wait for the outbox of the events. */
export const PUBLISH_TIMEOUT_MS = 5_000;

/** What is kept with an event of who has published it. */
export interface Publication {
  readonly event: CloudEvent;
  readonly priority: TrafficClass;
  readonly consumer: string | null;
  readonly tenant: string | null;
  /** Within which its key counts. */
  readonly route: string;
  /** Null: the event is new, whatever it is called. */
  readonly key: string | null;
  readonly fingerprint: string;
  readonly traceparent: string | null;
  readonly requestId: string | null;
}

/** The text whose hash stands for an event. */
export function eventKeyOf({ source, id }: Pick<CloudEvent, "source" | "id">): string {
  return digestOf(new TextEncoder().encode(`${source}\n${id}`));
}

/** Publishes one event; null: there is nowhere to. */
export function publish(
  { outboxes, plan }: Engine,
  publication: Publication,
  keep: (work: Promise<unknown>) => void,
  waitMs = PUBLISH_TIMEOUT_MS,
): Promise<Submitted | null> {
  if (outboxes === null) return Promise.resolve(null);
  return outboxes.events(plan).submit(itemOf(publication), waitMs, keep);
}

/**
 * Publishes events that stand in an order, by whoever may publish any: as one batch, which shares no call
 * with others. What is not stored has nothing of the batch stored behind it.
 */
export async function publishTogether(
  outboxes: Outboxes,
  plan: Plan,
  events: readonly CloudEvent[],
  { traceparent, requestId }: Pick<Publication, "traceparent" | "requestId">,
): Promise<readonly Submitted[]> {
  const items = events.map((event) => {
    const key = eventKeyOf(event);
    const origin = { priority: 1, consumer: null, tenant: null, route: "events" } as const;
    return itemOf({ ...origin, event, key, fingerprint: key, traceparent, requestId });
  });
  const submitted: Submitted[] = [];
  for (let at = 0; at < items.length; at += MAX_BATCH_JOBS) {
    const part = await outboxes.acceptEvents(plan, items.slice(at, at + MAX_BATCH_JOBS), PUBLISH_TIMEOUT_MS);
    submitted.push(...part);
    if (part.some(({ kind }) => kind === "unanswered" || kind === "backlog-full")) break;
  }
  return submitted;
}

function itemOf({ event, key, fingerprint, ...origin }: Publication): AcceptItem {
  return {
    ...origin,
    target: { kind: "event", event },
    key: null,
    idempotency: key === null ? null : { key, fingerprint },
    maxAgeMs: null,
  };
}
