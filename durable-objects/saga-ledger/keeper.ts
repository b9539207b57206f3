// What a ledger holds of its instances: their rows, the executors that work for them, the calls that wait for
// them to change, and the alarm that looks after them.
//
// First the record, then the start. An instance is stored in one transaction; its executor is created after
// that, since the output gate holds every call until the rows before it are durable. So there is no
// executor without a record. A record without an executor, because the process died in between or the
// platform refused, is found by the alarm, whose time is part of the record. Names of executors are fixed
// by the record, and creating one twice changes nothing.

import type { DrainRate } from "../../src/delivery/core/drain-rate.ts";
import { addDrained, drainPerSecond } from "../../src/delivery/core/drain-rate.ts";
import type { NewEvent } from "../../src/saga/core/event-log.ts";
import { needsNewExecutor } from "../../src/saga/core/progress.ts";
import type { StartReply, StartRequest } from "../../src/saga/core/protocol.ts";
import { equalInConstantTime, executorId, formatSagaId, parseSagaId } from "../../src/saga/core/saga-id.ts";
import type { StartGate, StartLoad } from "./start-gate.ts";
import { OPEN_GATE, nextGate, refusalOf } from "./start-gate.ts";
import type { SagaState } from "../../src/saga/core/state.ts";
import { createState } from "../../src/saga/core/state.ts";
import { dueAt } from "../../src/saga/core/watch.ts";
import { Alarm } from "./alarm.ts";
import { alertParked, executorOf, randomHex } from "./descriptions.ts";
import type { ExecutorWorkflow } from "./executors.ts";
import { Executors } from "./executors.ts";
import type { SagaRow } from "./rows.ts";
import { SagaRows } from "./rows.ts";
import { Waiters } from "../waiters.ts";

/** Until the alarm rings for ended instances alone. */
const PRUNE_PAUSE_MS = 24 * 3600 * 1000;

export interface Change {
  readonly state: SagaState;
  readonly events: readonly NewEvent[];
  /** Another executor takes over, whatever the change is. */
  readonly replaceExecutor?: boolean;
  /** Attempts of the watchdog to move it, this one included; 0: it has moved by itself. */
  readonly rescues?: number;
}

export class Keeper {
  readonly saga: string;
  readonly rows: SagaRows;
  readonly executors: Executors;
  readonly waiters = new Waiters();
  readonly alarm: Alarm;
  /** Instances that began, or whose executor has spoken, since this object began. */
  readonly heard = new Set<number>();
  readonly #context: DurableObjectState;
  readonly #storage: DurableObjectStorage;
  #ended: DrainRate = { perSecond: 0, at: 0 };

  constructor(context: DurableObjectState, workflow: () => ExecutorWorkflow) {
    this.#context = context;
    this.#storage = context.storage;
    this.saga = (context.id.name ?? "saga.").slice("saga.".length);
    this.rows = new SagaRows(context.storage.sql, this.saga);
    this.executors = new Executors(workflow);
    this.alarm = new Alarm(context.storage);
  }

  /** Stores a new instance, unless too many are under way. */
  async add({ key, definition, input, origin, owner }: StartRequest): Promise<StartReply> {
    const now = Date.now();
    const retryAfterMs = this.#refusal(origin.trafficClass, now);
    if (retryAfterMs !== null) return { kind: "full", retryAfterMs };
    const state = createState(definition, now);
    const identity = { seed: randomHex(), input };
    const hex = randomHex();
    const due = dueAt(state, 0, now, this.rows.activeCount());
    const seq = this.#storage.transactionSync(() => {
      const row = this.rows.insert({ hex, key, definition, state, identity, origin, owner, dueAt: due });
      this.rows.addEvents(row, [{ kind: "state", state: "pending" }], now);
      return row;
    });
    this.rows.moved(null, state.phase);
    this.heard.add(seq);
    await this.arm();
    const id = formatSagaId({ hex, seq, saga: this.saga });
    this.#launch({ id, seq, hex, origin, state });
    return { kind: "started", id, replayed: false };
  }

  /** Stores what has changed, wakes those who wait for it, replaces the executor where it must be. */
  async store(row: SagaRow, change: Change): Promise<SagaState> {
    const { state: changed, events, rescues = 0, replaceExecutor = false } = change;
    const now = Date.now();
    const due = dueAt(changed, rescues, rescues === 0 ? 0 : now, this.rows.activeCount());
    const isReplaced = due !== null && (replaceExecutor || needsNewExecutor(row.state, changed));
    if (isReplaced || due === null) this.heard.delete(row.seq);
    const state = isReplaced ? { ...changed, run: changed.run + 1, hasSleeper: false } : changed;
    const isParked = state.phase === "parked" && row.state.phase !== "parked";
    this.#storage.transactionSync(() => {
      this.rows.write(row, state, rescues, due === null ? null : earlier(row.dueAt, due, now));
      this.rows.addEvents(row.seq, events, now);
      if (isParked) this.countUp("parked-total");
    });
    if (this.rows.moved(row.state.phase, state.phase)) this.#ended = addDrained(this.#ended, 1, now);
    if (isParked) alertParked(row, state);
    this.waiters.wake(row.seq);
    if (isReplaced) {
      this.#context.waitUntil(this.executors.end(executorOf(row)));
      this.#launch({ ...row, state });
    }
    await this.arm();
    return state;
  }

  find(id: string): SagaRow | null {
    const parsed = parseSagaId(id);
    const row = parsed === null || parsed.saga !== this.saga ? null : this.rows.read(parsed.seq);
    return row !== null && parsed !== null && equalInConstantTime(row.hex, parsed.hex) ? row : null;
  }

  countUp(name: "parked-total" | "rescued-total"): void {
    this.#storage.kv.put(name, (this.#storage.kv.get<number>(name) ?? 0) + 1);
  }

  /** As the object begins: an alarm that was lost comes back with it. */
  async restore(): Promise<void> {
    await this.alarm.restore();
    await this.arm();
  }

  /** The alarm rings for the next instance that is due. */
  arm(): Promise<void> {
    const next = this.rows.nextDue() ?? Number.POSITIVE_INFINITY;
    return this.alarm.ringBy(Math.min(next, Date.now() + PRUNE_PAUSE_MS));
  }

  #refusal(priority: StartRequest["origin"]["trafficClass"], now: number): number | null {
    const load: StartLoad = {
      active: this.rows.activeCount(),
      endedPerSecond: drainPerSecond(this.#ended, now),
      uncreated: this.executors.waiting,
      createdPerSecond: this.executors.createdPerSecond(now),
    };
    const before = this.#storage.kv.get<StartGate>("gate") ?? OPEN_GATE;
    const gate = nextGate(before, load);
    const isSame = gate.active === before.active && gate.uncreated === before.uncreated;
    if (!isSame) this.#storage.kv.put("gate", gate);
    return refusalOf(gate, load, priority);
  }

  #launch({ id, seq, hex, origin, state }: Pick<SagaRow, "id" | "seq" | "hex" | "origin" | "state">): void {
    const { run } = state;
    const params = { id, run, saga: this.saga, region: origin.region };
    const name = executorId({ hex, seq, saga: this.saga }, run);
    this.#context.waitUntil(this.executors.launch({ id: name, params }));
  }
}

/** A look that comes too early costs less than an indexed row for each step: the watchdog puts it off. */
function earlier(stored: number | null, due: number, now: number): number | "as it is" {
  return stored !== null && stored > now && stored <= due ? "as it is" : due;
}
