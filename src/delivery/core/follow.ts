// The next job of a key, given to whoever has just settled the one before it: with order per key, a round
// through the queue for each job would bound a key to one job a second.

import type { Book } from "./book.ts";
import { isRunnable } from "./book.ts";
import type { ClaimContext } from "./claim.ts";
import { claimJobs } from "./claim.ts";
import { parseJobId } from "./job-id.ts";
import { headOf } from "./lanes.ts";
import type { ClaimedJob, NextTerms, SettleOutcome } from "./protocol.ts";
import type { Write } from "./storage.ts";
import { idOf } from "./views.ts";

export interface Followers {
  readonly jobs: readonly ClaimedJob[];
  readonly writes: readonly Write[];
}

const NOBODY: Followers = { jobs: [], writes: [] };

/** Claims what these settlements have let become the first of its key and due. */
export function claimFollowers(
  book: Book,
  settled: readonly SettleOutcome[],
  next: NextTerms | undefined,
  context: ClaimContext,
): Followers {
  if (next === undefined || book.endpoint.disabled !== null) return NOBODY;
  const { reads, now } = context;
  const heads = new Set<number>();
  for (const { kind, id } of settled) {
    const key = kind === "settled" ? (reads.job(parseJobId(id)?.seq ?? 0)?.key ?? null) : null;
    const head = key === null ? null : headOf(book.lanes, key);
    const job = head === null ? undefined : book.live.get(head);
    if (job !== undefined && job.expiresAt > now && isRunnable(book, job, now)) heads.add(job.seq);
  }
  const ids = [...heads].flatMap((seq) => {
    const row = reads.job(seq);
    return row === null ? [] : [idOf(book, row)];
  });
  if (ids.length === 0) return NOBODY;
  const { outcomes, writes } = claimJobs(book, { ids, ...next }, context);
  return { jobs: outcomes.filter((outcome) => outcome.kind === "claimed"), writes };
}
