// A lease that has ended without a word: the job may run again, and whoever had it can still settle it as
// long as nobody else has got it.

import type { Book, LiveJob } from "./book.ts";
import { endJob, goOn, releaseKey, watchDepth } from "./book.ts";
import { followClock } from "./clock.ts";
import { setRunning } from "./lanes.ts";
import { followUp } from "./sequel.ts";
import type { RenewRequest } from "./protocol.ts";
import type { OutboxReads, Trial, Write } from "./storage.ts";
import { NO_TRIAL } from "./storage.ts";
import { afterDeath, afterLostLease, withAttempt, type Step } from "./transitions.ts";
import { findJob } from "./views.ts";

/** Ends a lease whose time is over. */
export function endLease(book: Book, job: LiveJob, reads: OutboxReads, now: number): Write[] {
  const after = job.terms.delivery === "pull" ? afterLostLease : afterDeath;
  const step = after(job.trial ?? NO_TRIAL, job.fence, now);
  return takeStep(book, job, step, reads, now);
}

/** Nobody has the job any more; if that was the last of its claim, another one may take its row. */
export function closeLease(book: Book, job: LiveJob): void {
  if (job.leaseUntil === 0) return;
  job.leaseUntil = 0;
  if (job.key !== null) setRunning(book.lanes, job.key, 0);
  const claim = book.claims.get(job.fence);
  if (claim === undefined) return;
  claim.open -= 1;
  if (claim.open > 0) return;
  book.claims.delete(job.fence);
  book.freeSlots.push(claim.slot);
}

/**
 * Prolongs what is left of a claim. Jobs that were settled, or were given up and not noticed by anybody who
 * could still renew them, are not among those that it holds.
 */
export function renewLeases(
  book: Book,
  { ids, fence, leaseMs }: RenewRequest,
  reads: OutboxReads,
  now: number,
): { readonly held: readonly string[]; readonly writes: readonly Write[] } {
  followClock(book, now);
  const claim = book.claims.get(fence);
  const until = now + leaseMs;
  const held = ids.filter((id) => {
    const row = claim === undefined ? null : findJob(book, reads, id);
    const job = row === null ? undefined : book.live.get(row.seq);
    if (job === undefined || job.fence !== fence || job.leaseUntil === 0) return false;
    job.leaseUntil = Math.max(job.leaseUntil, until);
    return true;
  });
  if (claim === undefined || held.length === 0) return { held, writes: [] };
  claim.until = Math.max(claim.until, until);
  return { held, writes: [{ kind: "renew-claim", slot: claim.slot, until: claim.until }] };
}

/** When the first lease ends that nobody has settled yet; infinite: none is held. */
export function nextLeaseEndAt(book: Book): number {
  let next = Number.POSITIVE_INFINITY;
  for (const { until } of book.claims.values()) next = Math.min(next, until);
  return next;
}

/** Does what follows from an outcome: the job ends, or waits and goes on. */
export function takeStep(book: Book, job: LiveJob, step: Step, reads: OutboxReads, now: number): Write[] {
  const { seq } = job;
  const isClean = job.trial === null && step.kind === "end" && step.status !== "dead";
  closeLease(book, job);
  const writes: Write[] = [];
  if (!isClean) writes.push(writeTrial(seq, step.trial, step, reads));
  if (step.kind === "wait") {
    job.trial = step.trial;
    goOn(book, job, now);
    // A sweep that met it under way has looked away until its lease would have ended.
    book.nextExpiryAt = Math.min(book.nextExpiryAt, job.expiresAt);
    // A replayed job may have come in front of the one that ran.
    releaseKey(book, job.key, now);
    return writes;
  }
  const { status, reason, result } = step;
  const ending = {
    status,
    reason,
    result,
    attempts: step.trial.attempts,
    upstreamStatus: step.attempt.status,
  };
  writes.push(...followUp(book, job, ending, reads, now));
  endJob(book, job, status, now);
  writes.push({ kind: "end", seq, status, endedAt: now, reason, result }, ...watchDepth(book, now));
  return writes;
}

function writeTrial(seq: number, trial: Trial, step: Step, reads: OutboxReads): Write {
  return { kind: "trial", seq, trial, log: withAttempt(reads.log(seq), step.attempt) };
}
