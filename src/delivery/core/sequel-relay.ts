// Publishes what reactions have brought about: in their order, each as a job of the outbox of the events
// whose idempotency key is its id, so that what comes twice is one. While that outbox is full or does not
// answer they wait here, and when many wait the reaction does nothing more: it feeds what is full.

import type { Book } from "./book.ts";
import type { WaitingSequels } from "./event-protocol.ts";
import type { AcceptItem, AcceptReply } from "./protocol.ts";
import { HOLD_MS, MAX_HOLD_MS, takenOf } from "./routes.ts";
import type { Sequel, Write } from "./storage.ts";

/** From so many on the reaction's own requests wait too. */
export const MAX_WAITING_SEQUELS = 1_000;

/** What a crash has left behind is published after this. */
export const WAKE_MS = 1_000;

export interface SequelRelay {
  isBusy: boolean;
  /** Held until then; 0: it is not. */
  heldUntil: number;
  failures: number;
  /** Why it is held. */
  reason: string | null;
}

export function newSequelRelay(): SequelRelay {
  return { isBusy: false, heldUntil: 0, failures: 0, reason: null };
}

/** One waiting event with the name that it has had from the beginning. */
export interface NamedSequel {
  readonly sequel: Sequel;
  readonly id: string;
  /** 64 hex digits that stand for what it follows from. */
  readonly fingerprint: string;
}

/** As a job of the outbox of the events. */
export function sequelItem({ sequel, id, fingerprint }: NamedSequel, route: string): AcceptItem {
  const { event, priority, traceparent, requestId } = sequel;
  return {
    target: { kind: "event", event: { ...event, id } },
    priority,
    consumer: null,
    tenant: null,
    route,
    key: null,
    idempotency: { key: id, fingerprint },
    traceparent,
    requestId,
    maxAgeMs: null,
  };
}

/** What the outbox of the events answered to a page; null: it did not. */
export function afterOffer(
  book: Book,
  relay: SequelRelay,
  page: readonly NamedSequel[],
  reply: AcceptReply | null,
  now: number,
): Write[] {
  if (reply?.kind !== "answered") {
    const reason =
      reply === null
        ? "the outbox of the events does not answer"
        : `that of the events refuses ${reply.field}`;
    hold(relay, Math.min(HOLD_MS * 2 ** relay.failures, MAX_HOLD_MS), reason, now);
    relay.failures += 1;
    watchSequels(book, relay);
    return [];
  }
  relay.failures = 0;
  const { taken, retryAfterMs } = takenOf(page, reply.outcomes);
  if (retryAfterMs !== null) {
    hold(relay, Math.min(retryAfterMs, MAX_HOLD_MS), "the outbox of the events is over its watermark", now);
  } else {
    relay.heldUntil = 0;
    relay.reason = null;
  }
  book.sequels.waiting -= taken.length;
  watchSequels(book, relay);
  return taken.length === 0 ? [] : [{ kind: "end-sequels", seqs: taken.map(({ sequel }) => sequel.seq) }];
}

function hold(relay: SequelRelay, forMs: number, reason: string, now: number): void {
  relay.heldUntil = now + forMs;
  relay.reason = reason;
}

/** A reaction whose events are refused, or that has too many, rests. */
export function watchSequels(book: Book, { reason, failures }: SequelRelay): void {
  const isRefused = reason !== null && failures === 0;
  book.sequels.areMany = isRefused || book.sequels.waiting >= MAX_WAITING_SEQUELS;
}

/**
 * When to look after what waits; null: nothing does. Whoever has stored it publishes it at once: the alarm is
 * for what was killed before.
 */
export function nextSequelAt({ sequels }: Book, relay: SequelRelay, now: number): number | null {
  if (sequels.waiting === 0) return null;
  if (relay.isBusy) return now + MAX_HOLD_MS;
  return relay.heldUntil > now ? relay.heldUntil : now + WAKE_MS;
}

export function describeSequels(
  { sequels }: Book,
  { reason }: SequelRelay,
  oldestAt: number | null,
  now: number,
): WaitingSequels {
  const oldestAgeMs = oldestAt === null ? 0 : Math.max(0, now - oldestAt);
  return { count: sequels.waiting, oldestAgeMs, reason: sequels.waiting === 0 ? null : reason };
}
