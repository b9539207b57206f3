// An outbox in numbers, for the state page and the metrics.

import type { Book } from "./book.ts";
import { depthOf, isLeased } from "./book.ts";
import { drainPerSecond } from "./drain-rate.ts";
import { outboxName } from "./job-id.ts";
import { isFollowed } from "./lanes.ts";
import type { EndpointState } from "./event-protocol.ts";
import type { OutboxDescription } from "./protocol.ts";
import { oldestAgeMs } from "./pull.ts";

export function describeOutbox(book: Book, now: number): OutboxDescription {
  let running = 0;
  let deferred = 0;
  for (const job of book.live.values()) {
    if (isLeased(job, now)) running += 1;
    else if ((job.trial?.nextAt ?? 0) > now) deferred += 1;
  }
  const gates = [...book.gates.values()];
  const depth = depthOf(book);
  return {
    outbox: outboxName(book.name),
    depth,
    lag: depth,
    oldestAgeMs: oldestAgeMs(book, now),
    drainPerSecond: drainPerSecond(book.drain, now),
    rejecting: gates.some(({ refusing }) => refusing !== "nothing"),
    rejectingCritical: gates.some(({ refusing }) => refusing === "everything"),
    alert: book.alert.raised,
    running,
    deferred,
    deadRows: book.deadRows,
    blockedKeys: blockedKeys(book),
    counts: { ...book.counts },
    endpoint: book.endpoint.failuresInRow === 0 ? null : endpointState(book),
  };
}

function endpointState({ endpoint: { failuresInRow, failingSince, disabled } }: Book): EndpointState {
  return { failuresInRow, failingSince, disabled };
}

/** Keys whose first job is dead while others wait behind it. */
function blockedKeys(book: Book): number {
  let blocked = 0;
  for (const [key, { seqs }] of book.lanes.byKey) {
    if (!book.live.has(seqs[0]) && isFollowed(book.lanes, key, seqs[0])) blocked += 1;
  }
  return blocked;
}
