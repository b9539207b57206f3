// The truth about the instances of one saga: what was begun, every call with its key and time, what came of
// it, and what is left to do. Executors hold nothing: each asks here before it acts, so one that dies, is
// doubled or was replaced changes nothing. The rules stand in src/saga/core/; here are storage and alarm.
//
// Every answer leaves after its rows are durable (the output gate holds it back): a call is written down
// before it is made, a saga is stored before its 202. The alarm looks after instances that do not move.

import { DurableObject } from "cloudflare:workers";
import { commandFor } from "../src/saga/core/calls.ts";
import type { NewEvent } from "../src/saga/core/event-log.ts";
import { eventsOfState, eventsOfStep } from "../src/saga/core/event-log.ts";
import type { Operation } from "../src/saga/core/operate.ts";
import { expire, operate } from "../src/saga/core/operate.ts";
import { needsNewExecutor, pendingWork } from "../src/saga/core/progress.ts";
import type * as Protocol from "../src/saga/core/protocol.ts";
import { MAX_EVENTS, MAX_LISTED, MAX_WAIT_MS, isStartRequest } from "../src/saga/core/protocol.ts";
import { equalInConstantTime, executorId, formatSagaId, parseSagaId } from "../src/saga/core/saga-id.ts";
import type { SagaState } from "../src/saga/core/state.ts";
import { PHASES, createState, isOver } from "../src/saga/core/state.ts";
import { ALIVE_STALL_MS, MAX_STALL_MS, dueAt, expectedAt, rescueFor } from "../src/saga/core/watch.ts";
import type { ExecutorWorkflow } from "./saga-ledger/executors.ts";
import { Executors } from "./saga-ledger/executors.ts";
import {
  alertParked,
  describeRow,
  executorOf,
  randomHex,
  summarizeRow,
  viewRow,
} from "./saga-ledger/descriptions.ts";
import type { SagaRow } from "./saga-ledger/rows.ts";
import { SagaRows } from "./saga-ledger/rows.ts";
import { Waiters } from "./saga-ledger/waiters.ts";

/** Instances under way; more are refused until some have ended. */
export const MAX_ACTIVE = 20_000;
/** Ended instances are kept so long. */
export const RETENTION_MS = 90 * 24 * 3600 * 1000;
/** Instances looked at, and forgotten, in one run of the alarm. */
const WATCH_BATCH = 50;
const PRUNE_BATCH = 200;
/** Until the next run for ended instances alone. */
const PRUNE_PAUSE_MS = 24 * 3600 * 1000;
const FULL_RETRY_MS = 5_000;

interface LedgerEnv {
  readonly SAGA: ExecutorWorkflow;
}

export class SagaLedger extends DurableObject<LedgerEnv> implements Protocol.SagaLedgerStub {
  readonly #storage: DurableObjectStorage;
  readonly #saga: string;
  readonly #rows: SagaRows;
  readonly #executors: Executors;
  readonly #waiters = new Waiters();
  /** Instances that began, or whose executor has spoken, since this object began. */
  readonly #heard = new Set<number>();
  #alarmAt: number | null = null;

  constructor(context: DurableObjectState, env: LedgerEnv) {
    super(context, env);
    this.#storage = context.storage;
    this.#saga = (context.id.name ?? "saga.").slice("saga.".length);
    this.#rows = new SagaRows(context.storage.sql, this.#saga);
    this.#executors = new Executors(env.SAGA);
    // An alarm that was lost comes back with the object.
    void context.blockConcurrencyWhile(() => this.#arm());
  }

  /** Stores a new instance, or finds the one of its key. */
  async start(request: Protocol.StartRequest): Promise<Protocol.StartReply> {
    if (!isStartRequest(request)) throw new TypeError("malformed start");
    const { key, definition, input, origin, owner } = request;
    const known = this.#rows.seqOfKey(key);
    const before = known === null ? null : this.#rows.read(known);
    if (before !== null) return { kind: "started", id: before.id, replayed: true };
    if (this.#rows.activeCount() >= MAX_ACTIVE) return { kind: "full", retryAfterMs: FULL_RETRY_MS };
    const now = Date.now();
    const state = createState(definition, now);
    const identity = { seed: randomHex(), input };
    const hex = randomHex();
    const seq = this.#storage.transactionSync(() => {
      const due = dueAt(state, 0, now);
      const row = this.#rows.insert({ hex, key, definition, state, identity, origin, owner, dueAt: due });
      this.#rows.addEvents(row, [{ kind: "state", state: "pending" }], now);
      return row;
    });
    this.#heard.add(seq);
    await this.#arm();
    const id = formatSagaId({ hex, seq, saga: this.#saga });
    this.#launch({ id, seq, hex, origin, state });
    return { kind: "started", id, replayed: false };
  }

  /** What an executor can begin with. */
  resume({ id, run }: Protocol.ExecutorRequest): Promise<Protocol.ResumeReply> {
    const row = this.#find(id);
    if (row === null || row.state.run !== run) return Promise.resolve({ kind: "stale" });
    this.#heard.add(row.seq);
    return Promise.resolve({ kind: "work", next: pendingWork(row.definition, row.state) });
  }

  /** An executor begins a piece of work, or tells what became of a call; the reply says what to do. */
  async step({ id, run, work, told }: Protocol.StepRequest): Promise<Protocol.StepReply> {
    const row = this.#find(id);
    if (row === null || row.state.run !== run) return { kind: "stale" };
    this.#heard.add(row.seq);
    const now = Date.now();
    const { definition, identity, origin } = row;
    const late = expire(definition, row.state, now);
    const before = late ?? row.state;
    const { state, command } = commandFor(definition, before, identity, work, told, now, Math.random());
    const events = [...eventsOfState(row.state, before), ...eventsOfStep(before, state, work, told, command)];
    await this.#store(row, state, events);
    return { kind: "command", command, origin };
  }

  view(id: string): Promise<Protocol.ViewReply> {
    const row = this.#find(id);
    return Promise.resolve(row === null ? { kind: "unknown" } : describeRow(row));
  }

  async awaitEnd(id: string, waitMs: number): Promise<Protocol.ViewReply> {
    const until = Date.now() + Math.min(MAX_WAIT_MS, waitMs);
    for (;;) {
      const row = this.#find(id);
      if (row === null) return { kind: "unknown" };
      const remainingMs = until - Date.now();
      if (isOver(row.state) || row.state.phase === "parked" || remainingMs <= 0) return describeRow(row);
      await this.#waiters.changed(row.seq, remainingMs);
    }
  }

  /** Events after a number; waits for one while there is none and more can come. */
  async events(id: string, after: number, waitMs: number): Promise<Protocol.EventsReply> {
    const until = Date.now() + Math.min(MAX_WAIT_MS, waitMs);
    for (;;) {
      const row = this.#find(id);
      if (row === null) return { kind: "unknown" };
      const events = this.#rows.eventsAfter(row.seq, after, MAX_EVENTS);
      const remainingMs = until - Date.now();
      if (events.length > 0 || isOver(row.state) || remainingMs <= 0) {
        return { kind: "events", events, isOver: isOver(row.state) };
      }
      await this.#waiters.changed(row.seq, remainingMs);
    }
  }

  /** What an operator asks for. */
  async operate(id: string, operation: Operation): Promise<Protocol.OperateReply> {
    const row = this.#find(id);
    if (row === null) return { kind: "unknown" };
    const outcome = operate(row.definition, row.state, operation, Date.now());
    if (outcome.kind === "unchanged") return { kind: "unchanged", view: viewRow(row) };
    if (outcome.kind === "refused") return { ...outcome, view: viewRow(row) };
    const note = operation.note ?? operation.kind;
    const events: NewEvent[] = [
      { kind: "operator", note: operation.note === null ? note : `${operation.kind}: ${note}` },
      ...eventsOfState(row.state, outcome.state),
    ];
    const state = await this.#store(row, outcome.state, events, outcome.replaceExecutor);
    return { kind: "done", view: viewRow({ ...row, state }) };
  }

  list({ state, minAgeMs, after, max }: Protocol.ListRequest): Promise<Protocol.ListReply> {
    const now = Date.now();
    const size = Math.max(1, Math.min(MAX_LISTED, max));
    const rows = this.#rows.list(state, after, now - minAgeMs, size + 1);
    const items = rows.slice(0, size).map((row) => summarizeRow(this.#saga, row, now));
    return Promise.resolve({ items, next: rows.length > size ? rows[size - 1].seq : null });
  }

  counts(): Promise<Protocol.SagaCounts> {
    const counts = this.#rows.counts();
    const byState = Object.fromEntries(PHASES.map((phase) => [phase, counts.get(phase) ?? 0]));
    return Promise.resolve({
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- made from every phase
      byState: byState as Protocol.SagaCounts["byState"],
      parkedTotal: this.#storage.kv.get<number>("parked-total") ?? 0,
      rescuedTotal: this.#storage.kv.get<number>("rescued-total") ?? 0,
    });
  }

  /** Moves what does not move, ends what is late, forgets what is old. It never throws. */
  override async alarm(): Promise<void> {
    this.#alarmAt = null;
    try {
      const now = Date.now();
      await Promise.all(this.#rows.due(now, WATCH_BATCH).map((seq) => this.#watchSafely(seq, now)));
      this.#rows.prune(now - RETENTION_MS, PRUNE_BATCH);
    } catch (error) {
      console.error("saga: the watchdog failed", error);
    }
    await this.#arm();
  }

  /** One instance that cannot be looked at must not keep the others waiting. */
  async #watchSafely(seq: number, now: number): Promise<void> {
    try {
      await this.#watch(seq);
    } catch (error) {
      console.error(`saga: the watchdog failed on row ${seq}`, error);
      this.#rows.postpone(seq, now + MAX_STALL_MS);
    }
  }

  async #watch(seq: number): Promise<void> {
    const row = this.#rows.read(seq);
    const now = Date.now();
    if (row === null) return;
    const late = expire(row.definition, row.state, now);
    if (late !== null) {
      await this.#store(row, late, eventsOfState(row.state, late));
      return;
    }
    const patientUntil = expectedAt(row.state) + ALIVE_STALL_MS;
    if (this.#heard.has(seq) && now < patientUntil) {
      const { timeoutAt } = row.state;
      this.#rows.postpone(seq, timeoutAt > now ? Math.min(patientUntil, timeoutAt) : patientUntil);
      return;
    }
    this.#heard.delete(seq);
    const executor = executorOf(row);
    const status = await this.#executors.statusOf(executor);
    // While the status was asked for it may have moved.
    const again = this.#rows.read(seq);
    if (again === null || again.state.updatedAt !== row.state.updatedAt) return;
    const rescue = rescueFor(status, row.rescues);
    this.#countUp("rescued-total");
    const note = `${rescue}: the executor was ${status}`;
    const rescues = row.rescues + 1;
    if (rescue === "replace") {
      await this.#store(row, row.state, [{ kind: "watchdog", note }], true, rescues);
      return;
    }
    this.#rows.write(seq, row.state, dueAt(row.state, rescues, now), rescues);
    this.#rows.addEvents(seq, [{ kind: "watchdog", note }], now);
    if (rescue === "pause-and-resume") await this.#executors.pauseAndResume(executor);
  }

  /** Stores what has changed, wakes those who wait for it, replaces the executor where it must be. */
  async #store(
    row: SagaRow,
    changed: SagaState,
    events: readonly NewEvent[],
    replaceExecutor = false,
    rescues = 0,
  ): Promise<SagaState> {
    const now = Date.now();
    const due = dueAt(changed, rescues, now);
    const isReplaced = (replaceExecutor || needsNewExecutor(row.state, changed)) && due !== null;
    if (isReplaced || due === null) this.#heard.delete(row.seq);
    const state = isReplaced ? { ...changed, run: changed.run + 1, hasSleeper: false } : changed;
    this.#storage.transactionSync(() => {
      this.#rows.write(row.seq, state, due, rescues);
      this.#rows.addEvents(row.seq, events, now);
      if (state.phase === "parked" && row.state.phase !== "parked") this.#countUp("parked-total");
    });
    if (state.phase === "parked" && row.state.phase !== "parked") alertParked(row, state);
    this.#waiters.wake(row.seq);
    if (isReplaced) {
      this.ctx.waitUntil(this.#executors.end(executorOf(row)));
      this.#launch({ ...row, state });
    }
    await this.#arm();
    return state;
  }

  #launch({ id, seq, hex, origin, state }: Pick<SagaRow, "id" | "seq" | "hex" | "origin" | "state">): void {
    const { run } = state;
    const params = { id, run, saga: this.#saga, region: origin.region };
    const name = executorId({ hex, seq, saga: this.#saga }, run);
    this.ctx.waitUntil(this.#executors.launch({ id: name, params }));
  }

  #find(id: string): SagaRow | null {
    const parsed = parseSagaId(id);
    const row = parsed === null || parsed.saga !== this.#saga ? null : this.#rows.read(parsed.seq);
    return row !== null && parsed !== null && equalInConstantTime(row.hex, parsed.hex) ? row : null;
  }

  #countUp(name: "parked-total" | "rescued-total"): void {
    this.#storage.kv.put(name, (this.#storage.kv.get<number>(name) ?? 0) + 1);
  }

  /** Sets the alarm to the next instance that is due; an earlier one that is set already stays. */
  async #arm(): Promise<void> {
    const now = Date.now();
    const at = Math.min(this.#rows.nextDue() ?? Number.POSITIVE_INFINITY, now + PRUNE_PAUSE_MS);
    this.#alarmAt ??= await this.#storage.getAlarm();
    if (this.#alarmAt !== null && this.#alarmAt <= at) return;
    this.#alarmAt = at;
    await this.#storage.setAlarm(at);
  }
}
