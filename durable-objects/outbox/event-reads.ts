// What the outbox of the events reads: its subscriptions, and what each of them has not got yet.

import type { Pending, SubscriptionRoute } from "../../src/delivery/core/event-protocol.ts";
import { EVENTS_OUTBOX, formatJobId } from "../../src/delivery/core/job-id.ts";
import type { PublishedEvent, Route, Routes } from "../../src/delivery/core/routes.ts";
import { MAX_HANDED_BYTES, MAX_HANDED_EVENTS, newRoute } from "../../src/delivery/core/routes.ts";
import { joinTarget, type Origin } from "./columns.ts";

type EventColumns = {
  seq: number;
  acceptedAt: number;
  secret: string;
  origin: string;
  target: string;
  body: ArrayBuffer | null;
};

const IS_FOR = "EXISTS (SELECT 1 FROM json_each(jobs.target, '$.recipients') WHERE value = ?)";

export function readRoutes(sql: SqlStorage): Routes {
  const rows = sql.exec<{ name: string; cursor: number; definition: string }>("SELECT * FROM routes");
  return new Map(
    rows.toArray().map(({ name, cursor, definition }) => {
      const parsed: SubscriptionRoute = JSON.parse(definition);
      return [name, newRoute(parsed, cursor)];
    }),
  );
}

/** The next events of a subscription: as many as go into one hand-over. */
export function readPage(sql: SqlStorage, { definition, scanned }: Route): readonly PublishedEvent[] {
  const cursor = sql.exec<EventColumns>(
    `SELECT seq, acceptedAt, secret, origin, target, body FROM jobs WHERE seq > ? AND ${IS_FOR} ORDER BY seq LIMIT ?`,
    scanned,
    definition.name,
    MAX_HANDED_EVENTS,
  );
  const page: PublishedEvent[] = [];
  let bytes = 0;
  for (const { seq, acceptedAt, secret, origin, target: head, body } of cursor) {
    const target = joinTarget(head, body);
    if (target.kind !== "event") continue;
    const { priority, route, traceparent, requestId, region }: Origin = JSON.parse(origin);
    const id = formatJobId({ ...EVENTS_OUTBOX, secret, seq });
    const size = head.length + (body?.byteLength ?? 0);
    page.push({
      job: { seq, secret, acceptedAt, priority, route, traceparent, requestId, region },
      id,
      event: target.event,
      bytes: size,
    });
    bytes += size;
    if (bytes >= MAX_HANDED_BYTES) break;
  }
  return page;
}

/** What a subscription has not got yet. */
export function readPending(sql: SqlStorage, { definition, scanned, reason }: Route, now: number): Pending {
  const { count, oldestAt } = sql
    .exec<{ count: number; oldestAt: number | null }>(
      `SELECT COUNT(*) AS count, MIN(acceptedAt) AS oldestAt FROM jobs WHERE seq > ? AND ${IS_FOR}`,
      scanned,
      definition.name,
    )
    .one();
  return { count, oldestAgeMs: oldestAt === null ? 0 : Math.max(0, now - oldestAt), reason };
}
