// What the outbox of the events reads: its subscriptions, and what each of them has not got yet.

import type { Pending, SubscriptionRoute } from "../../src/delivery/core/event-protocol.ts";
import type { EventReplay } from "../../src/delivery/core/event-replay.ts";
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

const EVENT_COLUMNS = "seq, acceptedAt, secret, origin, target, body";
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
  return pageOf(
    sql.exec<EventColumns>(
      `SELECT ${EVENT_COLUMNS} FROM jobs WHERE seq > ? AND ${IS_FOR} ORDER BY seq LIMIT ?`,
      scanned,
      definition.name,
      MAX_HANDED_EVENTS,
    ),
  );
}

function pageOf(cursor: Iterable<EventColumns>): readonly PublishedEvent[] {
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

// --- replays

/** What a replay by time is about: $1 after, $2 up to, $3 and $4 the time, $5 the subscription. */
const IN_REPLAY = `seq > ? AND seq <= ? AND acceptedAt BETWEEN ? AND ? AND ${IS_FOR}`;

export function readReplays(sql: SqlStorage): [name: string, run: EventReplay][] {
  return sql
    .exec<{ name: string; run: string }>("SELECT name, run FROM replays")
    .toArray()
    .map(({ name, run }) => {
      const parsed: EventReplay = JSON.parse(run);
      return [name, parsed];
    });
}

/** The next `max` events of a replay. */
export function readReplayPage(
  sql: SqlStorage,
  name: string,
  { seqs, after, upTo, since, until }: EventReplay,
  max: number,
): readonly PublishedEvent[] {
  if (seqs === null) {
    const text = `SELECT ${EVENT_COLUMNS} FROM jobs WHERE ${IN_REPLAY} ORDER BY seq LIMIT ?`;
    return pageOf(sql.exec<EventColumns>(text, after, upTo, since, until, name, max));
  }
  const text =
    `SELECT ${EVENT_COLUMNS} FROM jobs ` +
    "WHERE seq > ? AND seq IN (SELECT value FROM json_each(?)) ORDER BY seq LIMIT ?";
  return pageOf(sql.exec<EventColumns>(text, after, JSON.stringify(seqs), max));
}

/** How many events a replay by time is about. */
export function countEvents(
  sql: SqlStorage,
  name: string,
  { after, upTo, since, until }: Pick<EventReplay, "after" | "upTo" | "since" | "until">,
): number {
  const text = `SELECT COUNT(*) AS count FROM jobs WHERE ${IN_REPLAY}`;
  return sql.exec<{ count: number }>(text, after, upTo, since, until, name).one().count;
}

/** Events of these ids that a subscription has had; an id may be that of several, of different sources. */
export function findEvents(
  sql: SqlStorage,
  name: string,
  ids: readonly string[],
  upTo: number,
): { readonly seq: number; readonly id: string }[] {
  return sql
    .exec<{ seq: number; id: string }>(
      `SELECT seq, json_extract(target, '$.event.id') AS id FROM jobs
       WHERE seq <= ? AND target IS NOT NULL AND ${IS_FOR}
         AND json_extract(target, '$.event.id') IN (SELECT value FROM json_each(?))
       ORDER BY seq LIMIT ?`,
      upTo,
      name,
      JSON.stringify(ids),
      MAX_HANDED_EVENTS,
    )
    .toArray();
}
