// What the tests of events share: the outbox of all events, and those of subscriptions that no other test
// has.

import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { Outbox } from "../../durable-objects/outbox.ts";
import type { SubscriptionRoute } from "../../src/delivery/core/event-protocol.ts";
import type { AcceptItem, AcceptOutcome, AcceptReply, QueueTerms } from "../../src/delivery/core/protocol.ts";
import type { CloudEvent } from "../../src/delivery/events/cloud-event.ts";
import { TERMS, type Stub } from "./outbox-rig.ts";

let made = 0;

/** A name that no other test has. */
export function newName(): string {
  return `s${(made += 1)}`;
}

export function subscription(
  changes: Partial<SubscriptionRoute> & { delivery?: QueueTerms["delivery"] } = {},
): SubscriptionRoute {
  const { delivery = "pull", terms, ...rest } = changes;
  return { name: newName(), events: ["*"], ordered: false, ...rest, terms: { ...TERMS, ...terms, delivery } };
}

export function event(id: string, changes: Partial<CloudEvent> = {}): CloudEvent {
  return {
    id,
    source: "/test",
    type: "order.paid",
    subject: null,
    time: null,
    dataContentType: "application/json",
    dataSchema: null,
    extensions: {},
    data: { kind: "json", text: `{"id":"${id}"}` },
    ...changes,
  };
}

export function events(): Stub {
  return env.OUTBOX.getByName("events.0");
}

export function outboxOf({ name }: SubscriptionRoute): Stub {
  return env.OUTBOX.getByName(`subscription.${name}.0`);
}

export function eventItem(published: CloudEvent): AcceptItem {
  return {
    target: { kind: "event", event: published },
    priority: 1,
    consumer: null,
    tenant: null,
    route: "events",
    key: null,
    idempotency: null,
    traceparent: null,
    requestId: null,
    maxAgeMs: null,
  };
}

/** Publishes to the outbox of the events; what became of each. */
export async function publish(
  published: readonly CloudEvent[],
  subscriptions: readonly SubscriptionRoute[],
  { keyed = false }: { readonly keyed?: boolean } = {},
): Promise<readonly AcceptOutcome[]> {
  const items = published.map((each) => {
    const idempotency = { key: `${subscriptions[0]?.name ?? ""}/${each.id}`, fingerprint: "a".repeat(64) };
    return keyed ? { ...eventItem(each), idempotency } : eventItem(each);
  });
  const request = {
    region: "weur",
    config: "c",
    terms: TERMS,
    items,
    refused: 0,
    subscriptions,
  };
  const reply: AcceptReply = await events().accept(request);
  if (reply.kind !== "answered") throw new Error(`accept answered ${JSON.stringify(reply)}`);
  return reply.outcomes;
}

/** Ids of all events in an outbox, in their order. */
export async function eventIds(stub: Stub): Promise<string[]> {
  const rows = await runInDurableObject(stub, (_: Outbox, { storage }) =>
    storage.sql
      .exec<{ id: string }>("SELECT json_extract(target, '$.event.id') AS id FROM jobs ORDER BY seq")
      .toArray(),
  );
  return rows.map(({ id }) => id);
}
