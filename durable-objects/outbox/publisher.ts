// Sends the pointers of jobs that are ready to the Cloudflare Queue. Whoever sends holds the relay's fenced
// lease, so that one that stalls is overtaken and cannot move the cursor afterwards.

import type { Book } from "../../src/delivery/core/book.ts";
import type { Pointer } from "../../src/delivery/core/protocol.ts";
import { beginRelay, endRelay, failRelay, markPublished, takeBatch } from "../../src/delivery/core/relay.ts";
import type { OutboxReads } from "../../src/delivery/core/storage.ts";
import { pointersTo } from "./changes.ts";
import type { OutboxFailpoints } from "./failpoints.ts";
import { Gathering } from "./gathering.ts";
import type { OutboxLog } from "./log.ts";

/** Jobs that become ready within this time are published together. */
const GATHER_MS = 5;

/** What is used of the Cloudflare Queue; without one nothing is published. */
export interface PointerQueue {
  sendBatch(messages: readonly { readonly body: Pointer; readonly contentType: "json" }[]): Promise<unknown>;
}

export interface PublisherParts {
  readonly book: Book;
  readonly reads: OutboxReads;
  readonly state: DurableObjectState;
  readonly failpoints: OutboxFailpoints;
  readonly queue: () => PointerQueue | undefined;
  /** Called when something was sent or could not be. */
  readonly follow: () => void;
  readonly log: OutboxLog;
}

export class Publisher {
  readonly #parts: PublisherParts;
  readonly #gathering: Gathering;

  constructor(parts: PublisherParts) {
    this.#parts = parts;
    this.#gathering = new Gathering(parts.state, GATHER_MS, () => this.publish().then(parts.follow));
  }

  /** Whether an alarm would find something to send that nobody is about to send. */
  get mayPublish(): boolean {
    const { book, queue } = this.#parts;
    return queue() !== undefined && (!this.#gathering.isWaiting || book.relay.notBefore > Date.now());
  }

  /** Publishes shortly, together with what becomes ready meanwhile. */
  publishSoon(): void {
    const { book, queue } = this.#parts;
    if (queue() === undefined || book.ready.length === 0) return;
    // Whoever is sending goes on until nothing is ready.
    if (Math.max(book.relay.notBefore, book.relay.leaseUntil) > Date.now()) return;
    this.#gathering.soon();
  }

  /** Sends pointers until none is ready. It never throws: what was not sent is sent again. */
  async publish(): Promise<void> {
    const { book, queue: findQueue, log } = this.#parts;
    const queue = findQueue();
    const fence = queue === undefined ? null : beginRelay(book, Date.now());
    if (queue === undefined || fence === null) return;
    try {
      while (await this.#publishBatch(queue, fence));
      endRelay(book, fence);
    } catch (error) {
      log.failure("publish-failed", error);
      failRelay(book, fence, Date.now());
    }
  }

  /** False: there is nothing more to do for this relay. */
  async #publishBatch(queue: PointerQueue, fence: number): Promise<boolean> {
    const { book, reads, state, failpoints, follow } = this.#parts;
    const seqs = takeBatch(book, fence, Date.now());
    if (seqs === null || seqs.length === 0) return false;
    const pointers = pointersTo(reads, book.name, seqs);
    // A pointer must not be seen before its job is durable.
    await state.storage.sync();
    failpoints.pass("before_publish");
    await queue.sendBatch(pointers.map((body) => ({ body, contentType: "json" })));
    failpoints.pass("after_publish");
    failpoints.pass("before_mark");
    if (!markPublished(book, fence, Date.now())) return false;
    follow();
    return true;
  }
}
