// Speaks to the hub for one isolate: the sync behind responses, its trailing flush, and leases that requests
// wait for. What it needs of the world comes in as ports, so that a simulation drives the same code.
//
//   a wait for a lease ends after LEASE_WAIT_MS, whoever asked and whatever became of the ask
//   one ask at a time for a key; who waits is served in the order of waiting
//   a sync begins behind a response; what it leaves behind is flushed once, SYNC_MS later

import type { LimitTerms, SyncReply, SyncRequest } from "../hub/protocol.ts";
import { markAsk } from "./limit-asks.ts";
import type { LimitView, TakeOutcome } from "./limit-view.ts";
import {
  DENY_MS,
  giveBackUnits,
  takeAlone,
  takeFree,
  takeHeld,
  takeUnits,
  wantsPrefetch,
} from "./limit-view.ts";
import type { UpstreamSource } from "./upstream-source.ts";
import type { Replica } from "./replica.ts";
import { countUsage } from "./usage-counts.ts";
import {
  SYNC_MS,
  beginAsk,
  beginSync,
  endAsk,
  endSync,
  failSync,
  hasPending,
  isAlone,
  isSyncDue,
  isolatesSharing,
  limitViewOf,
} from "./replica.ts";

/** A request waits for a lease at most this long. */
export const LEASE_WAIT_MS = 20;
/** What is urgent does not wait for the next sync, but it comes no more often than this. */
const URGENT_SYNC_MS = 100;
/** A call that could be a probe waits for the hub at most this long, instead of being refused. */
export const PROBE_WAIT_MS = 100;
/** So many share what is free that nobody gets any. */
const NOBODY_FREE = Number.POSITIVE_INFINITY;
/** A flush that has not come by then is armed again. */
const FLUSH_LOST_MS = 2 * SYNC_MS;
/** An ask that was not answered by then is given up; the next request asks again. */
export const ASK_LOST_MS = 1_000;

export interface LinkPorts {
  now(): number;
  /** Sends a request; calls back once, with null when it failed. */
  send(request: SyncRequest, done: (reply: SyncReply | null) => void): void;
  /** Calls back after `ms`, unless cancelled by what it returns. */
  startTimer(ms: number, fire: () => void): () => void;
  newSession(): string;
}

/** What becomes of requests that the hub would have to decide, while it does not answer. */
export type OnUnavailable = "allow" | "deny";

interface Waiter {
  readonly cost: number;
  readonly onUnavailable: OnUnavailable;
  readonly done: (taken: boolean) => void;
  readonly cancelTimer: () => void;
}

export interface LinkTally {
  syncs: number;
  asks: number;
  failed: number;
  /** Waits that ended without the hub's answer. */
  unanswered: number;
}

export class HubLink {
  readonly replica: Replica;
  /** null: the isolate keeps its upstreams to itself. */
  upstreams: UpstreamSource | null = null;
  readonly tally: LinkTally = { syncs: 0, asks: 0, failed: 0, unanswered: 0 };
  readonly #ports: LinkPorts;
  readonly #waiters = new Map<LimitView, Waiter[]>();
  /** Whether anything was counted or taken since the last sync: spares a look at every view. */
  #hasNews = false;
  /** The one that waits for the answer of the sync that is under way. */
  #listener: (() => void) | null = null;
  /** When the flush that is on its way was armed. */
  #flushArmedAt = Number.NEGATIVE_INFINITY;

  constructor(replica: Replica, ports: LinkPorts) {
    this.replica = replica;
    this.#ports = ports;
  }

  /** Adds to a usage counter. */
  count(counter: string, key: string, by: number): void {
    this.#hasNews = true;
    countUsage(this.replica, counter, key, by);
  }

  /** The view of a limit for a key; null when this isolate follows too many keys already. */
  view(terms: LimitTerms): LimitView | null {
    return limitViewOf(this.replica, terms, this.#ports.now());
  }

  /**
   * Takes units at once, if that can be decided here; `ask`: see `wait`. Where `deny` is configured, nothing
   * but leased units is taken while the hub is gone.
   */
  take(view: LimitView, cost: number, onUnavailable: OnUnavailable = "allow"): TakeOutcome {
    this.#hasNews = true;
    const sharing = onUnavailable === "deny" && this.#isHubGone() ? NOBODY_FREE : this.#sharing(view);
    return takeUnits(view, cost, sharing, this.#ports.now());
  }

  /** Gives back what was taken at `takenAt`; rights of a period that has ended since are not given back. */
  giveBack(view: LimitView, cost: number, takenAt = this.#ports.now()): void {
    giveBackUnits(view, cost, this.#ports.now(), takenAt);
  }

  /** Waits for the hub to lease units; `deny`: refuse when it does not answer. Calls back once. */
  wait(view: LimitView, cost: number, onUnavailable: OnUnavailable, done: (taken: boolean) => void): void {
    if (this.#isHubGone()) {
      done(onUnavailable === "allow" && takeAlone(view, cost, this.#ports.now()));
      return;
    }
    const waiters = this.#waiters.get(view) ?? [];
    this.#waiters.set(view, waiters);
    const cancelTimer = this.#ports.startTimer(LEASE_WAIT_MS, () => {
      const at = waiters.indexOf(waiter);
      if (at < 0) return;
      waiters.splice(at, 1);
      this.tally.unanswered++;
      done(onUnavailable === "allow" && this.#takeUnanswered(view, cost));
    });
    const waiter: Waiter = { cost, onUnavailable, done, cancelTimer };
    waiters.push(waiter);
    this.#ask(view, cost);
  }

  /** Call behind each response: starts what is due. */
  afterResponse(): void {
    const now = this.#ports.now();
    if (isSyncDue(this.replica, now) || this.#isUrgent()) this.#sync();
    else if (this.#hasNews && !this.#isFlushArmed(now) && hasPending(this.replica)) this.#armFlush();
  }

  /**
   * Syncs before its time, for an isolate that may have nothing to do for long after this: what its last
   * calls came to must not wait for the next ones. False: it is too early, or a sync is on its way.
   */
  syncEarly(): boolean {
    if (!this.#maySyncEarly()) return false;
    this.#sync();
    return true;
  }

  #maySyncEarly(): boolean {
    const { syncing, sentAt } = this.replica;
    return !syncing && this.#ports.now() - sentAt >= URGENT_SYNC_MS;
  }

  /**
   * Syncs early for a call that might be a probe (`wantsProbe`), and calls back when the hub has answered, or
   * after PROBE_WAIT_MS. False: it is too early, or a sync is on its way; nobody is called back.
   */
  hear(done: () => void): boolean {
    if (this.#listener !== null || !this.#maySyncEarly()) return false;
    const cancelTimer = this.#ports.startTimer(PROBE_WAIT_MS, () => this.#listener?.());
    this.#listener = () => {
      this.#listener = null;
      cancelTimer();
      done();
    };
    this.#sync();
    return true;
  }

  /** Call after a take: renews a lease that runs low before a request has to wait. */
  prefetch(view: LimitView): void {
    if (wantsPrefetch(view, this.#sharing(view), this.#ports.now())) this.#ask(view, 1);
  }

  /** Whether the hub should hear before its time. */
  hasUrgentNews(): boolean {
    return this.upstreams?.hasUrgentNews(this.#ports.now()) === true;
  }

  #isUrgent(): boolean {
    return this.#maySyncEarly() && this.hasUrgentNews();
  }

  #isHubGone(): boolean {
    return this.replica.failures > 0;
  }

  #sharing(view: LimitView): number {
    return isolatesSharing(this.replica, view.terms);
  }

  /** A runtime may drop a timer with the request that started it. */
  #isFlushArmed(now: number): boolean {
    return Math.abs(now - this.#flushArmedAt) < FLUSH_LOST_MS;
  }

  #sync(): void {
    const askedAt = this.#ports.now();
    this.#hasNews = false;
    const request = beginSync(this.replica, this.#ports.newSession(), askedAt, this.upstreams);
    this.tally.syncs++;
    this.#ports.send(request, (reply) => {
      if (reply === null) {
        this.tally.failed++;
        failSync(this.replica, askedAt);
        this.upstreams?.standAlone(this.#ports.now());
      } else this.#follow(reply, askedAt);
      this.#listener?.();
    });
  }

  #follow(reply: SyncReply, askedAt: number): void {
    const now = this.#ports.now();
    endSync(this.replica, reply, askedAt, now, this.#ports.newSession());
    if (reply.kind !== "synced") return;
    this.upstreams?.follow(reply.verdicts ?? [], now);
    this.upstreams?.followLoads(reply.loads ?? [], now);
    this.upstreams?.followBulkheads(reply.bulkheads ?? [], now);
  }

  #armFlush(): void {
    const now = this.#ports.now();
    this.#flushArmedAt = now;
    const waitMs = Math.min(SYNC_MS, Math.max(0, this.replica.sentAt + SYNC_MS - now));
    this.#ports.startTimer(waitMs, () => {
      this.#flushArmedAt = Number.NEGATIVE_INFINITY;
      if (isSyncDue(this.replica, this.#ports.now()) && hasPending(this.replica)) this.#sync();
    });
  }

  #ask(view: LimitView, need: number): void {
    const askedAt = this.#ports.now();
    if (view.asking && askedAt - view.askedAt < ASK_LOST_MS) return;
    this.tally.asks++;
    const mark = markAsk(view);
    const waiting = (this.#waiters.get(view) ?? []).reduce((units, { cost }) => units + cost, 0);
    this.#ports.send(beginAsk(this.replica, view, need, askedAt, waiting), (reply) => {
      if (reply === null) {
        view.asking = false;
        this.tally.failed++;
        this.#failWaiters(view);
        return;
      }
      endAsk(this.replica, view, reply, askedAt, this.#ports.now(), mark);
      this.#serveWaiters(view);
    });
  }

  #serveWaiters(view: LimitView): void {
    const waiters = this.#waiters.get(view) ?? [];
    const now = this.#ports.now();
    while (waiters.length > 0) {
      const outcome = takeHeld(view, waiters[0].cost, this.#sharing(view), now);
      if (outcome === "ask") {
        this.#ask(view, waiters[0].cost);
        return;
      }
      const [waiter] = waiters.splice(0, 1);
      waiter.cancelTimer();
      waiter.done(outcome === "taken");
    }
    this.#waiters.delete(view);
  }

  /** The hub cannot be asked: who waits goes by what is known here. */
  #failWaiters(view: LimitView): void {
    const now = this.#ports.now();
    for (const waiter of this.#waiters.get(view)?.splice(0) ?? []) {
      waiter.cancelTimer();
      waiter.done(waiter.onUnavailable === "allow" && takeAlone(view, waiter.cost, now));
    }
    this.#waiters.delete(view);
  }

  /** The hub has not answered in time: it may be slow, or gone without our knowing yet. */
  #takeUnanswered(view: LimitView, cost: number): boolean {
    const now = this.#ports.now();
    const isOnlyOne = this.#sharing(view) === 1;
    if (isAlone(this.replica) || isOnlyOne) return takeAlone(view, cost, now);
    if (takeFree(view, cost, this.#sharing(view), now)) return true;
    view.retryAt = Math.max(view.retryAt, now + DENY_MS);
    return false;
  }
}
