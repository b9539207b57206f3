// A job as people and programs see it.

import type { Book } from "./book.ts";
import { isLeased } from "./book.ts";
import { formatJobId, isSameSecret, outboxName, parseJobId } from "./job-id.ts";
import { isFirst } from "./lanes.ts";
import type { JobStatus, JobView } from "./protocol.ts";
import type { JobRow, OutboxReads, Trial } from "./storage.ts";

/** The id of a job of this outbox. */
export function idOf(book: Book, { secret, seq }: Pick<JobRow, "secret" | "seq">): string {
  return formatJobId({ ...book.name, secret, seq });
}

/** The row that an id names; null: there is none, or the id only guesses. */
export function findJob(book: Book, reads: OutboxReads, id: string): JobRow | null {
  const parsed = parseJobId(id);
  if (parsed === null || outboxName(parsed) !== outboxName(book.name)) return null;
  const row = reads.job(parsed.seq);
  return row !== null && isSameSecret(row.secret, parsed.secret) ? row : null;
}

/** `row` and `trial` as they are stored; what only the book knows is added. */
export function viewOf(book: Book, row: JobRow, stored: Trial | null, now: number): JobView {
  const live = row.status === "live" ? book.live.get(row.seq) : undefined;
  const trial = live === undefined ? stored : live.trial;
  const status = live === undefined ? endStatus(row) : liveStatus(live, now);
  // Most jobs succeed at once: then nothing but the answer itself says that there was a try.
  const leastAttempts = row.status === "succeeded" || row.status === "failed" ? 1 : 0;
  return {
    id: idOf(book, row),
    status,
    attempts: Math.max(trial?.attempts ?? 0, leastAttempts),
    nextAttemptAt: status === "deferred" && trial !== null ? Math.max(trial.nextAt, now) : null,
    acceptedAt: row.acceptedAt,
    endedAt: row.endedAt,
    expiresAt: row.expiresAt,
    deferrals: trial?.deferrals ?? 0,
    reason: live === undefined ? row.reason : (trial?.reason ?? null),
    hasResult: row.hasResult,
    blocked: live !== undefined && !isFirst(book.lanes, live.key, live.seq),
    consumer: row.consumer,
    tenant: row.tenant,
    route: row.route,
  };
}

function endStatus({ status }: JobRow): JobStatus {
  return status === "live" ? "queued" : status;
}

function liveStatus(
  job: { readonly leaseUntil: number; readonly trial: Trial | null },
  now: number,
): JobStatus {
  if (isLeased(job, now)) return "running";
  const { trial } = job;
  // Replayed rows begin afresh.
  if (trial === null || trial.reason === null) return "queued";
  return "deferred";
}
