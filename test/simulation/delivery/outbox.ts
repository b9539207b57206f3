// The outbox of a simulation: the production core with its rows in memory, its alarm and its sends on a
// virtual clock, as durable-objects/outbox.ts does it.

import { acceptBatch } from "../../../src/delivery/core/accept.ts";
import type { Book } from "../../../src/delivery/core/book.ts";
import { createBook } from "../../../src/delivery/core/book.ts";
import { bootBook } from "../../../src/delivery/core/boot.ts";
import { claimJobs } from "../../../src/delivery/core/claim.ts";
import type {
  AcceptItem,
  ClaimedJob,
  DeliveryOutcome,
  QueueTerms,
} from "../../../src/delivery/core/protocol.ts";
import { beginRelay, endRelay, markPublished, takeBatch } from "../../../src/delivery/core/relay.ts";
import { settleJob } from "../../../src/delivery/core/settle.ts";
import { nextWakeAt, passTime } from "../../../src/delivery/core/sweep.ts";
import { idOf } from "../../../src/delivery/core/views.ts";
import type { RandomSource } from "../../../src/resilience/random.ts";
import { nextRandom } from "../../../src/resilience/random.ts";
import type { VirtualClock } from "../harness/clock.ts";
import { LeanStore } from "./lean-store.ts";

const GATHER_MS = 5;
const NAME = { kind: "queue", queue: "orders", shard: 0 } as const;

export interface Settlement {
  readonly job: ClaimedJob;
  readonly outcome: DeliveryOutcome;
}

export class SimulatedOutbox {
  readonly store = new LeanStore();
  book: Book;
  accepted = 0;
  refused = 0;
  readonly #clock: VirtualClock;
  readonly #random: RandomSource;
  readonly #terms: QueueTerms;
  readonly #send: (ids: readonly string[]) => void;
  #alarmAt = Number.POSITIVE_INFINITY;
  #isGathering = false;

  constructor(
    clock: VirtualClock,
    random: RandomSource,
    terms: QueueTerms,
    send: (ids: readonly string[]) => void,
  ) {
    this.#clock = clock;
    this.#random = random;
    this.#terms = terms;
    this.#send = send;
    this.book = createBook(NAME, clock.now);
  }

  /** The object dies, and the next call finds it built from its rows. */
  crash(): void {
    this.book = bootBook(NAME, this.store.stored(), this.#clock.now);
    this.#alarmAt = Number.POSITIVE_INFINITY;
    this.#follow();
  }

  accept(items: readonly AcceptItem[]): void {
    const batch = {
      region: "weur",
      config: "c",
      terms: this.#terms,
      items: items.map((item) => ({ kind: "item" as const, item })),
      lookups: [],
      subscriptions: [],
      refused: 0,
    };
    const { reply, writes } = acceptBatch(this.book, batch, {
      reads: this.store.reads,
      now: this.#clock.now,
      makeSecret: () => "0".repeat(32),
      hasRoom: true,
    });
    this.store.apply(writes);
    const taken = reply.outcomes.filter(({ kind }) => kind === "accepted").length;
    this.accepted += taken;
    this.refused += items.length - taken;
    this.#follow();
  }

  claim(ids: readonly string[], leaseMs: number): readonly ClaimedJob[] {
    const context = { reads: this.store.reads, now: this.#clock.now };
    const { outcomes, writes } = claimJobs(this.book, { ids, leaseMs, claimant: "c" }, context);
    this.store.apply(writes);
    this.#follow();
    return outcomes.filter((outcome) => outcome.kind === "claimed");
  }

  settle(settlements: readonly Settlement[]): void {
    const random = (): number => nextRandom(this.#random);
    const context = { reads: this.store.reads, now: this.#clock.now, random };
    for (const { job, outcome } of settlements) {
      const { id, fence } = job;
      this.store.apply(settleJob(this.book, { id, fence, outcome, tookMs: 1 }, context).writes);
    }
    this.#follow();
  }

  #follow(): void {
    if (this.book.ready.length > 0 && !this.#isGathering) {
      this.#isGathering = true;
      this.#clock.after(GATHER_MS, () => {
        this.#isGathering = false;
        this.#publish();
      });
    }
    const at = nextWakeAt(this.book, this.#clock.now, true) ?? Number.POSITIVE_INFINITY;
    if (at >= this.#alarmAt) return;
    this.#alarmAt = at;
    this.#clock.after(at - this.#clock.now, () => {
      if (this.#alarmAt !== at) return;
      this.#alarmAt = Number.POSITIVE_INFINITY;
      this.store.apply(passTime(this.book, this.store.reads, this.#clock.now));
      this.#publish();
    });
  }

  #publish(): void {
    const { now } = this.#clock;
    const fence = beginRelay(this.book, now);
    if (fence !== null) {
      for (;;) {
        const seqs = takeBatch(this.book, fence, now);
        if (seqs === null || seqs.length === 0) break;
        this.#send(seqs.flatMap((seq) => this.#idOf(seq)));
        markPublished(this.book, fence, now);
      }
      endRelay(this.book, fence);
    }
    if (fence !== null) this.#follow();
  }

  #idOf(seq: number): string[] {
    const job = this.store.jobs.get(seq);
    return job === undefined ? [] : [idOf(this.book, job)];
  }
}
