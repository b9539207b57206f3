// An outbox around the real core, its rows in memory, with everything that can go wrong around it: crashes,
// transactions that fail, a queue that loses, repeats and reorders, consumers that die or speak late. It
// checks at every step what must always hold.

import { acceptBatch } from "../../../src/delivery/core/accept.ts";
import type { Book } from "../../../src/delivery/core/book.ts";
import { depthOf } from "../../../src/delivery/core/book.ts";
import { bootBook } from "../../../src/delivery/core/boot.ts";
import { claimJobs } from "../../../src/delivery/core/claim.ts";
import { renewLeases } from "../../../src/delivery/core/leases.ts";
import { cancelJob, listDead, readStatus } from "../../../src/delivery/core/operate.ts";
import type {
  AcceptItem,
  AcceptOutcome,
  ClaimedJob,
  DeliveryOutcome,
  JobView,
  QueueTerms,
} from "../../../src/delivery/core/protocol.ts";
import { beginRelay, endRelay, markPublished, takeBatch } from "../../../src/delivery/core/relay.ts";
import { beginReplay } from "../../../src/delivery/core/replay.ts";
import { settleJob } from "../../../src/delivery/core/settle.ts";
import type { Write } from "../../../src/delivery/core/storage.ts";
import { passTime } from "../../../src/delivery/core/sweep.ts";
import { idOf } from "../../../src/delivery/core/views.ts";
import { createRandom, nextRandom } from "../../../src/resilience/random.ts";
import { MemoryStore } from "./memory-store.ts";

const NAME = { kind: "queue", queue: "orders", shard: 0 } as const;
const LEASE_MS = 20_000;

export class ModelOutbox {
  readonly store = new MemoryStore();
  readonly terms: QueueTerms;
  now = 1_000_000;
  book: Book;
  /** Pointers in the queue, oldest first. */
  queue: string[] = [];
  /** What consumers hold, also when its lease is over. */
  readonly held: ClaimedJob[] = [];
  /** Every id that a client was told, with its key. */
  readonly accepted = new Map<string, { readonly key: string | null; readonly idempotency: string | null }>();
  /** Ids by the order in which their success was stored. */
  readonly succeeded: string[] = [];
  /** The next transaction fails, and the object with it. */
  failsNext = false;
  /** Who has which job, as clients of the outbox know it. */
  readonly #leases = new Map<string, { readonly fence: number; readonly until: number }>();
  readonly #random = createRandom(7);
  #secrets = 0;
  #newestFence = 0;

  constructor(terms: QueueTerms) {
    this.terms = terms;
    this.book = bootBook(NAME, this.store.stored(), this.now);
  }

  crash(): void {
    this.book = bootBook(NAME, this.store.stored(), this.now);
  }

  /** False: it was not stored, nobody is answered. */
  commit(writes: readonly Write[]): boolean {
    if (this.failsNext) {
      this.failsNext = false;
      this.crash();
      return false;
    }
    this.store.apply(writes);
    return true;
  }

  accept(items: readonly AcceptItem[]): readonly AcceptOutcome[] | null {
    const batch = {
      region: "weur",
      config: "c",
      terms: this.terms,
      items: items.map((item) => ({ kind: "item" as const, item })),
      refused: 0,
      lookups: [],
      subscriptions: [],
    };
    const { reply, writes } = acceptBatch(this.book, batch, {
      reads: this.store.reads,
      now: this.now,
      makeSecret: () => (this.#secrets += 1).toString(16).padStart(32, "0"),
      hasRoom: true,
    });
    if (!this.commit(writes)) return null;
    reply.outcomes.forEach((outcome, index) => {
      if (outcome.kind !== "accepted") return;
      const { key, idempotency } = items[index];
      this.accepted.set(outcome.id, { key, idempotency: idempotency?.key ?? null });
    });
    return reply.outcomes;
  }

  /** Publishes everything; `dies` before or after the send, or not at all. */
  publish(dies: "before" | "after" | null): void {
    const fence = beginRelay(this.book, this.now);
    if (fence === null) return;
    for (;;) {
      const seqs = takeBatch(this.book, fence, this.now);
      if (seqs === null || seqs.length === 0) break;
      if (dies === "before") return this.crash();
      for (const seq of seqs) {
        const job = this.store.reads.job(seq);
        if (job !== null) this.queue.push(idOf(this.book, job));
      }
      if (dies === "after") return this.crash();
      markPublished(this.book, fence, this.now);
    }
    endRelay(this.book, fence);
  }

  /** A consumer takes pointers; `lost`: the answer does not reach it. */
  claim(ids: readonly string[], lost = false): void {
    const context = { reads: this.store.reads, now: this.now };
    const request = { ids, leaseMs: LEASE_MS, claimant: "c" };
    const { outcomes, writes } = claimJobs(this.book, request, context);
    if (!this.commit(writes)) return;
    const jobs = outcomes.filter((outcome) => outcome.kind === "claimed");
    for (const job of jobs) this.#checkClaim(job);
    this.#newestFence = Math.max(this.#newestFence, ...jobs.map(({ fence }) => fence));
    if (!lost) this.held.push(...jobs);
  }

  /** Nobody else has it, nor another job of its key, and its fence was never given before. */
  #checkClaim({ id, fence, key }: ClaimedJob): void {
    if (fence <= this.#newestFence) throw new Error(`fence ${fence} of ${id} is not new`);
    for (const [other, { until }] of this.#leases) {
      const isOfKey = key !== null && this.accepted.get(other)?.key === key;
      if (until > this.now && (other === id || isOfKey)) throw new Error(`${id} given while ${other} runs`);
    }
    this.#leases.set(id, { fence, until: this.now + LEASE_MS });
  }

  /** A consumer that is not done asks for more time; what it holds no longer stays as it was. */
  renew(job: ClaimedJob): void {
    const { id, fence } = job;
    const request = { ids: [id], fence, leaseMs: LEASE_MS };
    const { held, writes } = renewLeases(this.book, request, this.store.reads, this.now);
    if (!this.commit(writes) || held.length === 0) return;
    const lease = this.#leases.get(id);
    if (lease?.fence !== fence) throw new Error(`${id} was renewed by an old fence`);
    this.#leases.set(id, { fence, until: this.now + LEASE_MS });
  }

  settle(jobs: readonly ClaimedJob[], outcome: DeliveryOutcome): void {
    const context = { reads: this.store.reads, now: this.now, random: () => nextRandom(this.#random) };
    const settled = jobs.map(({ id, fence }) =>
      settleJob(this.book, { id, fence, outcome, tookMs: 1 }, context),
    );
    if (!this.commit(settled.flatMap(({ writes }) => writes))) return;
    for (const [index, each] of settled.entries()) {
      const { id, fence } = jobs[index];
      if (each.outcome.kind !== "settled") continue;
      if (this.#leases.get(id)?.fence !== fence) throw new Error(`${id} was settled by an old fence`);
      this.#leases.delete(id);
      if (each.outcome.job.status === "succeeded") {
        this.succeeded.push(each.outcome.id);
      }
    }
  }

  cancel(id: string): void {
    const { writes } = cancelJob(this.book, this.store.reads, { id, by: "client" }, this.now);
    this.commit(writes);
  }

  pass(ms: number): void {
    this.now += ms;
    this.commit(passTime(this.book, this.store.reads, this.now));
  }

  replayDead(): void {
    const page = listDead(this.book, this.store.reads, { after: null, max: 100 });
    if (page.kind !== "dead" || page.items.length === 0) return;
    const ids = page.items.map(({ id }) => id);
    this.commit(beginReplay(this.book, this.store.reads, { ids }, this.now).writes);
  }

  view(id: string): JobView {
    const reply = readStatus(this.book, this.store.reads, id, this.now);
    if (reply.kind !== "job") throw new Error(`${id} is lost`);
    return reply.job;
  }

  /** What must hold at any time. */
  check(): void {
    const views = [...this.accepted.keys()].map((id) => this.view(id));
    const rows = [...this.store.jobs.values()].filter(({ job }) => job.status === "live").length;
    if (depthOf(this.book) !== rows) throw new Error(`depth ${depthOf(this.book)}, ${rows} live rows`);
    if (this.accepted.size > this.store.jobs.size) throw new Error("an accepted job has no row");
    const running = views
      .filter(({ status }) => status === "running")
      .map(({ id }) => this.accepted.get(id)?.key);
    const keys = running.filter((key) => key !== null);
    if (new Set(keys).size !== keys.length) throw new Error(`two jobs of one key run: ${keys.join()}`);
    const twice = this.succeeded.filter((id, index) => this.succeeded.indexOf(id) !== index);
    if (twice.length > 0) throw new Error(`settled twice: ${twice.join()}`);
  }

  #isBusy(): boolean {
    return depthOf(this.book) > 0 || this.book.deadRows > 0;
  }

  /** Everything works again: until nothing waits, or `rounds` are over. */
  recover(rounds: number, outcome: DeliveryOutcome): void {
    this.failsNext = false;
    for (let round = 0; round < rounds && this.#isBusy(); round++) {
      this.pass(30_000);
      this.replayDead();
      this.publish(null);
      this.claim(this.queue.splice(0, 100));
      this.settle(this.held.splice(0), outcome);
      this.check();
    }
  }
}
