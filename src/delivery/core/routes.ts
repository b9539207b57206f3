// How published events get to their subscriptions. When an event is taken in, the configuration of that
// moment says whom it is for, and that is stored with it. Each subscription has a cursor of its own: all
// its events up to there are in its outbox.
//
//   hand on    the events behind the cursor, in their order, as jobs whose idempotency key is the event's id
//              here: a batch that comes twice changes nothing
//   advance    once they are stored there
//   hold       a subscription whose outbox is full or does not answer waits alone; the others go on
//
// An event has ended here when every subscription that is not held has it. It is kept while one is behind.

import { KEY_EXTENSION, SEQUENCE_EXTENSION, type CloudEvent } from "../events/cloud-event.ts";
import { matchesEvent } from "../events/event-pattern.ts";
import { fingerprint64 } from "../events/fingerprint.ts";
import { MAX_KEY_CHARS } from "../../hub/protocol.ts";
import type { Book } from "./book.ts";
import { endJob, outboxRow, watchDepth } from "./book.ts";
import type { SubscriptionRoute } from "./event-protocol.ts";
import type { CheckedAccept } from "./requests.ts";
import type { AcceptItem, AcceptOutcome, AcceptReply, EventTarget } from "./protocol.ts";
import { MAX_BATCH_JOBS } from "./protocol.ts";
import type { JobRow, Write } from "./storage.ts";

/** Events of one hand-over, and the bytes at which it begins to be enough. */
export const MAX_HANDED_EVENTS = MAX_BATCH_JOBS;
export const MAX_HANDED_BYTES = 4 * 1024 * 1024;
/** After the first failure in a row; doubled with each. */
export const HOLD_MS = 1_000;
export const MAX_HOLD_MS = 30_000;
/** A `sequence` is a text that sorts as its number does. */
const SEQUENCE_DIGITS = 16;

export interface Route {
  definition: SubscriptionRoute;
  /** All its events up to here are in its outbox, and that is stored. */
  cursor: number;
  /** The same, as far as this boot knows: events that are not for it are passed by without a write. */
  scanned: number;
  isBusy: boolean;
  /** Held until then; 0: it is not. */
  heldUntil: number;
  failures: number;
  /** Why it is held. */
  reason: string | null;
}

export type Routes = Map<string, Route>;

/** An event as it is handed on. */
export interface PublishedEvent {
  readonly job: Pick<
    JobRow,
    "seq" | "secret" | "acceptedAt" | "priority" | "route" | "traceparent" | "requestId" | "region"
  >;
  /** The id of its job here. */
  readonly id: string;
  readonly event: CloudEvent;
  readonly bytes: number;
}

export function newRoute(definition: SubscriptionRoute, cursor: number): Route {
  const idle = { isBusy: false, heldUntil: 0, failures: 0, reason: null };
  return { definition, cursor, scanned: cursor, ...idle };
}

/** Takes over what a configuration says of its subscriptions; a new one begins with the next event. */
export function learnRoutes(routes: Routes, told: readonly SubscriptionRoute[], lastSeq: number): Write[] {
  const writes: Write[] = [];
  for (const definition of told) {
    const { name } = definition;
    const known = routes.get(name);
    if (known !== undefined && JSON.stringify(known.definition) === JSON.stringify(definition)) continue;
    if (known === undefined) routes.set(name, newRoute(definition, lastSeq));
    else known.definition = definition;
    writes.push({ kind: "route", name, cursor: known?.cursor ?? lastSeq, definition });
  }
  return writes;
}

/** Notes whom the newest configuration names, to be stored with what came from it. */
export function noteTold(book: Book, told: readonly SubscriptionRoute[]): Write[] {
  const names = told.map(({ name }) => name);
  if (book.told !== null && JSON.stringify(book.told) === JSON.stringify(names)) return [];
  book.told = names;
  return [{ kind: "outbox", row: outboxRow(book) }];
}

/** Whom an event may be for that comes from somebody who knows no configuration. */
export function toldRoutes({ told }: Book, routes: Routes): readonly SubscriptionRoute[] {
  const known = [...routes.values()].map(({ definition }) => definition);
  return told === null ? known : known.filter(({ name }) => told.includes(name));
}

/** Writes on each event of a batch whom it is for. */
export function addressEvents(
  batch: CheckedAccept,
  subscriptions: readonly SubscriptionRoute[],
): CheckedAccept {
  const items = batch.items.map((checked) => {
    if (checked.kind !== "item" || checked.item.target.kind !== "event") return checked;
    const { event } = checked.item.target;
    const recipients = subscriptions
      .filter(({ events }) => matchesEvent(events, event.type))
      .map(({ name }) => name);
    return {
      kind: "item" as const,
      item: { ...checked.item, target: { kind: "event" as const, event, recipients } },
    };
  });
  return { ...batch, items };
}

/** An event as a job of a subscription. */
export function subscriptionItem(
  { job, id, event }: PublishedEvent,
  { ordered, terms }: SubscriptionRoute,
  now: number,
): AcceptItem {
  const { priority, route, traceparent, requestId } = job;
  return {
    target: targetOf(event, ordered ? job.seq : null),
    priority,
    consumer: null,
    tenant: null,
    route,
    key: ordered ? orderKey(event) : null,
    idempotency: { key: id, fingerprint: job.secret + job.secret },
    traceparent,
    requestId,
    // The time of a reaction begins when its event is published.
    maxAgeMs:
      terms.reaction === undefined ? null : Math.max(0, terms.maxAgeMs - Math.max(0, now - job.acceptedAt)),
  };
}

/** Where order matters, receivers can see it. */
function targetOf(event: CloudEvent, seq: number | null): EventTarget {
  if (seq === null || event.extensions[SEQUENCE_EXTENSION] !== undefined) return { kind: "event", event };
  const sequence = String(seq).padStart(SEQUENCE_DIGITS, "0");
  return {
    kind: "event",
    event: { ...event, extensions: { ...event.extensions, [SEQUENCE_EXTENSION]: sequence } },
  };
}

/** Whose order events without a key of their own keep: that of all such. A route's events have none. */
const UNKEYED = "(none)";

/** Whose order an event keeps: its partition key's, else its subject's. */
export function orderKey({ extensions, subject }: Pick<CloudEvent, "extensions" | "subject">): string {
  const key = String(extensions[KEY_EXTENSION] ?? "") || (subject ?? "") || UNKEYED;
  return key.length <= MAX_KEY_CHARS ? key : `${key.slice(0, MAX_KEY_CHARS - 20)}#${fingerprint64(key)}`;
}

/** What comes before the first of a page that is refused, and how long to wait then; null: none is. */
export function takenOf<Item>(
  page: readonly Item[],
  outcomes: readonly AcceptOutcome[],
): { readonly taken: readonly Item[]; readonly retryAfterMs: number | null } {
  const refusedAt = outcomes.findIndex(({ kind }) => kind === "backlog-full");
  const refusal = outcomes[refusedAt];
  if (refusal?.kind !== "backlog-full") return { taken: page, retryAfterMs: null };
  return { taken: page.slice(0, refusedAt), retryAfterMs: refusal.retryAfterMs };
}

/** What a subscription's outbox answered to a page of events; null: it did not. */
export function afterHandOver(
  route: Route,
  page: readonly PublishedEvent[],
  reply: AcceptReply | null,
  now: number,
): Write[] {
  if (reply?.kind !== "answered") {
    const reason = reply === null ? "its outbox does not answer" : `its outbox refuses ${reply.field}`;
    hold(route, Math.min(HOLD_MS * 2 ** route.failures, MAX_HOLD_MS), reason, now);
    route.failures += 1;
    return [];
  }
  route.failures = 0;
  const { taken, retryAfterMs } = takenOf(page, reply.outcomes);
  if (retryAfterMs !== null) {
    hold(route, Math.min(retryAfterMs, MAX_HOLD_MS), "its outbox is over its watermark", now);
  } else {
    route.heldUntil = 0;
    route.reason = null;
  }
  const last = taken.at(-1);
  if (last === undefined) return [];
  route.cursor = route.scanned = last.job.seq;
  return [{ kind: "route", name: route.definition.name, cursor: route.cursor, definition: null }];
}

function hold(route: Route, forMs: number, reason: string, now: number): void {
  route.heldUntil = now + forMs;
  route.reason = reason;
}

/** Ends events that every subscription has which is not held. */
export function endHandedOn(book: Book, routes: Routes, now: number): Write[] {
  let upTo = book.lastSeq;
  for (const { scanned, reason } of routes.values()) if (reason === null) upTo = Math.min(upTo, scanned);
  book.keptFrom = firstKept(routes, book.lastSeq);
  const writes: Write[] = [];
  for (const job of book.live.values()) {
    if (job.seq > upTo) break;
    endJob(book, job, "succeeded", now);
    const { seq } = job;
    writes.push({
      kind: "end",
      seq,
      status: "succeeded",
      endedAt: now,
      reason: null,
      result: null,
      keepsTarget: true,
    });
  }
  return writes.length === 0 ? [] : [...writes, ...watchDepth(book, now)];
}

/** When to look after subscriptions that are held or have not answered yet; null: there are none. */
export function nextHandOverAt(routes: Routes, now: number): number | null {
  let next = Number.POSITIVE_INFINITY;
  for (const { heldUntil, reason, isBusy } of routes.values()) {
    // If this boot does not live to see the answer, the next one is woken.
    if (isBusy) next = Math.min(next, now + MAX_HOLD_MS);
    else if (reason !== null) next = Math.min(next, heldUntil);
  }
  return Number.isFinite(next) ? next : null;
}

/** The first event that a subscription has not got yet; infinite: all have all. */
export function firstKept(routes: Routes, lastSeq: number): number {
  let first = Number.POSITIVE_INFINITY;
  for (const { scanned } of routes.values()) if (scanned < lastSeq) first = Math.min(first, scanned + 1);
  return first;
}
