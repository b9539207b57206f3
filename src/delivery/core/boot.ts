// Builds the book from the rows. What is not stored is chosen so that at worst a pointer is sent twice.

import type { Book, LiveJob } from "./book.ts";
import { UNTOUCHED, VISIBILITY_MS, addLive, createBook, goOn, isRunnable } from "./book.ts";
import { followStoredClock } from "./clock.ts";
import { gateOf, parseGateName } from "./gates.ts";
import type { OutboxName } from "./job-id.ts";
import { joinLane, setRunning } from "./lanes.ts";
import type { StoredOutbox } from "./storage.ts";

/**
 * The book as of now. `queue`: whether the Cloudflare Queue has what was sent before the boot. One in memory,
 * as in local development, has forgotten it, so everything that may run is published again.
 */
export function bootBook(
  name: OutboxName,
  stored: StoredOutbox,
  now: number,
  queue: "keeps" | "forgets" = "keeps",
): Book {
  const book = createBook(name, now);
  restoreRow(book, stored, now);
  Object.assign(book.sequels, stored.sequels);
  for (const { seq, key, blocks } of stored.deadKeys) if (blocks) joinLane(book.lanes, key, seq);
  for (const row of stored.live) {
    addLive(book, { ...UNTOUCHED, ...row, trial: stored.trials.get(row.seq) ?? null });
    book.alertAt = row.terms.alertAt;
    book.delivery = row.terms.delivery ?? null;
  }
  restoreClaims(book, stored);
  for (const { acceptedAt } of stored.live) book.seenAt = Math.max(book.seenAt, acceptedAt);
  book.seenAt = Math.max(book.seenAt, book.drain.at, book.publishedUntil);
  followStoredClock(book, now);
  // An outbox that starts again and again must not repeat itself each time.
  const canRepeat = book.republishedAt + VISIBILITY_MS <= now;
  // What was tried comes last: else the oldest job would be the probe of an open circuit after every boot,
  // until its tries are used up.
  const byTries = [...book.live.values()].toSorted((one, other) => triesOf(one) - triesOf(other));
  for (const job of byTries) {
    if (queue === "forgets") goOn(book, job, now);
    else restorePlace(book, job, canRepeat, now);
  }
  for (const { name: gateName, refusing } of stored.gates) {
    const terms = parseGateName(gateName);
    if (terms !== null) gateOf(book.gates, terms).refusing = refusing;
  }
  return book;
}

function triesOf({ trial }: LiveJob): number {
  return trial?.attempts ?? 0;
}

function restoreRow(book: Book, { row, live, lastSeq, deadRows }: StoredOutbox, now: number): void {
  book.lastSeq = lastSeq;
  // Jobs that nobody has looked at since they were stored are looked at first.
  if (live.length === 0) book.sweptAt = now;
  book.deadRows = deadRows;
  if (row === null) return;
  book.cursor = row.cursor;
  book.relay.fence = row.fence;
  book.floor = row.floor;
  Object.assign(book.counts, row.counts);
  book.drain = { perSecond: row.drainPerSecond, at: row.drainedAt };
  book.alert = { overSince: row.overSince, raised: row.alert };
  book.replay = row.replay;
  book.publishedUntil = row.publishedUntil;
  book.republishedAt = row.republishedAt;
  if (row.collectAt !== null) book.collectAt = row.collectAt;
  if (row.endpoint !== undefined) book.endpoint = row.endpoint;
  book.told = row.told ?? null;
}

/** A claim holds those of its jobs that have not been settled since. */
function restoreClaims(book: Book, { claims }: StoredOutbox): void {
  for (const { trial } of book.live.values()) book.lastFence = Math.max(book.lastFence, trial?.fence ?? 0);
  for (const { slot, fence, until, seqs } of claims.toSorted((one, other) => one.fence - other.fence)) {
    let open = 0;
    book.lastFence = Math.max(book.lastFence, fence);
    book.slots = Math.max(book.slots, slot);
    for (const seq of seqs) {
      const job = book.live.get(seq);
      if (job === undefined || (job.trial?.fence ?? 0) >= fence) continue;
      job.fence = fence;
      job.leaseUntil = until;
      if (job.key !== null) setRunning(book.lanes, job.key, seq);
      open += 1;
    }
    if (open > 0) book.claims.set(fence, { slot, until, open });
    else book.freeSlots.push(slot);
  }
}

/** What was certainly not published becomes ready; of the rest a sweep finds what was lost. */
function restorePlace(book: Book, job: LiveJob, canRepeat: boolean, now: number): void {
  const nextAt = job.trial?.nextAt ?? 0;
  const isUnpublished = job.seq > book.cursor || (job.trial !== null && nextAt >= book.publishedUntil);
  // Whether the first of a key was published after the one before it ended is not stored.
  const isPerhapsUnpublished = canRepeat && job.key !== null && isRunnable(book, job, now);
  if (nextAt > now || isUnpublished || isPerhapsUnpublished) {
    goOn(book, job, now);
    if (!isUnpublished && isPerhapsUnpublished) book.republishedAt = now;
  } else {
    job.publishedAt = Math.max(job.acceptedAt, nextAt, book.republishedAt);
  }
}
