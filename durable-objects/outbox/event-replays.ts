// Replays of events to subscriptions: what was asked for is stored, and goes on over restarts.

import type { Book } from "../../src/delivery/core/book.ts";
import {
  afterReplay,
  allowedEvents,
  firstNeeded,
  holdReplay,
  newProgress,
  nextReplayAt,
  replayItem,
  type EventReplay,
  type EventReplayReply,
  type ReplayProgress,
} from "../../src/delivery/core/event-replay.ts";
import { MAX_REPLAY_RATE } from "../../src/delivery/core/requests.ts";
import type { ReplayRequest } from "../../src/delivery/core/protocol.ts";
import type { Routes } from "../../src/delivery/core/routes.ts";
import type { Write } from "../../src/delivery/core/storage.ts";
import { countEvents, findEvents, readReplayPage, readReplays } from "./event-reads.ts";
import type { OutboxLog } from "./log.ts";
import { offerEvents, type OutboxNamespace } from "./offer.ts";

export interface ReplayParts {
  readonly book: Book;
  readonly routes: Routes;
  readonly state: DurableObjectState;
  readonly outboxes: () => OutboxNamespace | undefined;
  readonly commit: (writes: readonly Write[]) => void;
  readonly log: OutboxLog;
}

export class EventReplays {
  readonly #parts: ReplayParts;
  readonly #runs: Map<string, ReplayProgress>;

  constructor(parts: ReplayParts) {
    this.#parts = parts;
    const now = Date.now();
    const stored = readReplays(parts.state.storage.sql);
    this.#runs = new Map(stored.map(([name, run]) => [name, newProgress(run, now)]));
    this.#keep();
  }

  begin(name: string, request: ReplayRequest): EventReplayReply {
    const { routes, state, commit } = this.#parts;
    const route = routes.get(name);
    if (route === undefined) return { kind: "no-events" };
    const { sql } = state.storage;
    const now = Date.now();
    const common = { id: crypto.randomUUID().slice(0, 8), after: 0, upTo: route.cursor, handed: 0 };
    if ("ids" in request) {
      const found = findEvents(sql, name, request.ids, route.cursor);
      const seqs = found.map(({ seq }) => seq).toSorted((one, other) => one - other);
      const known = new Set(found.map(({ id }) => id));
      const run = { ...common, seqs, since: 0, until: 0, rate: MAX_REPLAY_RATE };
      if (seqs.length > 0) commit(this.#set(name, run, now));
      const ids = request.ids.filter((id) => known.has(id));
      return { kind: "replayed", ids, unknown: request.ids.filter((id) => !known.has(id)) };
    }
    const run = { ...common, ...request, seqs: null };
    const matching = countEvents(sql, name, run);
    commit(this.#set(name, matching === 0 ? null : run, now));
    return { kind: "replaying", matching };
  }

  /** How many events of a subscription's replay have gone; null: there is none. */
  handed(name: string): number | null {
    return this.#runs.get(name)?.run.handed ?? null;
  }

  nextAt(now: number): number | null {
    const times = [...this.#runs.values()].map((progress) => nextReplayAt(progress, now));
    return times.length === 0 ? null : Math.min(...times);
  }

  /** Hands on what is due; never rejects. */
  async run(config: string): Promise<void> {
    await Promise.all([...this.#runs].map(([name, progress]) => this.#step(name, progress, config)));
  }

  async #step(name: string, progress: ReplayProgress, config: string): Promise<void> {
    const { routes, state, outboxes, commit, log } = this.#parts;
    const route = routes.get(name);
    const { run } = progress;
    const asked = run.seqs === null ? allowedEvents(progress, Date.now()) : run.seqs.length;
    if (route === undefined || progress.isBusy || asked < 1 || Date.now() < progress.heldUntil) return;
    progress.isBusy = true;
    try {
      const page = readReplayPage(state.storage.sql, name, run, asked);
      const { definition } = route;
      const items = page.map((event) => replayItem(event, definition, run));
      const region = page[0]?.job.region ?? "";
      const reply =
        items.length === 0 ? null : await offerEvents(outboxes(), { region, config, definition, items }, log);
      const isCurrent = this.#runs.get(name) === progress;
      if (!isCurrent) return;
      const next = afterReplay(progress, page, asked, reply, Date.now());
      if (next === run) return;
      if (next === null) {
        commit(this.#set(name, null, 0));
        return;
      }
      progress.run = next;
      this.#keep();
      commit([{ kind: "event-replay", name, run: next }]);
    } catch (error) {
      log.failure("replay-failed", error);
      holdReplay(progress, Date.now());
    } finally {
      progress.isBusy = false;
    }
  }

  #set(name: string, run: EventReplay | null, now: number): Write[] {
    if (run === null) this.#runs.delete(name);
    else this.#runs.set(name, newProgress(run, now));
    this.#keep();
    return [{ kind: "event-replay", name, run }];
  }

  /** What a replay still needs is not deleted meanwhile. */
  #keep(): void {
    const first = [...this.#runs.values()].map(({ run }) => firstNeeded(run));
    this.#parts.book.replayFrom = Math.min(Number.POSITIVE_INFINITY, ...first);
  }
}
