// The truth about the instances of one saga: what was begun, every call with its key and time, what came of
// it, and what is left to do. Executors hold nothing: each asks here before it acts, so one that dies, is
// doubled or was replaced changes nothing. The rules stand in src/saga/core/; here is what is asked of it.
//
// Every answer leaves after its rows are durable (the output gate holds it back): a call is written down
// before it is made, a saga is stored before its 202. The alarm looks after instances that do not move.

import { DurableObject } from "cloudflare:workers";
import { commandFor } from "../src/saga/core/calls.ts";
import type { NewEvent } from "../src/saga/core/event-log.ts";
import { eventsOfState, eventsOfStep } from "../src/saga/core/event-log.ts";
import type { Operation } from "../src/saga/core/operate.ts";
import { expire, operate } from "../src/saga/core/operate.ts";
import { pendingWork } from "../src/saga/core/progress.ts";
import type * as Protocol from "../src/saga/core/protocol.ts";
import { MAX_EVENTS, MAX_LISTED, MAX_WAIT_MS, isStartRequest } from "../src/saga/core/protocol.ts";
import { PHASES, isOver } from "../src/saga/core/state.ts";
import type { ExecutorWorkflow } from "./saga-ledger/executors.ts";
import { describeRow, summarizeRow, viewRow } from "./saga-ledger/descriptions.ts";
import { Keeper } from "./saga-ledger/keeper.ts";
import { watchOver } from "./saga-ledger/watchdog.ts";

interface LedgerEnv {
  readonly SAGA: ExecutorWorkflow;
}

export class SagaLedger extends DurableObject<LedgerEnv> implements Protocol.SagaLedgerStub {
  readonly #keeper: Keeper;

  constructor(context: DurableObjectState, env: LedgerEnv) {
    super(context, env);
    this.#keeper = new Keeper(context, () => this.env.SAGA);
    void context.blockConcurrencyWhile(() => this.#keeper.restore());
  }

  /** Stores a new instance, or finds the one of its key. */
  async start(request: Protocol.StartRequest): Promise<Protocol.StartReply> {
    if (!isStartRequest(request)) throw new TypeError("malformed start");
    const { rows } = this.#keeper;
    const known = rows.seqOfKey(request.key);
    const before = known === null ? null : rows.read(known);
    if (before !== null) return { kind: "started", id: before.id, replayed: true };
    return this.#keeper.add(request);
  }

  /** What an executor can begin with. */
  resume({ id, run }: Protocol.ExecutorRequest): Promise<Protocol.ResumeReply> {
    const row = this.#keeper.find(id);
    if (row === null || row.state.run !== run) return Promise.resolve({ kind: "stale" });
    this.#keeper.heard.add(row.seq);
    return Promise.resolve({ kind: "work", next: pendingWork(row.definition, row.state) });
  }

  /** An executor begins a piece of work, or tells what became of a call; the reply says what to do. */
  async step({ id, run, work, told }: Protocol.StepRequest): Promise<Protocol.StepReply> {
    const row = this.#keeper.find(id);
    if (row === null || row.state.run !== run) return { kind: "stale" };
    this.#keeper.heard.add(row.seq);
    const now = Date.now();
    const { definition, identity, origin } = row;
    const late = expire(definition, row.state, now);
    const before = late ?? row.state;
    const { state, command } = commandFor(definition, before, identity, work, told, now, Math.random());
    const events = [...eventsOfState(row.state, before), ...eventsOfStep(before, state, work, told, command)];
    await this.#keeper.store(row, { state, events });
    return { kind: "command", command, origin };
  }

  async view(id: string): Promise<Protocol.ViewReply> {
    const row = this.#keeper.find(id);
    if (row === null) return { kind: "unknown" };
    // Whoever looks at it also sees to it that the watchdog does.
    await this.#keeper.arm();
    return describeRow(row);
  }

  async awaitEnd(id: string, waitMs: number): Promise<Protocol.ViewReply> {
    const until = Date.now() + Math.min(MAX_WAIT_MS, waitMs);
    for (;;) {
      const row = this.#keeper.find(id);
      if (row === null) return { kind: "unknown" };
      const remainingMs = until - Date.now();
      if (isOver(row.state) || row.state.phase === "parked" || remainingMs <= 0) return describeRow(row);
      await this.#keeper.waiters.changed(row.seq, remainingMs);
    }
  }

  /** Events after a number; waits for one while there is none and more can come. */
  async events(id: string, after: number, waitMs: number): Promise<Protocol.EventsReply> {
    const until = Date.now() + Math.min(MAX_WAIT_MS, waitMs);
    for (;;) {
      const row = this.#keeper.find(id);
      if (row === null) return { kind: "unknown" };
      const events = this.#keeper.rows.eventsAfter(row.seq, after, MAX_EVENTS);
      const remainingMs = until - Date.now();
      if (events.length > 0 || isOver(row.state) || remainingMs <= 0) {
        return { kind: "events", events, isOver: isOver(row.state) };
      }
      await this.#keeper.waiters.changed(row.seq, remainingMs);
    }
  }

  /** What an operator asks for. */
  async operate(id: string, operation: Operation): Promise<Protocol.OperateReply> {
    const row = this.#keeper.find(id);
    if (row === null) return { kind: "unknown" };
    const outcome = operate(row.definition, row.state, operation, Date.now());
    if (outcome.kind === "unchanged") return { kind: "unchanged", view: viewRow(row) };
    if (outcome.kind === "refused") return { ...outcome, view: viewRow(row) };
    const note = operation.note ?? operation.kind;
    const events: NewEvent[] = [
      { kind: "operator", note: operation.note === null ? note : `${operation.kind}: ${note}` },
      ...eventsOfState(row.state, outcome.state),
    ];
    const { replaceExecutor } = outcome;
    const state = await this.#keeper.store(row, { state: outcome.state, events, replaceExecutor });
    return { kind: "done", view: viewRow({ ...row, state }) };
  }

  list({ state, minAgeMs, after, max }: Protocol.ListRequest): Promise<Protocol.ListReply> {
    const now = Date.now();
    const size = Math.max(1, Math.min(MAX_LISTED, max));
    const rows = this.#keeper.rows.list(state, after, now - minAgeMs, size + 1);
    const items = rows.slice(0, size).map((row) => summarizeRow(this.#keeper.saga, row, now));
    return Promise.resolve({ items, next: rows.length > size ? rows[size - 1].seq : null });
  }

  counts(): Promise<Protocol.SagaCounts> {
    const counts = this.#keeper.rows.counts();
    const byState = Object.fromEntries(PHASES.map((phase) => [phase, counts.get(phase) ?? 0]));
    return Promise.resolve({
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- made from every phase
      byState: byState as Protocol.SagaCounts["byState"],
      parkedTotal: this.ctx.storage.kv.get<number>("parked-total") ?? 0,
      rescuedTotal: this.ctx.storage.kv.get<number>("rescued-total") ?? 0,
    });
  }

  override alarm(): Promise<void> {
    return watchOver(this.#keeper);
  }
}
