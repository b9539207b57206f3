// What keeps an outbox together: its memory, its rows, its alarm, and whoever sends what is ready. A
// decision is stored as a whole, then what follows from it is set going.
//
//   an answer leaves after its rows are durable (the output gate holds it back)
//   memory that could not be stored is given up: the object is aborted and starts from its rows
//   an alarm never throws, because the platform gives it up after some failures; it is set again in its
//     handler, at every boot and behind every call

import { bootBook } from "../../src/delivery/core/boot.ts";
import type { Book } from "../../src/delivery/core/book.ts";
import { outboxRow } from "../../src/delivery/core/book.ts";
import { outboxName, type OutboxName } from "../../src/delivery/core/job-id.ts";
import { skipDisabled } from "../../src/delivery/core/endpoint.ts";
import type { OutboxReads, Write } from "../../src/delivery/core/storage.ts";
import { nextWakeAt, passTime } from "../../src/delivery/core/sweep.ts";
import { Failpoints } from "../failpoints.ts";
import { Waiters } from "../waiters.ts";
import { BodyBin, type BodyBucket } from "./bodies.ts";
import { applyWrite } from "./changes.ts";
import { readRoutes } from "./event-reads.ts";
import { FAILPOINTS, type OutboxFailpoints } from "./failpoints.ts";
import { HandOver } from "./hand-over.ts";
import { OutboxLog } from "./log.ts";
import type { OutboxNamespace } from "./offer.ts";
import { Publisher, type PointerQueue } from "./publisher.ts";
import { outboxReads } from "./reads.ts";
import { Sequels } from "./sequels.ts";
import { createTables, readStoredOutbox } from "./tables.ts";

/** The outbox's own row is written at most this often: what it holds may be a little old. */
export const SAVE_PAUSE_MS = 1_000;
/** An alarm that is late by so much is set again. */
const LATE_MS = 10_000;

export interface OutboxBindings {
  readonly DELIVERY?: PointerQueue;
  /** Where larger bodies are. */
  readonly CLAIMS?: BodyBucket;
  /** Of the events: where their subscriptions' outboxes are; of reactions: where that of the events is. */
  readonly OUTBOX?: OutboxNamespace;
  /** "1" in local development and tests. */
  readonly TIDEGATE_LOCAL?: string;
}

export class Keeper {
  readonly book: Book;
  readonly reads: OutboxReads;
  /** Who waits for a job to end. */
  readonly endings = new Waiters();
  readonly failpoints: OutboxFailpoints;
  /** Null: an outbox of jobs. */
  readonly handOver: HandOver | null;
  /** Null: an outbox that no reaction can have. */
  readonly sequels: Sequels | null;
  readonly #state: DurableObjectState;
  readonly #log: OutboxLog;
  readonly #publisher: Publisher;
  readonly #bodies: BodyBin;
  /** When the alarm is set for, as far as this boot knows; null: it is not. */
  #alarmAt: number | null = null;
  /** Runs of what the alarm does that are under way: meanwhile none is set. */
  #runs = 0;
  #savedAt = 0;
  #isSaving = false;

  constructor(name: OutboxName, state: DurableObjectState, bindings: () => OutboxBindings) {
    const { sql } = state.storage;
    createTables(sql);
    this.#state = state;
    this.reads = outboxReads(sql);
    this.failpoints = new Failpoints(state, FAILPOINTS, () => bindings().TIDEGATE_LOCAL === "1");
    const queue = bindings().TIDEGATE_LOCAL === "1" ? "forgets" : "keeps";
    this.book = bootBook(name, readStoredOutbox(sql), Date.now(), queue);
    this.#log = new OutboxLog(outboxName(name), this.book.alert.raised);
    const { book, reads, failpoints } = this;
    const common = { book, state, failpoints, log: this.#log };
    const links = {
      outboxes: () => bindings().OUTBOX,
      commit: (writes: readonly Write[]) => this.commit(writes),
    };
    this.handOver =
      name.kind === "events" ? new HandOver({ ...common, ...links, routes: readRoutes(sql) }) : null;
    this.sequels = name.kind === "subscription" ? new Sequels({ ...common, ...links }) : null;
    this.#publisher = new Publisher({
      ...common,
      reads,
      // Events are handed on, pulled ones are fetched: there is nothing to point at.
      queue: () => (this.#isPublished && !book.sequels.areMany ? bindings().DELIVERY : undefined),
      follow: () => this.follow(),
    });
    this.#bodies = new BodyBin({
      book,
      reads,
      bucket: () => bindings().CLAIMS,
      commit: (writes) => this.commit(writes),
      log: this.#log,
    });
    void state.blockConcurrencyWhile(async () => {
      this.#alarmAt = await state.storage.getAlarm();
      this.follow();
    });
  }

  get #isPublished(): boolean {
    return this.handOver === null && this.book.delivery !== "pull";
  }

  /** Stores a decision as a whole, then lets follow what follows from it. */
  commit(decided: readonly Write[]): void {
    const writes = [...decided, ...this.#dueRow(decided.length > 0)];
    if (writes.length > 0) {
      try {
        this.#state.storage.transactionSync(() => {
          for (const write of writes) {
            applyWrite(this.#state.storage.sql, write);
            this.failpoints.pass("mid_batch");
          }
        });
      } catch (error) {
        this.#log.failure("store-failed", error);
        this.#state.abort("what was decided could not be stored");
        throw error;
      }
      for (const write of writes) if (write.kind === "end") this.endings.wake(write.seq);
    }
    // By what is stored now; after a crash in between the next commit does it.
    const skipped = skipDisabled(this.book, this.reads, Date.now());
    if (skipped.length > 0) this.commit(skipped);
    else this.follow();
  }

  /**
   * For a watchdog: what the alarm does, and an alarm that should be set and is not, or is long overdue,
   * is set again. True: so it was.
   */
  async watch(): Promise<boolean> {
    const setFor = await this.#state.storage.getAlarm();
    const now = Date.now();
    const isNeeded = this.#nextAt(now) !== null && this.#runs === 0;
    const wasLost = isNeeded && (setFor === null || setFor <= now - LATE_MS);
    if (wasLost) {
      this.#alarmAt = null;
      this.#log.failure(
        "alarm-lost",
        `set for ${setFor === null ? "never" : new Date(setFor).toISOString()}`,
      );
    }
    await this.wake(false);
    return wasLost;
  }

  /** What the alarm does. */
  async wake(isAlarm: boolean): Promise<void> {
    if (isAlarm) this.#alarmAt = null;
    this.#runs += 1;
    try {
      this.commit(passTime(this.book, this.reads, Date.now()));
      if (this.handOver === null) await this.#publisher.publish();
      else await this.handOver.run();
      await this.sequels?.run();
      await this.#bodies.empty();
    } catch (error) {
      this.#log.failure("run-failed", error);
    }
    this.#runs -= 1;
    this.follow();
  }

  follow(): void {
    const { book } = this;
    this.#log.alert(book.alert.raised, book.live.size);
    for (const notice of book.notices.splice(0)) this.#log.endpoint(notice);
    if (!this.#isPublished) this.#forgetReady();
    this.#saveSoon();
    this.sequels?.soon();
    this.#publisher.publishSoon();
    this.handOver?.soon();
    this.#arm();
  }

  #forgetReady(): void {
    for (const seq of this.book.ready.splice(0)) {
      const job = this.book.live.get(seq);
      if (job !== undefined) job.isReady = false;
    }
  }

  /** The outbox's own row, if it is stale and was not written lately. */
  #dueRow(isWriting: boolean): Write[] {
    const now = Date.now();
    const isDue = now >= this.#savedAt + SAVE_PAUSE_MS || now < this.#savedAt;
    if (!this.book.isRowStale || !isDue || !isWriting) return [];
    this.#savedAt = now;
    this.book.isRowStale = false;
    return [{ kind: "outbox", row: outboxRow(this.book) }];
  }

  #saveSoon(): void {
    if (!this.book.isRowStale || this.#isSaving) return;
    this.#isSaving = true;
    setTimeout(() => {
      this.#isSaving = false;
      if (!this.book.isRowStale) return;
      this.#savedAt = Number.NEGATIVE_INFINITY;
      this.commit(this.#dueRow(true));
    }, SAVE_PAUSE_MS);
  }

  /** Sets the alarm unless it is early enough already. Never for now: such an alarm may not fire. */
  #arm(): void {
    const now = Date.now();
    const at = this.#nextAt(now);
    if (at === null) return;
    const isSet = this.#alarmAt !== null && this.#alarmAt <= at && this.#alarmAt > now - LATE_MS;
    if (isSet) return;
    this.#alarmAt = at;
    this.#state.storage.setAlarm(at).catch((error: unknown) => {
      this.#alarmAt = null;
      this.#log.failure("alarm-not-set", error);
    });
  }

  #nextAt(now: number): number | null {
    const wakeAt = nextWakeAt(this.book, now, this.#publisher.mayPublish);
    const handsOnAt = this.handOver?.nextAt(now) ?? this.sequels?.nextAt(now) ?? null;
    if (handsOnAt === null) return wakeAt;
    return Math.max(now + 10, Math.min(wakeAt ?? Number.POSITIVE_INFINITY, handsOnAt));
  }
}
