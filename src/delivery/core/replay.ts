// Tries jobs again that have ended badly: some by id, at once, or all that died in a time, at a rate. A
// replayed job keeps its id, its place behind its key and what is known of its tries, and begins afresh.

import type { Book } from "./book.ts";
import { UNTOUCHED, addLive, goOn, outboxRow, watchDepth } from "./book.ts";
import { enable } from "./endpoint.ts";
import type { ReplayReply, ReplayRequest } from "./protocol.ts";
import { NO_TRIAL, type JobRow, type OutboxReads, type Write } from "./storage.ts";
import { findJob } from "./views.ts";

/** Dead rows that one step of a replay looks at. */
export const MAX_REPLAY_STEP = 500;

export interface Replayed {
  readonly reply: Exclude<ReplayReply, { kind: "malformed" }>;
  readonly writes: readonly Write[];
}

/** Begins a replay; a later one by time takes the place of one that still goes on. */
export function beginReplay(book: Book, reads: OutboxReads, request: ReplayRequest, now: number): Replayed {
  const enabled = enable(book);
  if (!("ids" in request)) {
    book.replay = { since: request.since, until: request.until, rate: request.rate, after: 0 };
    book.replayedAt = now;
    const matching = reads.countDead(request.since, request.until);
    const row = outboxRow(book);
    return { reply: { kind: "replaying", matching }, writes: [...enabled, { kind: "outbox", row }] };
  }
  const ids: string[] = [];
  const notDead: string[] = [];
  const writes: Write[] = enabled;
  for (const id of request.ids) {
    const row = findJob(book, reads, id);
    const mayLive = row !== null && !book.live.has(row.seq) && isReplayable(book, row);
    if (mayLive) writes.push(...revive(book, reads, row, now));
    (mayLive ? ids : notDead).push(id);
  }
  if (ids.length > 0) writes.push({ kind: "outbox", row: outboxRow(book) });
  return { reply: { kind: "replayed", ids, notDead }, writes };
}

/** The request of what succeeded is gone, or its body is about to be; what was cancelled stays so. */
function isReplayable(book: Book, { seq, status }: JobRow): boolean {
  return (status === "dead" || status === "failed" || status === "expired") && !book.bodies.has(seq);
}

/** Goes on with a replay by time: as many as the rate allows, none while something is refused. */
export function continueReplay(book: Book, reads: OutboxReads, now: number): Write[] {
  const run = book.replay;
  if (run === null) return [];
  if ([...book.gates.values()].some(({ refusing }) => refusing !== "nothing")) {
    book.replayedAt = now;
    return [];
  }
  const allowed = Math.min(Math.floor(((now - book.replayedAt) * run.rate) / 1_000), MAX_REPLAY_STEP);
  if (allowed < 1) return [];
  book.replayedAt = Math.max(book.replayedAt + (allowed * 1_000) / run.rate, now - 1_000);
  const writes: Write[] = [];
  const page = reads.dead(run.after, MAX_REPLAY_STEP);
  let after = run.after;
  let revived = 0;
  for (const { job, trial } of page) {
    if (revived === allowed) break;
    after = job.seq;
    const at = trial.diedAt ?? 0;
    if (at < run.since || at > run.until || !isReplayable(book, job)) continue;
    writes.push(...revive(book, reads, job, now));
    revived += 1;
  }
  const isOver = page.length < MAX_REPLAY_STEP && after === (page.at(-1)?.job.seq ?? after);
  book.replay = isOver ? null : { ...run, after };
  return [...writes, { kind: "outbox", row: outboxRow(book) }];
}

function revive(book: Book, reads: OutboxReads, row: JobRow, now: number): Write[] {
  const { seq, key, acceptedAt, terms } = row;
  const before = reads.trial(seq);
  const trial = { ...NO_TRIAL, nextAt: now, fence: before?.fence ?? 0 };
  const expiresAt = now + terms.maxAgeMs;
  const job = { ...UNTOUCHED, seq, key, acceptedAt, expiresAt, terms, trial };
  addLive(book, job);
  book.floor = Math.min(book.floor, seq);
  if (row.status === "dead") book.deadRows -= 1;
  goOn(book, job, now);
  book.counts.replayed += 1;
  return [
    { kind: "revive", seq, expiresAt },
    { kind: "trial", seq, trial, log: reads.log(seq) },
    ...watchDepth(book, now),
  ];
}
