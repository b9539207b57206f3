// Publishing in three steps: take what may run, send its pointers, mark them as sent. A relay holds a fenced
// lease meanwhile. When one stalls, the next takes over with a greater fence and sends the same pointers
// again; the stalled one's mark is refused. So a pointer may be sent twice and is never passed over.

import type { Book } from "./book.ts";
import { isRunnable, makeReady, wakeDue } from "./book.ts";
import { notePublished, roomToPublish } from "./pace.ts";

/** The runtime takes so many messages at once; a pointer is far below its 256 KB for all of them. */
export const RELAY_BATCH_POINTERS = 100;
/** Sending a batch takes much less. */
export const RELAY_LEASE_MS = 30_000;
/** After the first failure in a row; doubled with each. */
export const RELAY_RETRY_MS = 1_000;
export const MAX_RELAY_RETRY_MS = 30_000;

/** Begins to publish: the fence, or null while another relay does or a failure is waited out. */
export function beginRelay(book: Book, now: number): number | null {
  const { relay } = book;
  if (relay.leaseUntil > now || relay.notBefore > now) return null;
  putBack(book, now);
  relay.fence += 1;
  relay.leaseUntil = now + RELAY_LEASE_MS;
  book.isRowStale = true;
  return relay.fence;
}

/** The next jobs to send; empty when there are none; null when another relay has taken over. */
export function takeBatch(book: Book, fence: number, now: number): readonly number[] | null {
  const { relay } = book;
  if (relay.fence !== fence) return null;
  wakeDue(book, now);
  book.takenUntil = now;
  const batch: number[] = [];
  const { ready } = book;
  let taken = 0;
  const room = Math.min(RELAY_BATCH_POINTERS, roomToPublish(book, now));
  while (taken < ready.length && batch.length < room) {
    const seq = ready[taken++];
    const job = book.live.get(seq);
    if (job === undefined || !job.isReady) continue;
    job.isReady = false;
    if (!isRunnable(book, job, now)) continue;
    job.publishedAt = now;
    batch.push(seq);
  }
  ready.splice(0, taken);
  notePublished(book, batch.length);
  relay.inFlight = batch;
  relay.leaseUntil = now + RELAY_LEASE_MS;
  return batch;
}

/** Says that the batch was sent. False: another relay has taken over, nothing changed. */
export function markPublished(book: Book, fence: number, now: number): boolean {
  const { relay } = book;
  if (relay.fence !== fence) return false;
  for (const seq of relay.inFlight) {
    book.cursor = Math.max(book.cursor, seq);
    const job = book.live.get(seq);
    if (job !== undefined) job.pointers += 1;
  }
  if (book.ready.length === 0) book.publishedUntil = book.takenUntil;
  book.counts.published += relay.inFlight.length;
  book.isRowStale = true;
  relay.inFlight = [];
  relay.failures = 0;
  relay.leaseUntil = now + RELAY_LEASE_MS;
  return true;
}

/** Ends a relay that has sent everything. */
export function endRelay(book: Book, fence: number): void {
  if (book.relay.fence === fence) book.relay.leaseUntil = 0;
}

/** Ends a relay whose batch may not have been sent: it is sent again after a while. */
export function failRelay(book: Book, fence: number, now: number): void {
  const { relay } = book;
  if (relay.fence !== fence) return;
  putBack(book, now);
  relay.leaseUntil = 0;
  relay.notBefore = now + Math.min(RELAY_RETRY_MS * 2 ** relay.failures, MAX_RELAY_RETRY_MS);
  relay.failures += 1;
}

/** What was being sent comes first again. */
function putBack(book: Book, now: number): void {
  const { relay } = book;
  if (relay.inFlight.length === 0) return;
  const later = book.ready;
  book.ready = [];
  for (const seq of relay.inFlight) {
    const job = book.live.get(seq);
    if (job === undefined) continue;
    job.publishedAt = 0;
    makeReady(book, job, now);
  }
  for (const seq of later) book.ready.push(seq);
  relay.inFlight = [];
}
