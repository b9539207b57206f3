// How an isolate hands what it takes in for one queue to the queue's outbox. Requests that come while a call
// is under way share the next one: it leaves after at most 5 ms or with the hundredth of them.
//
// Each waiter owns its promise and its timer, because a runtime ends a request that only waits for another
// one. An answer that comes when its waiter has given up is not lost: a job that nobody has an id of, and
// that no key stands for, is withdrawn, so that a client that was told "nothing happened" can send it again.
//
// What the outbox said of its pressure holds for a second. While it refuses, one request a second asks again
// and all others are refused here; they are counted, and told of with the next call. Only those that may
// repeat what was accepted before (they have an idempotency key) are asked for, together.

import type { TrafficClass } from "../config/plan.ts";
import type { AcceptItem, AcceptOutcome, AcceptReply, KeyLookup, Pressure } from "./core/protocol.ts";
import { MAX_BATCH_JOBS } from "./core/protocol.ts";

/** For how long a request waits for others to share its call. */
export const BATCH_WINDOW_MS = 5;
/** For how long what an outbox said of its pressure holds. */
export const PRESSURE_MS = 1_000;

/** For how long keys are gathered that may be known, while everything else is refused. */
export const LOOKUP_WINDOW_MS = 250;

/** What became of an item. `unanswered`: the outbox failed, or has not answered in time. */
export type Submitted = AcceptOutcome | { readonly kind: "unanswered" };

export interface BatchPorts {
  now(): number;
  /** Calls `fire` after `ms`; gives what calls that off. */
  startTimer(ms: number, fire: () => void): () => void;
  /** One call of the outbox; null when it fails or never answers. */
  send(
    items: readonly AcceptItem[],
    refused: number,
    lookups?: readonly KeyLookup[],
  ): Promise<AcceptReply | null>;
  /** Takes back a job that was accepted too late for its client. */
  withdraw(id: string): Promise<unknown>;
}

interface Waiter<Item = AcceptItem> {
  readonly item: Item;
  /** False: it has given up. */
  settle(submitted: Submitted): boolean;
}

export class AcceptBatches {
  readonly #ports: BatchPorts;
  #open: Waiter[] | null = null;
  #lookups: Waiter<KeyLookup>[] | null = null;
  #underWay = 0;
  #pressure: Pressure | null = null;
  #pressureAt = Number.NEGATIVE_INFINITY;
  #refused = 0;

  constructor(ports: BatchPorts) {
    this.#ports = ports;
  }

  /**
   * Ms after which to come again, when the queue is known to be full for this class; null: ask it.
   * `mayBeKnown`: it is looked up instead, and counted there.
   */
  refusal(priority: TrafficClass, mayBeKnown = false): number | null {
    const { rejecting = false, rejectingCritical = false, retryAfterMs = 0 } = this.#pressure ?? {};
    if (!(priority === 0 ? rejectingCritical : rejecting)) return null;
    const now = this.#ports.now();
    if (now >= this.#pressureAt + PRESSURE_MS) {
      // This one asks; until it knows more the others go by what is known.
      this.#pressureAt = now;
      return null;
    }
    if (!mayBeKnown) this.#refused += 1;
    return retryAfterMs;
  }

  /**
   * Hands an item in and waits at most `waitMs` for what became of it. `keep` holds work that others share
   * alive although its own request may be over.
   */
  submit(item: AcceptItem, waitMs: number, keep: (work: Promise<unknown>) => void): Promise<Submitted> {
    const { promise, waiter } = this.#wait(item, waitMs);
    const batch = (this.#open ??= []);
    batch.push(waiter);
    if (batch.length >= MAX_BATCH_JOBS || this.#underWay === 0) keep(this.#send(batch));
    else if (batch.length === 1) {
      keep(this.#after(BATCH_WINDOW_MS, () => (this.#open === batch ? this.#send(batch) : null)));
    }
    return promise;
  }

  /** Asks what a key stands for, together with others; `backlog-full`: for nothing. */
  lookUp(lookup: KeyLookup, waitMs: number, keep: (work: Promise<unknown>) => void): Promise<Submitted> {
    const { promise, waiter } = this.#wait(lookup, waitMs);
    const batch = (this.#lookups ??= []);
    batch.push(waiter);
    if (batch.length >= MAX_BATCH_JOBS) keep(this.#ask(batch));
    else if (batch.length === 1) {
      keep(this.#after(LOOKUP_WINDOW_MS, () => (this.#lookups === batch ? this.#ask(batch) : null)));
    }
    return promise;
  }

  async #ask(batch: readonly Waiter<KeyLookup>[]): Promise<void> {
    this.#lookups = null;
    const reply = await this.#ports.send(
      [],
      0,
      batch.map(({ item }) => item),
    );
    const known = reply?.kind === "answered" ? reply.known : undefined;
    // Another version knows no lookups.
    const unknown = { kind: "backlog-full", retryAfterMs: this.#pressure?.retryAfterMs ?? 0 } as const;
    if (reply?.kind === "answered") this.#learn(reply.pressure);
    for (const [index, waiter] of batch.entries()) waiter.settle(known?.[index] ?? unknown);
  }

  #learn(pressure: Pressure): void {
    this.#pressure = pressure;
    this.#pressureAt = this.#ports.now();
  }

  #wait<Item>(item: Item, waitMs: number): { promise: Promise<Submitted>; waiter: Waiter<Item> } {
    const { promise, resolve } = Promise.withResolvers<Submitted>();
    let isWaiting = true;
    const settle = (submitted: Submitted): boolean => {
      const isInTime = isWaiting;
      isWaiting = false;
      if (isInTime) resolve(submitted);
      return isInTime;
    };
    const stopTimer = this.#ports.startTimer(waitMs, () => settle({ kind: "unanswered" }));
    // In the waiter's own context: the timer is not another request's to stop.
    return { promise: promise.finally(stopTimer), waiter: { item, settle } };
  }

  #after(ms: number, work: () => Promise<void> | null): Promise<void> {
    return new Promise((resolve) => {
      this.#ports.startTimer(ms, () => void Promise.resolve(work()).finally(resolve));
    });
  }

  async #send(batch: readonly Waiter[]): Promise<void> {
    this.#open = null;
    this.#underWay += 1;
    const refused = this.#refused;
    this.#refused = 0;
    const reply = await this.#ports.send(
      batch.map(({ item }) => item),
      refused,
    );
    this.#underWay -= 1;
    if (reply?.kind !== "answered") {
      this.#refused += refused;
      for (const waiter of batch) waiter.settle(reply ?? { kind: "unanswered" });
      return;
    }
    this.#learn(reply.pressure);
    const late = batch.flatMap((waiter, index) => {
      const outcome = reply.outcomes[index];
      const isLate = !waiter.settle(outcome) && outcome.kind === "accepted";
      return isLate && waiter.item.idempotency === null ? outcome.id : [];
    });
    await Promise.all(late.map((id) => this.#ports.withdraw(id)));
  }
}
