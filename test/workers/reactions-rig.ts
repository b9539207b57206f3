// What the tests of reactions share: a reaction with somebody who hears of its outcomes, and its jobs.

import { expect, vi } from "vitest";
import type { ReactionTerms, SubscriptionRoute } from "../../src/delivery/core/event-protocol.ts";
import type { DeliveryOutcome } from "../../src/delivery/core/protocol.ts";
import type { CloudEvent } from "../../src/delivery/events/cloud-event.ts";
import { event, eventIds, newName, outboxOf, publish, subscription } from "./events-rig.ts";
import { TERMS, bind, listQueue, sql, type Stub } from "./outbox-rig.ts";

export const SOON = { timeout: 15_000, interval: 10 };
export const HOUR_MS = 3_600_000;

export const ANSWER: DeliveryOutcome = {
  kind: "succeeded",
  result: {
    status: 201,
    headers: [["content-type", "application/json"]],
    body: new TextEncoder().encode('{"id":"r-1"}'),
  },
};
export const REFUSAL: DeliveryOutcome = { kind: "refused", result: { status: 422, headers: [], body: null } };

export interface Pair {
  readonly reaction: SubscriptionRoute;
  /** Whoever hears of its outcomes. */
  readonly log: SubscriptionRoute;
}

/** A reaction to events of its own type, and a subscription to what it brings about. */
export function newReaction(changes: Partial<ReactionTerms> = {}, ordered = false): Pair {
  const name = newName();
  const types = { ok: `${name}.ok`, failed: `${name}.failed`, deadline: `${name}.late`, ...changes };
  const terms = {
    ...TERMS,
    maxAgeMs: HOUR_MS,
    onDeadHead: "skip" as const,
    reaction: { source: `/test/reactions/${name}`, ...types },
  };
  return {
    reaction: subscription({ name, events: [name], ordered, terms, delivery: "upstream" }),
    log: subscription({ events: [`${name}.*`] }),
  };
}

export function caused({ reaction }: Pair, id: string, changes: Partial<CloudEvent> = {}): CloudEvent {
  return event(id, { type: reaction.name, ...changes });
}

/** Publishes, and gives the ids of the reaction's jobs. */
export async function begin(
  pair: Pair,
  all: readonly CloudEvent[],
  others: readonly Pair[] = [],
): Promise<string[]> {
  const stub = outboxOf(pair.reaction);
  await bind(stub, { DELIVERY: listQueue(), TIDEGATE_LOCAL: "1" });
  const [{ before }] = await sql(stub, "SELECT IFNULL(MAX(seq), 0) AS before FROM jobs");
  await publish(
    all,
    [pair, ...others].flatMap(({ reaction, log }) => [reaction, log]),
  );
  await vi.waitFor(async () => expect((await stub.describe()).depth).toBe(all.length), SOON);
  const rows = await sql(stub, `SELECT seq, secret FROM jobs WHERE seq > ${Number(before)} ORDER BY seq`);
  const toId = ({ seq, secret }: Record<string, SqlStorageValue>): string =>
    `${String(secret)}-${Number(seq).toString(36)}-subscription.${pair.reaction.name}`;
  return rows.map(toId);
}

/** A stub of its own after a kill, which stays in local development. */
export async function fresh({ reaction }: Pair): Promise<Stub> {
  const stub = outboxOf(reaction);
  await bind(stub, { TIDEGATE_LOCAL: "1" });
  return stub;
}

export async function heard({ log }: Pair): Promise<CloudEvent[]> {
  const rows = await sql(outboxOf(log), "SELECT target, CAST(body AS TEXT) AS data FROM jobs ORDER BY seq");
  return rows.map(({ target, data }) => {
    const { event: head }: { event: CloudEvent } = JSON.parse(String(target));
    return { ...head, data: data === null ? { kind: "none" } : { kind: "json", text: String(data) } };
  });
}

export async function hear(pair: Pair, count: number): Promise<CloudEvent[]> {
  await vi.waitFor(async () => expect(await eventIds(outboxOf(pair.log))).toHaveLength(count), SOON);
  return heard(pair);
}
