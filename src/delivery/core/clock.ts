// A clock that is set back must not make everything wait until it has caught up: what lies ahead of the
// newest moment that was seen keeps its distance to now. One that is set forward needs nothing: leases and
// waits are over early, once, and fences see to it that nothing counts twice.
//
//   shift = seen - now, when now < seen - TOLERANCE        t' = t - shift
//
// When a job expires and what is kept of it are calendar times and stay as they are.

import type { Book } from "./book.ts";

/** A clock may be corrected by so much without anybody's notice. */
export const CLOCK_TOLERANCE_MS = 1_000;

/** Follows a clock that was set back since the last call. */
export function followClock(book: Book, now: number): void {
  const backMs = book.seenAt - now;
  if (backMs <= CLOCK_TOLERANCE_MS) {
    if (backMs < 0) book.seenAt = now;
    return;
  }
  shiftJobs(book, backMs);
  book.seenAt = now;
}

/**
 * The same at a boot, which knows from the rows alone how late it was. Waits that end before that moment may
 * be by the new clock already, so they stay.
 */
export function followStoredClock(book: Book, now: number): void {
  const backMs = book.seenAt - now;
  if (backMs > CLOCK_TOLERANCE_MS) {
    for (const job of book.live.values()) {
      const nextAt = job.trial?.nextAt ?? 0;
      if (job.trial !== null && nextAt > book.seenAt) job.trial = { ...job.trial, nextAt: nextAt - backMs };
      if (job.leaseUntil > book.seenAt) job.leaseUntil -= backMs;
    }
    shiftBook(book, backMs);
  }
  book.seenAt = now;
}

function shiftJobs(book: Book, backMs: number): void {
  for (const job of book.live.values()) {
    if (job.trial !== null) job.trial = { ...job.trial, nextAt: job.trial.nextAt - backMs };
    if (job.leaseUntil !== 0) job.leaseUntil -= backMs;
    if (job.publishedAt !== 0) job.publishedAt -= backMs;
  }
  shiftBook(book, backMs);
}

function shiftBook(book: Book, backMs: number): void {
  for (const claim of book.claims.values()) claim.until -= backMs;
  const { relay, alert } = book;
  if (relay.leaseUntil !== 0) relay.leaseUntil -= backMs;
  relay.notBefore -= backMs;
  book.wentWellAt -= backMs;
  if (book.pace !== null) book.pace.until -= backMs;
  if (alert.overSince !== null) book.alert = { ...alert, overSince: alert.overSince - backMs };
  book.nextDueAt -= backMs;
  book.collectAt -= backMs;
  book.replayedAt -= backMs;
  book.sweptAt -= backMs;
  book.takenUntil -= backMs;
  book.publishedUntil -= backMs;
  book.republishedAt -= backMs;
  book.isRowStale = true;
}
