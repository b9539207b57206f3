// Deletes what is no longer needed. The newest row always stays: numbers count on from it, so that no id
// comes back, also after everything else is gone. A dead row stays while jobs of its key wait behind it.
//
// A row whose body is in the bucket goes after its body: `book.bodies` has what is to be deleted there, and
// `forgetRows` deletes the rows once it is. Whatever fails in between is found again by the next pass.

import type { Book } from "./book.ts";
import { releaseKey } from "./book.ts";
import { isFollowed, leaveLane } from "./lanes.ts";
import type { JobRow, OutboxReads, Write } from "./storage.ts";

/** For how long a job's answer can be asked for after it has ended; not below `IDEMPOTENCY_TTL_MS`. */
export const RETENTION_MS = 24 * 3600 * 1000;
export const DEAD_RETENTION_MS = 30 * RETENTION_MS;
/** An event is not kept longer for a subscription that does not take it. */
export const MAX_KEPT_MS = 14 * RETENTION_MS;
/** Rows that one step looks at. */
export const COLLECT_STEP_ROWS = 1_000;
const NEXT_STEP_MS = 1_000;
/** Between two passes. */
export const COLLECT_PAUSE_MS = 3600 * 1000;

/** One step of a pass over the rows, oldest first, up to those that cannot be old enough. */
export function collectOld(book: Book, reads: OutboxReads, now: number): Write[] {
  if (now < book.collectAt) return [];
  const page = reads.jobsAfter(book.collectAfter, COLLECT_STEP_ROWS);
  const old = page.filter(
    (row) =>
      isOver(row, now) && row.seq !== book.lastSeq && !isAwaited(book, reads, row) && !isKept(book, row, now),
  );
  const bare = old.filter(({ seq, ref }) => {
    if (ref !== null) book.bodies.set(seq, ref);
    return ref === null;
  });
  const writes = forgetRows(
    book,
    bare.map(({ seq }) => seq),
    reads,
    now,
  );
  const last = page.at(-1);
  const goesOn =
    page.length === COLLECT_STEP_ROWS && last !== undefined && last.acceptedAt <= now - RETENTION_MS;
  const isEmpty = book.collectAfter === 0 && page.length - bare.length <= 1 && book.live.size === 0;
  book.isRowStale = true;
  book.collectAfter = goesOn ? last.seq : 0;
  book.collectAt = goesOn ? now + NEXT_STEP_MS : isEmpty ? Number.POSITIVE_INFINITY : now + COLLECT_PAUSE_MS;
  return writes;
}

/** Deletes rows that have ended and that nothing hangs on any more. */
export function forgetRows(book: Book, seqs: readonly number[], reads: OutboxReads, now: number): Write[] {
  for (const seq of seqs) {
    book.bodies.delete(seq);
    const row = reads.job(seq);
    if (row?.status !== "dead") continue;
    book.deadRows -= 1;
    if (row.key === null) continue;
    leaveLane(book.lanes, row.key, seq);
    releaseKey(book, row.key, now);
  }
  return seqs.length === 0 ? [] : [{ kind: "delete", seqs }];
}

function isOver({ status, endedAt }: Pick<JobRow, "status" | "endedAt">, now: number): boolean {
  if (status === "live" || endedAt === null) return false;
  return endedAt + (status === "dead" ? DEAD_RETENTION_MS : RETENTION_MS) <= now;
}

/** Whether a subscription that is behind has not got it yet, or a replay needs it. */
function isKept(
  { keptFrom, replayFrom }: Book,
  { seq, acceptedAt }: Pick<JobRow, "seq" | "acceptedAt">,
  now: number,
): boolean {
  return seq >= Math.min(keptFrom, replayFrom) && acceptedAt + MAX_KEPT_MS > now;
}

function isAwaited(book: Book, reads: OutboxReads, { seq, status }: Pick<JobRow, "seq" | "status">): boolean {
  if (status !== "dead") return false;
  const key = reads.job(seq)?.key ?? null;
  return key !== null && isFollowed(book.lanes, key, seq);
}
