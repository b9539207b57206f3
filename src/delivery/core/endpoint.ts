// A webhook's receiver, as its subscription's outbox knows it. While nothing is to be sent to it, no event
// waits: each ends as a dead one that blocks nobody, to be replayed. A replay says that it works again.

import { enableEndpoint, recordTry, type HealthChange } from "../webhooks/core/endpoint-health.ts";
import type { Book, LiveJob } from "./book.ts";
import { endJob, isLeased, outboxRow, releaseKey, watchDepth } from "./book.ts";
import { leaveLane } from "./lanes.ts";
import { closeLease } from "./leases.ts";
import type { DeliveryOutcome } from "./protocol.ts";
import { NO_TRIAL, type OutboxReads, type Write } from "./storage.ts";

/** Events that are skipped at a time; the rest follows with the next sweep. */
export const MAX_SKIPPED = 5_000;

/** What a delivery says of the receiver. */
export function noteDelivery(book: Book, outcome: DeliveryOutcome, now: number): Write[] {
  if (book.delivery !== "webhook") return [];
  if (outcome.kind === "succeeded") return change(book, recordTry(book.endpoint, "delivered", now));
  if (outcome.kind !== "failed" || outcome.endpoint === "unharmed") return [];
  return change(book, recordTry(book.endpoint, outcome.endpoint === "gone" ? "gone" : "failed", now));
}

/** An operator says that it works again, or wants its events delivered. */
export function enable(book: Book): Write[] {
  return change(book, enableEndpoint(book.endpoint));
}

/** Nothing but whether it is disabled must be known after a crash. */
function change(book: Book, { health, notices }: HealthChange): Write[] {
  const hasTurned = (health.disabled === null) !== (book.endpoint.disabled === null);
  book.isRowStale = true;
  book.endpoint = health;
  book.notices.push(...notices);
  return hasTurned ? [{ kind: "outbox", row: outboxRow(book) }] : [];
}

/** Ends what waits for a receiver to which nothing is sent. */
export function skipDisabled(book: Book, reads: OutboxReads, now: number): Write[] {
  const { disabled } = book.endpoint;
  if (disabled === null || book.delivery !== "webhook") return [];
  const writes: Write[] = [];
  let skipped = 0;
  for (const job of book.live.values()) {
    if (skipped >= MAX_SKIPPED) break;
    if (isLeased(job, now)) continue;
    skipped += 1;
    writes.push(
      ...skipEvent(book, job, reads, `skipped: its endpoint is disabled (${disabled.reason})`, now),
    );
  }
  return skipped === 0 ? [] : [...writes, ...watchDepth(book, now)];
}

function skipEvent(book: Book, job: LiveJob, reads: OutboxReads, reason: string, now: number): Write[] {
  const { seq, key } = job;
  closeLease(book, job);
  endJob(book, job, "dead", now);
  if (key !== null) {
    leaveLane(book.lanes, key, seq);
    releaseKey(book, key, now);
  }
  const trial = { ...(job.trial ?? NO_TRIAL), fence: job.fence, diedAt: now, reason, passed: true };
  return [
    { kind: "trial", seq, trial, log: reads.log(seq) },
    { kind: "end", seq, status: "dead", endedAt: now, reason, result: null },
  ];
}
