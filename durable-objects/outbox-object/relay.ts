// Publishes what an OutboxObject has stored: claims, sends, moves the cursor. It never throws; what could
// not be sent stays where it is.

import { parseStructured } from "../../src/delivery/events/json-format.ts";
import {
  PUBLISH_TIMEOUT_MS,
  claimRelay,
  holdsRelay,
  markDone,
  markFailed,
  releaseRelay,
  type RelayState,
} from "../../src/delivery/relay/cursor.ts";
import {
  MAX_PUBLISHED_EVENTS,
  publishBatch,
  type BatchResult,
  type EventPublisher,
} from "../../src/delivery/relay/publisher.ts";
import type { CloudEvent } from "../../src/delivery/events/cloud-event.ts";
import type { ObjectFailpoints } from "./failpoints.ts";
import type { OutboxEventRow, OutboxRows } from "./rows.ts";

/** Batches of one run; then the alarm goes on, so that no run lasts for ever. */
const MAX_BATCHES = 50;

export interface RelayParts {
  readonly storage: DurableObjectStorage;
  readonly rows: OutboxRows;
  readonly failpoints: ObjectFailpoints;
  readonly publisher: () => EventPublisher;
}

export class ObjectRelay {
  readonly #parts: RelayParts;
  /** Of the last claim before this boot. Whoever made it is dead: its lease need not be waited for. */
  readonly #bootFence: number;
  #running: Promise<void> | null = null;

  constructor(parts: RelayParts) {
    this.#parts = parts;
    this.#bootFence = parts.rows.relay().fence;
  }

  /** Until when nobody may publish, ms since the epoch. */
  get heldUntil(): number {
    const { notBefore, leaseUntil, fence } = this.#parts.rows.relay();
    return Math.max(notBefore, fence > this.#bootFence ? leaseUntil : 0);
  }

  get isRunning(): boolean {
    return this.#running !== null;
  }

  /** Publishes until nothing waits or something fails. Whoever comes meanwhile waits for the same run. */
  run(): Promise<void> {
    this.#running ??= this.#run().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  async #run(): Promise<void> {
    try {
      const fence = this.#claim();
      if (fence === null) return;
      for (let batch = 0; batch < MAX_BATCHES; batch++) {
        if (!(await this.#publishBatch(fence))) return;
      }
      this.#change(fence, releaseRelay);
    } catch (error) {
      console.error("the outbox could not be published", error);
    }
  }

  /** The fence of this run; null: nothing waits, or nobody may send now. */
  #claim(): number | null {
    const { storage, rows } = this.#parts;
    return storage.transactionSync(() => {
      const state = rows.relay();
      if (rows.after(state.cursor, 1).length === 0) return null;
      const isLeftOver = state.fence <= this.#bootFence;
      const claimed = claimRelay(isLeftOver ? releaseRelay(state) : state, Date.now());
      if (claimed === null) return null;
      rows.saveRelay(claimed);
      return claimed.fence;
    });
  }

  /** False: this run is over. */
  async #publishBatch(fence: number): Promise<boolean> {
    const { storage, rows, failpoints, publisher } = this.#parts;
    const batch = rows.after(rows.relay().cursor, MAX_PUBLISHED_EVENTS);
    if (batch.length === 0) {
      this.#change(fence, releaseRelay);
      return false;
    }
    // Nobody may hear of an event that a crash could still take back.
    await storage.sync();
    failpoints.pass("before_publish");
    const readable = batch.flatMap((row) => readEvent(row) ?? []);
    const result = await publishWithin(publisher, readable);
    failpoints.pass("after_publish");
    failpoints.pass("before_mark");
    const isMarked = this.#mark(fence, batch, result);
    failpoints.pass("after_mark");
    return isMarked && result.failure === null && this.#hasMore();
  }

  /** Stores how far a batch has come. False: another relay has claimed since. */
  #mark(fence: number, batch: readonly OutboxEventRow[], result: BatchResult): boolean {
    const { rows } = this.#parts;
    const readable = batch.filter((row) => readEvent(row) !== null);
    const stopAt = result.failure === null ? null : readable[result.published];
    const done =
      stopAt === undefined || stopAt === null ? batch : batch.filter(({ seq }) => seq < stopAt.seq);
    return this.#change(fence, (state) => {
      const now = Date.now();
      for (const row of done) if (readEvent(row) === null) rows.bury(row, "it could not be read", now);
      for (const { index, error } of result.refused) rows.bury(readable[index], error, now);
      const moved = done.length === 0 ? state : markDone(state, done[done.length - 1].seq, now);
      if (result.failure !== null) {
        console.error(`the outbox could not be published: ${result.failure.error}`);
        return markFailed(moved, result.failure.retryAfterMs, now, Math.random());
      }
      return rows.after(moved.cursor, 1).length > 0 ? moved : releaseRelay(moved);
    });
  }

  /** What was emitted while a batch was sent is published in the same run. */
  #hasMore(): boolean {
    const { rows } = this.#parts;
    return rows.after(rows.relay().cursor, 1).length > 0;
  }

  #change(fence: number, change: (state: RelayState) => RelayState): boolean {
    const { storage, rows } = this.#parts;
    return storage.transactionSync(() => {
      const state = rows.relay();
      if (!holdsRelay(state, fence)) return false;
      rows.saveRelay(change(state));
      return true;
    });
  }
}

function readEvent({ event }: OutboxEventRow): CloudEvent | null {
  const parsed = parseStructured(event);
  return parsed.kind === "event" ? parsed.event : null;
}

/** A publication that takes too long has failed. */
async function publishWithin(
  publisher: () => EventPublisher,
  events: readonly CloudEvent[],
): Promise<BatchResult> {
  let timer: ReturnType<typeof setTimeout> | null = null;
  const late = new Promise<BatchResult>((resolve) => {
    const failure = { error: `no answer within ${PUBLISH_TIMEOUT_MS} ms`, retryAfterMs: null };
    timer = setTimeout(() => resolve({ published: 0, refused: [], failure }), PUBLISH_TIMEOUT_MS);
  });
  try {
    return await Promise.race([publishBatch(publisher(), events, "skip"), late]);
  } catch (error) {
    return { published: 0, refused: [], failure: { error: String(error), retryAfterMs: null } };
  } finally {
    if (timer !== null) clearTimeout(timer);
  }
}
