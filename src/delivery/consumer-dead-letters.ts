// The dead-letter queue gets what the queue of pointers has given up: messages that no consumer could handle.
// Jobs are not lost with them, their outbox has them: one that still waits is filed there as dead, so that
// people see it and can replay it.

import type { ClaimedJob } from "./core/protocol.ts";
import type { QueueBatch } from "./consumer-batch.ts";
import { sortBatch } from "./consumer-batch.ts";
import { logFault } from "./consumer-settle.ts";
import type { OutboxNamespace } from "./consumer-outboxes.ts";
import { outboxNamed } from "./consumer-outboxes.ts";

const FILE_MS = 10_000;
const REASON = "the queue gave its pointer up after all retries";

/** Whether a queue is one for dead letters: by its name, which wrangler.toml gives. */
export function isDeadLetterQueue(name: string): boolean {
  return name.includes("dead-letter");
}

/** Files what it can; what it cannot is retried. */
export async function fileDeadLetters(batch: QueueBatch, outboxes: OutboxNamespace): Promise<void> {
  const { groups, unread } = sortBatch(batch);
  for (const message of unread) {
    logFault("dead-letter-unread", "", `message ${message.id}: ${textOf(message.body)}`);
    message.ack();
  }
  for (const { outbox, messages } of groups) {
    const all = [...messages.values()].flat();
    try {
      await file(outboxes, outbox, [...messages.keys()]);
      for (const message of all) message.ack();
    } catch (error) {
      logFault("dead-letter-not-filed", outbox, error);
      for (const message of all) message.retry();
    }
  }
}

/** A call gives a suspect alone and puts the others back, so each job is asked for by itself. */
async function file(outboxes: OutboxNamespace, outbox: string, ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    const claim = await outboxNamed(outboxes, outbox).claim({
      ids: [id],
      leaseMs: FILE_MS,
      claimant: "dead-letters",
    });
    if (claim.kind !== "answered") throw new Error(`the claim's ${claim.field} is wrong`);
    const claimed = claim.outcomes.filter((each): each is ClaimedJob => each.kind === "claimed");
    if (claimed.length === 0) continue;
    const outcome = { kind: "poison" as const, error: REASON, final: true };
    const settlements = claimed.map(({ fence }) => ({ id, fence, outcome, tookMs: 0 }));
    const reply = await outboxNamed(outboxes, outbox).settle({ settlements });
    if (reply.kind !== "answered") throw new Error(`the settlement's ${reply.field} is wrong`);
    logFault("dead-letter", outbox, `${id}: ${REASON}`);
  }
}

function textOf(body: unknown): string {
  try {
    return (JSON.stringify(body) ?? String(body)).slice(0, 200);
  } catch {
    return "unreadable";
  }
}
