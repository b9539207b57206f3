// What an outbox publishes after a restart: nothing twice where the queue still has it, everything where the
// queue has forgotten it with the process.

import { describe, expect, it } from "vitest";
import { bootBook } from "../../../src/delivery/core/boot.ts";
import type { AcceptItem, QueueTerms } from "../../../src/delivery/core/protocol.ts";
import { beginRelay, takeBatch } from "../../../src/delivery/core/relay.ts";
import { outboxRow } from "../../../src/delivery/core/book.ts";
import { ModelOutbox } from "./outbox-model.ts";

const TERMS: QueueTerms = {
  highWatermark: 100,
  resumeAt: 0.7,
  alertAt: 50,
  maxAgeMs: 3_600_000,
  retry: { attempts: 3, delayMs: 60_000, maxDelayMs: 60_000 },
  onDeadHead: "block",
};

const ITEM: AcceptItem = {
  target: { kind: "request", request: { method: "POST", path: "/", headers: [], body: null } },
  priority: 1,
  consumer: null,
  tenant: null,
  route: "orders",
  key: null,
  idempotency: null,
  traceparent: null,
  requestId: null,
  maxAgeMs: null,
};

/** Four jobs: one waits for its next try, one is leased, two are published; the second of those has a key. */
function publishedOutbox(): ModelOutbox {
  const outbox = new ModelOutbox(TERMS);
  outbox.accept([ITEM, ITEM, ITEM, { ...ITEM, key: "k" }, { ...ITEM, key: "k" }]);
  outbox.publish(null);
  const [waiting, leased] = outbox.queue;
  outbox.claim([waiting, leased]);
  const failed = { kind: "failed" as const, status: 503, error: null, retryAfterMs: null, result: null };
  outbox.settle(outbox.held.slice(0, 1), failed);
  outbox.commit([{ kind: "outbox", row: outboxRow(outbox.book) }]);
  return outbox;
}

function publishedBy(outbox: ModelOutbox, queue: "keeps" | "forgets", now: number): readonly number[] {
  const book = bootBook({ kind: "queue", queue: "orders", shard: 0 }, outbox.store.stored(), now, queue);
  const fence = beginRelay(book, now);
  return fence === null ? [] : (takeBatch(book, fence, now) ?? []);
}

describe("an outbox that starts again", () => {
  it("sends nothing again while the queue keeps it", () => {
    const outbox = publishedOutbox();
    expect(publishedBy(outbox, "keeps", outbox.now).filter((seq) => seq < 4)).toEqual([]);
  });

  it("sends all that may run again where the queue has forgotten it", () => {
    const outbox = publishedOutbox();
    // The first waits, the second is leased, the fifth stands behind the fourth.
    expect(publishedBy(outbox, "forgets", outbox.now)).toEqual([3, 4]);
    // What was tried before comes last.
    expect(publishedBy(outbox, "forgets", outbox.now + 80_000)).toEqual([3, 4, 1]);
  });
});
