// Events that are fetched instead of sent. Whoever pulls gets the oldest ones that may run, each with a
// lease; what is acknowledged in time is done. A lease that is over acknowledges nothing: its event is
// given again, and counts as tried. It is given until it is acknowledged or too old: how often it was given
// kills no event.

import type { Book } from "./book.ts";
import { depthOf, isRunnable, wakeDue } from "./book.ts";
import { claimJobs } from "./claim.ts";
import type { PullReply, PullRequest } from "./event-protocol.ts";
import { endLease, nextLeaseEndAt } from "./leases.ts";
import type { ClaimedJob } from "./protocol.ts";
import type { OutboxReads, Write } from "./storage.ts";
import { idOf } from "./views.ts";

export interface Pulled {
  readonly reply: Extract<PullReply, { kind: "pulled" }>;
  readonly writes: readonly Write[];
}

export function pullJobs(book: Book, request: PullRequest, reads: OutboxReads, now: number): Pulled {
  wakeDue(book, now);
  const writes = endOldLeases(book, reads, now);
  const ids: string[] = [];
  for (const job of book.live.values()) {
    if (ids.length >= request.max) break;
    if (!isRunnable(book, job, now)) continue;
    const row = reads.job(job.seq);
    if (row !== null) ids.push(idOf(book, row));
  }
  const claim = claimJobs(book, { ids, leaseMs: request.leaseMs, claimant: "pull" }, { reads, now });
  writes.push(...claim.writes);
  const jobs = claim.outcomes.filter((each): each is ClaimedJob => each.kind === "claimed");
  return { reply: { kind: "pulled", jobs, lag: depthOf(book), oldestAgeMs: oldestAgeMs(book, now) }, writes };
}

/** Of the oldest job that has not ended; 0: there is none. */
export function oldestAgeMs(book: Book, now: number): number {
  let oldestAt = now;
  for (const { acceptedAt } of book.live.values()) oldestAt = Math.min(oldestAt, acceptedAt);
  return now - oldestAt;
}

function endOldLeases(book: Book, reads: OutboxReads, now: number): Write[] {
  if (nextLeaseEndAt(book) > now) return [];
  const writes: Write[] = [];
  for (const job of book.live.values()) {
    if (job.leaseUntil !== 0 && job.leaseUntil <= now) writes.push(...endLease(book, job, reads, now));
  }
  return writes;
}
