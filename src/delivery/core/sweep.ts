// What time alone brings about: retries that are due, leases and jobs whose time is over, pointers that were
// lost, alerts, replays, old rows. One call does what is due; `nextWakeAt` says when to call again.

import { alertDueAt } from "./alert.ts";
import type { Book, LiveJob } from "./book.ts";
import { VISIBILITY_MS, isLeased, isRunnable, makeReady, outboxRow, wakeDue, watchDepth } from "./book.ts";
import { EXPIRED } from "./claim.ts";
import { followClock } from "./clock.ts";
import { collectOld } from "./collect.ts";
import { skipDisabled } from "./endpoint.ts";
import { endLease, nextLeaseEndAt } from "./leases.ts";
import { continueReplay } from "./replay.ts";
import { endSettled } from "./settle.ts";
import type { OutboxReads, Write } from "./storage.ts";

/** Between two looks at every live job. */
export const SWEEP_MS = 30_000;
/** `VISIBILITY_MS` is doubled with each pointer that was sent, up to this. */
export const MAX_VISIBILITY_MS = 3600 * 1000;
/** Changes of one sweep; the rest follows at once. */
export const MAX_SWEEP_CHANGES = 1_000;
/** The earliest next time: an alarm for now may not fire. */
const SOON_MS = 10;
const REPLAY_STEP_MS = 1_000;

/** Does everything that is due at `now`. */
export function passTime(book: Book, reads: OutboxReads, now: number): Write[] {
  followClock(book, now);
  wakeDue(book, now);
  const isLate = now >= book.nextExpiryAt || now >= nextLeaseEndAt(book);
  const isDue = isLate || now - book.sweptAt >= SWEEP_MS || now < book.sweptAt;
  const writes = isDue ? sweep(book, reads, now) : [];
  writes.push(...skipDisabled(book, reads, now));
  writes.push(...continueReplay(book, reads, now), ...collectOld(book, reads, now), ...watchDepth(book, now));
  if (book.isRowStale) {
    writes.push({ kind: "outbox", row: outboxRow(book) });
    book.isRowStale = false;
  }
  return writes;
}

function sweep(book: Book, reads: OutboxReads, now: number): Write[] {
  const writes: Write[] = [];
  let nextExpiryAt = Number.POSITIVE_INFINITY;
  for (const job of book.live.values()) {
    if (writes.length >= MAX_SWEEP_CHANGES) return writes;
    writes.push(...sweepJob(book, job, reads, now));
    if (!book.live.has(job.seq)) continue;
    // Whoever has it may still finish it.
    nextExpiryAt = Math.min(nextExpiryAt, Math.max(job.expiresAt, job.leaseUntil));
  }
  book.nextExpiryAt = nextExpiryAt;
  book.sweptAt = now;
  forgetClaims(book, now);
  return writes;
}

/** Nobody has a job by a claim whose time is over, now that all jobs have been looked at. */
function forgetClaims(book: Book, now: number): void {
  for (const [fence, { until, slot }] of book.claims) {
    if (until > now) continue;
    book.claims.delete(fence);
    book.freeSlots.push(slot);
  }
}

function sweepJob(book: Book, job: LiveJob, reads: OutboxReads, now: number): Write[] {
  if (isLeased(job, now)) return [];
  if (job.leaseUntil !== 0) return endLease(book, job, reads, now);
  if (job.expiresAt <= now) {
    return endSettled(book, job, { status: "expired", reason: EXPIRED, result: null }, reads, now);
  }
  const isLost = job.publishedAt + visibilityMs(job.pointers) <= now;
  if (isLost && !job.isReady && isRunnable(book, job, now)) {
    makeReady(book, job, now);
    if (job.publishedAt !== 0) book.republishedAt = now;
    book.isRowStale = true;
  }
  return [];
}

/** How long a pointer may take; a long backlog must not fill itself up with repetitions. */
function visibilityMs(pointers: number): number {
  return Math.min(VISIBILITY_MS * 2 ** Math.max(0, pointers - 1), MAX_VISIBILITY_MS);
}

/**
 * When `passTime` has something to do next; null: never, as things are. `canPublish`: whether a relay would
 * begin then.
 */
export function nextWakeAt(book: Book, now: number, canPublish: boolean): number | null {
  const times = [
    book.nextDueAt,
    book.nextExpiryAt,
    nextLeaseEndAt(book),
    book.collectAt,
    alertDueAt(book.alert) ?? Number.POSITIVE_INFINITY,
  ];
  if (book.live.size > 0) times.push(book.sweptAt + SWEEP_MS);
  if (book.replay !== null) times.push(book.replayedAt + Math.max(REPLAY_STEP_MS, 1_000 / book.replay.rate));
  if (canPublish && book.ready.length > 0) times.push(Math.max(book.relay.notBefore, book.relay.leaseUntil));
  const next = Math.min(...times);
  return Number.isFinite(next) ? Math.max(next, now + SOON_MS) : null;
}
