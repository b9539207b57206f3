// An outbox in numbers, for the state page and the metrics.

import type { Book } from "./book.ts";
import { blockedKeys, depthOf, isLeased } from "./book.ts";
import { drainPerSecond } from "./drain-rate.ts";
import { outboxName } from "./job-id.ts";
import type { OutboxDescription } from "./protocol.ts";

export function describeOutbox(book: Book, now: number): OutboxDescription {
  let oldestAt = now;
  let running = 0;
  let deferred = 0;
  for (const job of book.live.values()) {
    oldestAt = Math.min(oldestAt, job.acceptedAt);
    if (isLeased(job, now)) running += 1;
    else if ((job.trial?.nextAt ?? 0) > now) deferred += 1;
  }
  const gates = [...book.gates.values()];
  const depth = depthOf(book);
  return {
    outbox: outboxName(book.name),
    depth,
    lag: depth,
    oldestAgeMs: now - oldestAt,
    drainPerSecond: drainPerSecond(book.drain, now),
    rejecting: gates.some(({ refusing }) => refusing !== "nothing"),
    rejectingCritical: gates.some(({ refusing }) => refusing === "everything"),
    alert: book.alert.raised,
    running,
    deferred,
    deadRows: book.deadRows,
    blockedKeys: blockedKeys(book),
    counts: { ...book.counts },
  };
}
