// What clients and operators do with one job.

import type { Book } from "./book.ts";
import { isLeased, releaseKey } from "./book.ts";
import { isFollowed, leaveLane } from "./lanes.ts";
import type {
  CancelReply,
  CancelRequest,
  DeadReply,
  DeadRequest,
  JobView,
  ResultReply,
  SkipReply,
  StatusReply,
} from "./protocol.ts";
import { endSettled } from "./settle.ts";
import { NO_TRIAL, type JobRow, type OutboxReads, type Write } from "./storage.ts";
import { findJob, idOf, viewOf } from "./views.ts";

const NEXT_PAGE = /^[1-9][0-9]{0,15}$/;

export function readStatus(book: Book, reads: OutboxReads, id: string, now: number): StatusReply {
  const row = findJob(book, reads, id);
  return row === null ? { kind: "unknown" } : { kind: "job", job: view(book, reads, row, now) };
}

export function readResult(book: Book, reads: OutboxReads, id: string, now: number): ResultReply {
  const row = findJob(book, reads, id);
  if (row === null) return { kind: "unknown" };
  const job = view(book, reads, row, now);
  const result = row.hasResult ? reads.result(row.seq) : null;
  return result === null ? { kind: "none", job } : { kind: "result", job, result };
}

/** A client cancels what was never tried; an operator whatever waits. */
export function cancelJob(
  book: Book,
  reads: OutboxReads,
  { id, by }: CancelRequest,
  now: number,
): { readonly reply: CancelReply; readonly writes: readonly Write[] } {
  const row = findJob(book, reads, id);
  if (row === null) return { reply: { kind: "unknown" }, writes: [] };
  const job = book.live.get(row.seq);
  const wasTried = job?.trial !== undefined && job.trial !== null && isTried(job.trial);
  if (job === undefined || isLeased(job, now) || (by === "client" && (wasTried || job.leaseUntil !== 0))) {
    return { reply: { kind: "started", job: view(book, reads, row, now) }, writes: [] };
  }
  const trial = job.trial;
  const reason = `cancelled by ${by === "client" ? "its client" : "an operator"}`;
  const writes = endSettled(book, job, { status: "cancelled", reason, result: null }, reads, now);
  const ended = { ...row, status: "cancelled", endedAt: now, reason } as const;
  return { reply: { kind: "cancelled", job: viewOf(book, ended, trial, now) }, writes };
}

function isTried({ attempts, deaths }: { readonly attempts: number; readonly deaths: number }): boolean {
  return attempts > 0 || deaths > 0;
}

/** Lets the others of its key pass a dead job. */
export function skipDead(
  book: Book,
  reads: OutboxReads,
  id: string,
  now: number,
): { readonly reply: SkipReply; readonly writes: readonly Write[] } {
  const row = findJob(book, reads, id);
  if (row === null) return { reply: { kind: "unknown" }, writes: [] };
  const job = view(book, reads, row, now);
  if (row.status !== "dead") return { reply: { kind: "not-dead", job }, writes: [] };
  const trial = reads.trial(row.seq) ?? NO_TRIAL;
  if (trial.passed) return { reply: { kind: "skipped", job }, writes: [] };
  if (row.key !== null) {
    leaveLane(book.lanes, row.key, row.seq);
    releaseKey(book, row.key, now);
  }
  const { seq } = row;
  const passed: Write = { kind: "trial", seq, trial: { ...trial, passed: true }, log: reads.log(seq) };
  return { reply: { kind: "skipped", job }, writes: [passed] };
}

/** A page of dead rows, in the order in which their jobs were accepted. */
export function listDead(book: Book, reads: OutboxReads, { after, max }: DeadRequest): DeadReply {
  if (after !== null && !NEXT_PAGE.test(after)) return { kind: "malformed", field: "after" };
  const found = reads.dead(after === null ? 0 : Number(after), max + 1);
  const page = found.slice(0, max);
  const items = page.map(({ job, trial }) => ({
    id: idOf(book, job),
    reason: job.reason ?? "",
    at: trial.diedAt ?? job.endedAt ?? 0,
    key: job.key,
    tenant: job.tenant,
    route: job.route,
    blocking: job.key !== null && isFollowed(book.lanes, job.key, job.seq),
    attempts: reads.log(job.seq),
  }));
  const last = page.at(-1);
  return {
    kind: "dead",
    items,
    next: found.length > max && last !== undefined ? String(last.job.seq) : null,
  };
}

function view(book: Book, reads: OutboxReads, row: JobRow, now: number): JobView {
  return viewOf(book, row, reads.trial(row.seq), now);
}
