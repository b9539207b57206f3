// The outbox of one queue: one object, named `queue.<queue>.<shard>`, around the pure core in
// src/delivery/core/. It owns what only an object can: its SQLite rows, its alarm, its sends.
//
//   an answer leaves after its rows are durable (the output gate holds it back)
//   memory that could not be stored is given up: the object is aborted and starts from its rows
//   pointers are sent right behind what made their jobs ready; the alarm does the same, and whatever time
//     brings about
//   an alarm never throws, because the platform gives it up after some failures; it is set again in its
//     handler, at every boot and behind every call
//   what callers may expect is a value; nothing is thrown at them
//
// Rows written (they are most of the cost): a job 3 in its life, 4 with an idempotency key, and its share
// of a claim (2 per call) and of the outbox's own row (at most 1 a second). Bodies and answers cost none.

import { DurableObject } from "cloudflare:workers";
import { acceptBatch } from "../src/delivery/core/accept.ts";
import type { Book } from "../src/delivery/core/book.ts";
import { outboxRow } from "../src/delivery/core/book.ts";
import { bootBook } from "../src/delivery/core/boot.ts";
import { claimJobs } from "../src/delivery/core/claim.ts";
import { describeOutbox } from "../src/delivery/core/describe.ts";
import { claimFollowers } from "../src/delivery/core/follow.ts";
import {
  SECRET_BYTES,
  outboxName,
  parseJobId,
  parseOutboxName,
  secretOf,
} from "../src/delivery/core/job-id.ts";
import { cancelJob, listDead, readResult, readStatus, skipDead } from "../src/delivery/core/operate.ts";
import type {
  AcceptReply,
  AcceptRequest,
  CancelReply,
  CancelRequest,
  ClaimReply,
  ClaimRequest,
  DeadReply,
  DeadRequest,
  OutboxCalls,
  OutboxDescription,
  ReplayReply,
  ReplayRequest,
  ResultReply,
  ResultRequest,
  SettleReply,
  SettleRequest,
  SkipReply,
  StatusReply,
} from "../src/delivery/core/protocol.ts";
import { beginReplay } from "../src/delivery/core/replay.ts";
import {
  checkAccept,
  checkCancel,
  checkClaim,
  checkDead,
  checkReplay,
  checkResult,
  checkSettle,
} from "../src/delivery/core/requests.ts";
import { settleJob } from "../src/delivery/core/settle.ts";
import type { OutboxReads, Write } from "../src/delivery/core/storage.ts";
import { nextWakeAt, passTime } from "../src/delivery/core/sweep.ts";
import { applyWrite } from "./outbox/changes.ts";
import { Endings } from "./outbox/endings.ts";
import { Failpoints, type Failpoint } from "./outbox/failpoints.ts";
import { OutboxLog } from "./outbox/log.ts";
import { Publisher, type PointerQueue } from "./outbox/publisher.ts";
import { outboxReads } from "./outbox/reads.ts";
import { createTables, readStoredOutbox } from "./outbox/tables.ts";

/** The outbox's own row is written at most this often: what it holds may be a little old. */
export const SAVE_PAUSE_MS = 1_000;
/** Of the 10 GB that an object may store: above, nothing more is taken in. */
export const MAX_DATABASE_BYTES = 8_000_000_000;
/** An alarm that is late by so much is set again. */
const LATE_MS = 10_000;

export interface OutboxBindings {
  readonly DELIVERY?: PointerQueue;
  /** "1" in local development and tests. */
  readonly TIDEGATE_LOCAL?: string;
}

export class Outbox extends DurableObject<OutboxBindings> implements OutboxCalls {
  readonly #book: Book;
  readonly #reads: OutboxReads;
  readonly #endings = new Endings();
  readonly #log: OutboxLog;
  readonly #failpoints: Failpoints;
  readonly #publisher: Publisher;
  /** When the alarm is set for, as far as this boot knows; null: it is not. */
  #alarmAt: number | null = null;
  #savedAt = 0;
  #isSaving = false;

  constructor(ctx: DurableObjectState, env: OutboxBindings) {
    super(ctx, env);
    const name = parseOutboxName(ctx.id.name ?? "");
    if (name === null) throw new Error(`an outbox is named queue.<queue>.<n>, not ${String(ctx.id.name)}`);
    const { sql } = ctx.storage;
    createTables(sql);
    this.#reads = outboxReads(sql);
    this.#failpoints = new Failpoints(ctx, () => this.env.TIDEGATE_LOCAL === "1");
    const queue = env.TIDEGATE_LOCAL === "1" ? "forgets" : "keeps";
    this.#book = bootBook(name, readStoredOutbox(sql), Date.now(), queue);
    this.#log = new OutboxLog(outboxName(name), this.#book.alert.raised);
    this.#publisher = new Publisher({
      book: this.#book,
      reads: this.#reads,
      state: ctx,
      failpoints: this.#failpoints,
      queue: () => this.env.DELIVERY,
      follow: () => this.#follow(),
      log: this.#log,
    });
    void ctx.blockConcurrencyWhile(async () => {
      this.#alarmAt = await ctx.storage.getAlarm();
      this.#follow();
    });
  }

  /** Takes jobs in; see `AcceptOutcome`. What is `accepted` is stored when the answer leaves. */
  async accept(input: AcceptRequest): Promise<AcceptReply> {
    const checked = checkAccept(input);
    if (checked.kind === "malformed") return checked;
    const { databaseSize } = this.ctx.storage.sql;
    const { reply, writes } = acceptBatch(this.#book, checked.request, {
      reads: this.#reads,
      now: Date.now(),
      makeSecret: () => secretOf(crypto.getRandomValues(new Uint8Array(SECRET_BYTES))),
      hasRoom: databaseSize < MAX_DATABASE_BYTES,
    });
    this.#commit(writes);
    this.#failpoints.pass("after_commit");
    return reply;
  }

  /** Leases jobs to a consumer. */
  async claim(input: ClaimRequest): Promise<ClaimReply> {
    const checked = checkClaim(input);
    if (checked.kind === "malformed") return checked;
    const context = { reads: this.#reads, now: Date.now() };
    const { outcomes, writes } = claimJobs(this.#book, checked.request, context);
    this.#commit(writes);
    return { kind: "answered", outcomes };
  }

  /** Hears how deliveries went. */
  async settle(input: SettleRequest): Promise<SettleReply> {
    const checked = checkSettle(input);
    if (checked.kind === "malformed") return checked;
    const context = { reads: this.#reads, now: Date.now(), random: () => Math.random() };
    const { settlements, next } = checked.request;
    const settled = settlements.map((each) => settleJob(this.#book, each, context));
    const outcomes = settled.map(({ outcome }) => outcome);
    const { jobs, writes } = claimFollowers(this.#book, outcomes, next, context);
    this.#commit([...settled.flatMap((each) => each.writes), ...writes]);
    return { kind: "answered", outcomes, next: jobs };
  }

  async status(id: string): Promise<StatusReply> {
    return readStatus(this.#book, this.#reads, id, Date.now());
  }

  /** The upstream's answer, waiting for it if asked to. */
  async result(input: ResultRequest): Promise<ResultReply> {
    const checked = checkResult(input);
    if (checked.kind === "malformed") return checked;
    const { id, waitMs } = checked.request;
    const now = readResult(this.#book, this.#reads, id, Date.now());
    if (now.kind !== "none" || now.job.endedAt !== null || waitMs === 0) return now;
    const seq = parseJobId(id)?.seq ?? 0;
    await this.#endings.ended(seq, waitMs);
    return readResult(this.#book, this.#reads, id, Date.now());
  }

  async cancel(input: CancelRequest): Promise<CancelReply> {
    const checked = checkCancel(input);
    if (checked.kind === "malformed") return checked;
    const { reply, writes } = cancelJob(this.#book, this.#reads, checked.request, Date.now());
    this.#commit(writes);
    return reply;
  }

  async skip(id: string): Promise<SkipReply> {
    const { reply, writes } = skipDead(this.#book, this.#reads, id, Date.now());
    this.#commit(writes);
    return reply;
  }

  async dead(input: DeadRequest): Promise<DeadReply> {
    const checked = checkDead(input);
    return checked.kind === "malformed" ? checked : listDead(this.#book, this.#reads, checked.request);
  }

  async replay(input: ReplayRequest): Promise<ReplayReply> {
    const checked = checkReplay(input);
    if (checked.kind === "malformed") return checked;
    const { reply, writes } = beginReplay(this.#book, this.#reads, checked.request, Date.now());
    this.#commit(writes);
    return reply;
  }

  async describe(): Promise<OutboxDescription> {
    return describeOutbox(this.#book, Date.now());
  }

  /** Does at once what the alarm would do: for a watchdog, in case an alarm was lost. */
  async wake(): Promise<void> {
    await this.#run();
    this.#follow();
  }

  /** Kills this object once it passes there (after `survived` times); only in local development. */
  async failAt(name: Failpoint, survived = 0): Promise<boolean> {
    return this.#failpoints.set(name, survived);
  }

  override async alarm(): Promise<void> {
    this.#alarmAt = null;
    await this.#run();
    this.#follow();
  }

  async #run(): Promise<void> {
    try {
      this.#commit(passTime(this.#book, this.#reads, Date.now()));
      await this.#publisher.publish();
    } catch (error) {
      this.#log.failure("run-failed", error);
    }
  }

  /** Stores a decision as a whole, then lets follow what follows from it. */
  #commit(decided: readonly Write[]): void {
    const writes = [...decided, ...this.#dueRow(decided.length > 0)];
    if (writes.length > 0) {
      try {
        this.ctx.storage.transactionSync(() => {
          for (const write of writes) {
            applyWrite(this.ctx.storage.sql, write);
            this.#failpoints.pass("mid_batch");
          }
        });
      } catch (error) {
        this.#log.failure("store-failed", error);
        this.ctx.abort("what was decided could not be stored");
        throw error;
      }
      for (const write of writes) if (write.kind === "end") this.#endings.tell(write.seq);
    }
    this.#follow();
  }

  #follow(): void {
    this.#log.alert(this.#book.alert.raised, this.#book.live.size);
    this.#saveSoon();
    this.#publisher.publishSoon();
    this.#arm();
  }

  // --- the outbox's own row, the alarm

  /** The outbox's own row, if it is stale and was not written lately. */
  #dueRow(isWriting: boolean): Write[] {
    const now = Date.now();
    const isDue = now >= this.#savedAt + SAVE_PAUSE_MS || now < this.#savedAt;
    if (!this.#book.isRowStale || !isDue || !isWriting) return [];
    this.#savedAt = now;
    this.#book.isRowStale = false;
    return [{ kind: "outbox", row: outboxRow(this.#book) }];
  }

  #saveSoon(): void {
    if (!this.#book.isRowStale || this.#isSaving) return;
    this.#isSaving = true;
    setTimeout(() => {
      this.#isSaving = false;
      if (!this.#book.isRowStale) return;
      this.#savedAt = Number.NEGATIVE_INFINITY;
      this.#commit(this.#dueRow(true));
    }, SAVE_PAUSE_MS);
  }

  /** Sets the alarm unless it is early enough already. Never for now: such an alarm may not fire. */
  #arm(): void {
    const now = Date.now();
    const at = nextWakeAt(this.#book, now, this.#publisher.mayPublish);
    if (at === null) return;
    const isSet = this.#alarmAt !== null && this.#alarmAt <= at && this.#alarmAt > now - LATE_MS;
    if (isSet) return;
    this.#alarmAt = at;
    this.ctx.storage.setAlarm(at).catch((error: unknown) => {
      this.#alarmAt = null;
      this.#log.failure("alarm-not-set", error);
    });
  }
}
