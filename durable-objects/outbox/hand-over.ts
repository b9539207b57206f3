// Hands events on to the outboxes of their subscriptions: one hand-over per subscription at a time, all of
// them beside each other. What one of them does, or does not, delays nobody else.

import type { Book } from "../../src/delivery/core/book.ts";
import type { Pending, SubscriptionRoute } from "../../src/delivery/core/event-protocol.ts";
import type { AcceptReply } from "../../src/delivery/core/protocol.ts";
import type { PublishedEvent, Route, Routes } from "../../src/delivery/core/routes.ts";
import {
  afterHandOver,
  endHandedOn,
  firstKept,
  learnRoutes,
  nextHandOverAt,
  noteTold,
  subscriptionItem,
  toldRoutes,
} from "../../src/delivery/core/routes.ts";
import type { Write } from "../../src/delivery/core/storage.ts";
import { readPage, readPending } from "./event-reads.ts";
import type { OutboxFailpoints } from "./failpoints.ts";
import type { OutboxLog } from "./log.ts";
import { lostOf, offerEvents, type OutboxNamespace } from "./offer.ts";
import { EventReplays } from "./event-replays.ts";
import { Gathering } from "./gathering.ts";

/** Events that come within this time are handed on together. */
const GATHER_MS = 2;

export interface HandOverParts {
  readonly book: Book;
  readonly routes: Routes;
  readonly state: DurableObjectState;
  readonly outboxes: () => OutboxNamespace | undefined;
  readonly failpoints: OutboxFailpoints;
  readonly commit: (writes: readonly Write[]) => void;
  readonly log: OutboxLog;
}

export class HandOver {
  readonly #parts: HandOverParts;
  readonly #gathering: Gathering;
  #config = "";
  readonly replays: EventReplays;

  constructor(parts: HandOverParts) {
    this.#parts = parts;
    this.#gathering = new Gathering(parts.state, GATHER_MS, () => this.run());
    this.replays = new EventReplays(parts);
    parts.book.keptFrom = firstKept(parts.routes, parts.book.lastSeq);
  }

  /** Null: nothing was told. */
  learn(told: readonly SubscriptionRoute[] | null, config: string): Write[] {
    const { routes, book } = this.#parts;
    if (told === null) return [];
    this.#config = config;
    return [...noteTold(book, told), ...learnRoutes(routes, told, book.lastSeq)];
  }

  /** Whom events may be for whose sender does not say it. */
  get told(): readonly SubscriptionRoute[] {
    return toldRoutes(this.#parts.book, this.#parts.routes);
  }

  /** When the alarm should call `run`; null: never, as things are. */
  nextAt(now: number): number | null {
    const times = [nextHandOverAt(this.#parts.routes, now), this.replays.nextAt(now)].filter(
      (at) => at !== null,
    );
    return times.length === 0 ? null : Math.min(...times);
  }

  pending(): Record<string, Pending> {
    const names = [...this.#parts.routes.keys()];
    return Object.fromEntries(
      names.flatMap((name) => {
        const pending = this.pendingFor(name);
        return pending === null ? [] : [[name, pending] as const];
      }),
    );
  }

  /** Null: nobody has told of a subscription of this name. */
  pendingFor(name: string): Pending | null {
    const { routes, book, state } = this.#parts;
    const route = routes.get(name);
    if (route === undefined) return null;
    const { scanned, reason } = route;
    const replayed = this.replays.handed(name);
    if (scanned >= book.lastSeq) return { count: 0, oldestAgeMs: 0, reason, replayed };
    return { ...readPending(state.storage.sql, route, Date.now()), replayed };
  }

  /** Hands on shortly, together with what comes meanwhile. */
  soon(): void {
    if (!this.#gathering.isWaiting && this.#hasWork(Date.now())) this.#gathering.soon();
  }

  /** Hands on what can be; never throws. */
  async run(): Promise<void> {
    const { routes, book, commit, log } = this.#parts;
    const now = Date.now();
    const ready = [...routes.values()].filter((route) => this.#mayGo(route, now));
    try {
      await Promise.all([...ready.map((route) => this.#handOn(route)), this.replays.run(this.#config)]);
      commit(endHandedOn(book, routes, Date.now()));
    } catch (error) {
      log.failure("hand-over-failed", error);
    }
  }

  #hasWork(now: number): boolean {
    const { routes, book } = this.#parts;
    return (
      [...routes.values()].some((route) => this.#mayGo(route, now)) ||
      (this.replays.nextAt(now) ?? Number.POSITIVE_INFINITY) <= now ||
      (book.live.size > 0 && routes.size === 0)
    );
  }

  #mayGo(route: Route, now: number): boolean {
    return !route.isBusy && route.scanned < this.#parts.book.lastSeq && route.heldUntil <= now;
  }

  async #handOn(route: Route): Promise<void> {
    const { book, routes, state, commit, failpoints, log } = this.#parts;
    route.isBusy = true;
    try {
      for (;;) {
        const upTo = book.lastSeq;
        const page = readPage(state.storage.sql, route);
        if (page.length === 0) {
          route.scanned = upTo;
          route.reason = null;
          break;
        }
        // No event must be seen before it is durable here.
        await state.storage.sync();
        failpoints.pass("before_publish");
        const reply = await this.#offer(route, page);
        failpoints.pass("after_publish");
        failpoints.pass("before_mark");
        const writes = afterHandOver(route, page, reply, Date.now());
        for (const { index, kind } of lostOf(reply)) {
          log.failure("event-refused", `${route.definition.name} refused ${page[index].id}: ${kind}`);
        }
        book.counts.published += writes.length === 0 ? 0 : page.length;
        commit([...writes, ...endHandedOn(book, routes, Date.now())]);
        if (route.reason !== null) break;
      }
    } catch (error) {
      log.failure("hand-over-failed", error);
      afterHandOver(route, [], null, Date.now());
    } finally {
      route.isBusy = false;
    }
  }

  #offer({ definition }: Route, page: readonly PublishedEvent[]): Promise<AcceptReply | null> {
    const { outboxes, log } = this.#parts;
    const now = Date.now();
    const items = page.map((event) => subscriptionItem(event, definition, now));
    const { region } = page[0].job;
    return offerEvents(outboxes(), { region, config: this.#config, definition, items }, log);
  }
}
