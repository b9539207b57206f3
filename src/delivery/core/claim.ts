// Gives jobs to a consumer. All jobs of a call share a claim: one row, one fence, one lease.
//
// A job that two consumers did not survive is a suspect. It runs alone from then on, so that it cannot take
// others with it: a call whose pointers name a suspect gets that one, the others are published again. One
// consumer alone says nothing: it may have died with its machine, and all of its jobs would wait in a line.

import { dataBytes } from "../events/cloud-event.ts";
import type { Book, LiveJob } from "./book.ts";
import { isLeased, makeReady } from "./book.ts";
import { followClock } from "./clock.ts";
import { isFirst, runningOf, setRunning } from "./lanes.ts";
import { endLease } from "./leases.ts";
import { noteClaimed, roomToClaim } from "./pace.ts";
import type { ClaimedJob, ClaimOutcome, ClaimRequest, JobTarget, SkipReason } from "./protocol.ts";
import { endSettled } from "./settle.ts";
import type { JobRow, OutboxReads, Write } from "./storage.ts";
import { findJob, idOf } from "./views.ts";

/** Bodies in one answer; the runtime's own limit for a call is 32 MiB. */
export const MAX_CLAIM_BYTES = 16 * 1024 * 1024;

/** Consumers that a job may outlive without suspicion, and one more. */
export const SUSPECT_DEATHS = 2;

export interface Claim {
  readonly outcomes: readonly ClaimOutcome[];
  readonly writes: readonly Write[];
}

export interface ClaimContext {
  readonly reads: OutboxReads;
  readonly now: number;
}

/** Decides for each id whether it is given; see `SkipReason`. */
export function claimJobs(book: Book, request: ClaimRequest, context: ClaimContext): Claim {
  const { now } = context;
  followClock(book, now);
  if (request.batch !== undefined) {
    book.counts.batches += 1;
    book.counts.batchMessages += request.batch;
    book.isRowStale = true;
  }
  const writes: Write[] = [];
  const found = request.ids.map((id) => findClaimable(book, id, context, writes));
  const claimable = found.filter((each) => each.kind === "claimable");
  const suspect = claimable.find(({ job }) => (job.trial?.deaths ?? 0) >= SUSPECT_DEATHS);
  const fence = book.lastFence + 1;
  const until = now + request.leaseMs;
  const seqs: number[] = [];
  let bytes = 0;
  const room = roomToClaim(book, now);
  const outcomes = found.map((each): ClaimOutcome => {
    if (each.kind === "skipped") return each;
    const { job, row, id } = each;
    const skip = (reason: SkipReason): ClaimOutcome => ({ kind: "skipped", id, reason });
    if (isLeased(job, now)) return skip("leased");
    const target = context.reads.target(row.seq);
    if (target === null) return skip("unknown");
    const tooMuch = seqs.length > 0 && bytes + bodyBytes(target) > MAX_CLAIM_BYTES;
    if (tooMuch || seqs.length >= room || (suspect !== undefined && job !== suspect.job)) {
      putBack(book, job, now);
      return skip("put-back");
    }
    // Two jobs of one key may stand in one call: the first one now runs.
    if (!isFirst(book.lanes, job.key, job.seq)) return skip("blocked");
    bytes += bodyBytes(target);
    seqs.push(job.seq);
    lease(book, job, fence, until);
    return claimed(book, { job, row, target }, request.leaseMs, now);
  });
  book.counts.duplicates += outcomes.filter(isNeedless).length;
  noteClaimed(book, seqs.length);
  if (seqs.length > 0) {
    book.lastFence = fence;
    const slot = book.freeSlots.pop() ?? (book.slots += 1);
    book.claims.set(fence, { slot, until, open: seqs.length });
    writes.push({ kind: "claim", slot, fence, until, seqs });
  }
  return { outcomes, writes };
}

/** Whether there was nothing to do for a pointer. */
function isNeedless(outcome: ClaimOutcome): boolean {
  return outcome.kind === "skipped" && outcome.reason !== "put-back";
}

type Found =
  | { readonly kind: "claimable"; readonly id: string; readonly job: LiveJob; readonly row: JobRow }
  | { readonly kind: "skipped"; readonly id: string; readonly reason: SkipReason };

function findClaimable(book: Book, id: string, { reads, now }: ClaimContext, writes: Write[]): Found {
  const skip = (reason: SkipReason): Found => ({ kind: "skipped", id, reason });
  const row = findJob(book, reads, id);
  if (row === null) return skip("unknown");
  const job = book.live.get(row.seq);
  if (job === undefined) {
    return skip(row.status === "cancelled" || row.status === "expired" ? row.status : "done");
  }
  if (isLeased(job, now)) return skip("leased");
  // A lease of this key that is over is noticed here, not only by the next sweep.
  noticeDeaths(book, job, reads, now, writes);
  if (!book.live.has(row.seq)) return skip("done");
  if (job.expiresAt <= now) {
    writes.push(...endSettled(book, job, { status: "expired", reason: EXPIRED, result: null }, reads, now));
    return skip("expired");
  }
  if ((job.trial?.nextAt ?? 0) > now) return skip("not-due");
  if (!isFirst(book.lanes, job.key, job.seq)) return skip("blocked");
  return { kind: "claimable", id, job, row };
}

/** How an expired job ended, for people. */
export const EXPIRED = "it was not done within its time";

function noticeDeaths(book: Book, job: LiveJob, reads: OutboxReads, now: number, writes: Write[]): void {
  const running = job.key === null ? job.seq : runningOf(book.lanes, job.key);
  const runner = running === null ? undefined : book.live.get(running);
  for (const each of new Set([job, runner])) {
    if (each !== undefined && each.leaseUntil !== 0 && !isLeased(each, now)) {
      writes.push(...endLease(book, each, reads, now));
    }
  }
}

function putBack(book: Book, job: LiveJob, now: number): void {
  job.publishedAt = 0;
  makeReady(book, job, now);
}

function lease(book: Book, job: LiveJob, fence: number, until: number): void {
  job.fence = fence;
  job.leaseUntil = until;
  if (job.key !== null) setRunning(book.lanes, job.key, job.seq);
}

function bodyBytes(target: JobTarget): number {
  if (target.kind === "event") return dataBytes(target.event.data).byteLength;
  const { body } = target.request;
  return body instanceof Uint8Array ? body.byteLength : 0;
}

function claimed(
  book: Book,
  { job, row, target }: { job: LiveJob; row: JobRow; target: JobTarget },
  leaseMs: number,
  now: number,
): ClaimedJob {
  const { acceptedAt, priority, consumer, tenant, route, key, traceparent, requestId, region } = row;
  const attempt = (job.trial?.attempts ?? 0) + 1;
  return {
    kind: "claimed",
    id: idOf(book, row),
    fence: job.fence,
    attempt,
    lastAttempt: attempt >= job.terms.retry.attempts,
    deferrals: job.trial?.deferrals ?? 0,
    leaseMs,
    expiresInMs: job.expiresAt - now,
    acceptedAt,
    priority,
    consumer,
    tenant,
    route,
    key,
    traceparent,
    requestId,
    region,
    target,
  };
}
