// Takes what a consumer says of the jobs that it had. Only the newest claim of a job can settle it, once: a
// repeated, late or foreign settlement changes nothing.

import type { Book, LiveJob } from "./book.ts";
import { endJob, watchDepth } from "./book.ts";
import { followClock } from "./clock.ts";
import { noteDelivery } from "./endpoint.ts";
import { closeLease, takeStep } from "./leases.ts";
import { followUp } from "./sequel.ts";
import { notePace } from "./pace.ts";
import type { JobResult, SettleOutcome, Settlement } from "./protocol.ts";
import type { EndStatus, OutboxReads, Write } from "./storage.ts";
import { NO_TRIAL } from "./storage.ts";
import { afterExpiry, afterOutcome, isUntold } from "./transitions.ts";
import { findJob, viewOf } from "./views.ts";

export interface SettleContext {
  readonly reads: OutboxReads;
  readonly now: number;
  /** Uniform in [0, 1), for the spread of retries. */
  readonly random: () => number;
}

/** One settlement; the view is as of after it. */
export function settleJob(
  book: Book,
  settlement: Settlement,
  context: SettleContext,
): { readonly outcome: SettleOutcome; readonly writes: readonly Write[] } {
  const { id, fence, outcome, tookMs } = settlement;
  const { reads, now } = context;
  followClock(book, now);
  const row = findJob(book, reads, id);
  if (row === null) return { outcome: { kind: "unknown", id }, writes: [] };
  const job = book.live.get(row.seq);
  const isLate = job?.terms.delivery === "pull" && job.leaseUntil <= now;
  if (job === undefined || job.fence !== fence || isLate) {
    book.counts.duplicates += 1;
    return { outcome: { kind: "stale", id }, writes: [] };
  }
  const moment = { now, random: context.random() };
  const step = afterOutcome(job.trial ?? NO_TRIAL, job.terms, { outcome, tookMs, fence }, moment);
  const writes = takeStep(book, job, step, reads, now);
  job.fence = 0;
  writes.push(...noteDelivery(book, outcome, now));
  notePace(book, outcome, now);
  if (outcome.kind === "deferred") book.counts.deferred += 1;
  else if (step.kind === "wait") book.counts.retried += 1;
  book.isRowStale = true;
  const ended =
    step.kind === "end"
      ? { status: step.status, endedAt: now, reason: step.reason, hasResult: step.result !== null }
      : {};
  return {
    outcome: { kind: "settled", id, job: viewOf(book, { ...row, ...ended }, step.trial, now) },
    writes,
  };
}

/** Ends a job that no consumer has: cancelled or expired. */
export function endSettled(
  book: Book,
  job: LiveJob,
  end: { readonly status: EndStatus; readonly reason: string; readonly result: JobResult | null },
  reads: OutboxReads,
  now: number,
): Write[] {
  const { status, reason, result } = end;
  const trial = job.trial ?? NO_TRIAL;
  if (status === "expired" && isUntold(job.terms, status)) {
    return takeStep(book, job, afterExpiry(trial, reason, now), reads, now);
  }
  const upstreamStatus = job.trial === null ? null : (reads.log(job.seq).at(-1)?.status ?? null);
  const ending = { ...end, attempts: trial.attempts, upstreamStatus };
  closeLease(book, job);
  const writes = followUp(book, job, ending, reads, now);
  endJob(book, job, status, now);
  writes.push({ kind: "end", seq: job.seq, status, endedAt: now, reason, result });
  writes.push(...watchDepth(book, now));
  return writes;
}
