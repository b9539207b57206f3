// The base class of a Durable Object whose changes are events as well:
//
//   class Order extends OutboxObject<Env> {
//     protected override publisher() {
//       return gatewayPublisher(this.env.GATEWAY, { token: this.env.GATEWAY_TOKEN });
//     }
//     pay(cents: number) {
//       return this.transaction((sql, emit) => {
//         sql.exec("UPDATE orders SET state = 'PAID'");
//         emit("order.paid", { cents });
//       });
//     }
//   }
//
//   1. What a transaction writes and what it emits is stored as a whole or not at all.
//   2. What is stored is published, in the order in which it was stored, at least once, with the same id each
//      time. An alarm does it; it is set in the same transaction, so no crash lies between.
//   3. Only the relay that claimed last can say what is published.
//   4. An alarm never throws, because the platform gives it up after some failures. It is set again before
//      anything is sent, at the end, and whenever the object starts.

import { DurableObject } from "cloudflare:workers";
import { writeStructured } from "../src/delivery/events/json-format.ts";
import { ID_RANDOM_BYTES, uuidV7 } from "../src/delivery/events/event-id.ts";
import { COLLECT_PAUSE_MS, COLLECT_ROWS } from "../src/delivery/relay/cursor.ts";
import type { EventPublisher } from "../src/delivery/relay/publisher.ts";
import { Failpoints } from "./failpoints.ts";
import { emittedEvent, type Emit } from "./outbox-object/emission.ts";
import {
  OBJECT_FAILPOINTS,
  type ObjectFailpoint,
  type ObjectFailpoints,
} from "./outbox-object/failpoints.ts";
import { ObjectRelay } from "./outbox-object/relay.ts";
import { OutboxRows, type DeadEventRow } from "./outbox-object/rows.ts";

export { gatewayPublisher, queuePublisher } from "./outbox-object/publishers.ts";
export type { EventPublisher, PublishOutcome } from "../src/delivery/relay/publisher.ts";
export type { CloudEvent } from "../src/delivery/events/cloud-event.ts";
export type { Emit, EmitOptions } from "./outbox-object/emission.ts";

/** Events are published so long after they were emitted, together with what is emitted meanwhile. */
export const PUBLISH_DELAY_MS = 20;
/** Published events are kept so long. */
export const DEFAULT_RETENTION_MS = 7 * 24 * 3600 * 1000;
/** While something is sent, the alarm stands so far ahead: for the case that this object dies meanwhile. */
const GUARD_MS = 5_000;
/** When `onAlarm` is tried again after it failed. */
export const OWN_ALARM_RETRY_MS = 60_000;
/** An alarm that is late by so much is lost, and is set again. */
const LATE_MS = 10_000;

/** How its outbox stands. */
export interface OutboxState {
  /** Events that are stored and not published. */
  readonly waiting: number;
  /** Age of the oldest of them in ms, 0: there is none. */
  readonly oldestAgeMs: number;
  /** Publications that failed in a row. */
  readonly failures: number;
}

export abstract class OutboxObject<Env = unknown> extends DurableObject<Env> {
  readonly #rows: OutboxRows;
  readonly #failpoints: ObjectFailpoints;
  readonly #relay: ObjectRelay;
  /** When the alarm is set for, as far as this boot knows; null: it is not, or nobody knows. */
  #alarmAt: number | null = null;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#rows = new OutboxRows(ctx.storage.sql);
    const isLocal = (): boolean => Reflect.get(Object(this.env), "TIDEGATE_LOCAL") === "1";
    this.#failpoints = new Failpoints(ctx, OBJECT_FAILPOINTS, isLocal);
    const { storage } = ctx;
    const [rows, failpoints] = [this.#rows, this.#failpoints];
    this.#relay = new ObjectRelay({ storage, rows, failpoints, publisher: () => this.publisher() });
    void ctx.blockConcurrencyWhile(async () => {
      this.#alarmAt = await ctx.storage.getAlarm();
      this.#arm();
    });
  }

  /** Where events go. */
  protected abstract publisher(): EventPublisher;

  /** The `source` of its events. Name your own: the name of the class does not outlive a minified build. */
  protected eventSource(): string {
    return `/objects/${encodeURIComponent(this.#ownName())}`;
  }

  /** For how long published events are kept, in ms. */
  protected retentionMs(): number {
    return DEFAULT_RETENTION_MS;
  }

  /** What the alarm of `setOwnAlarm` does. If it throws, it is tried again a minute later. */
  protected onAlarm(): void | Promise<void> {}

  /**
   * Runs `work` as one transaction: what it writes with `sql` and what it emits is stored together. If it
   * throws, nothing of both is. It cannot wait: what it returns must not be a promise.
   */
  protected transaction<Result>(work: (sql: SqlStorage, emit: Emit) => Result): Result {
    let isOpen = true;
    const emit: Emit = (...emitted) => {
      if (!isOpen) throw new TypeError("emit was called after its transaction");
      return this.#store(...emitted);
    };
    try {
      const result = this.ctx.storage.transactionSync(() => {
        const value = work(this.ctx.storage.sql, emit);
        if (isPromise(value)) throw new TypeError("a transaction cannot wait: it returned a promise");
        this.#failpoints.pass("mid_transaction");
        return value;
      });
      this.#failpoints.pass("after_commit");
      return result;
    } catch (error) {
      // Whether the alarm was set is not known any more.
      this.#alarmAt = null;
      throw error;
    } finally {
      isOpen = false;
    }
  }

  /** The object's one alarm belongs to its outbox; this is the user's own. Null: none. */
  protected setOwnAlarm(at: number | null): void {
    this.#rows.saveOwnAlarm(at);
    this.#arm();
  }

  /** How its outbox stands. */
  outboxState(): OutboxState {
    const { cursor, failures } = this.#rows.relay();
    const [oldest] = this.#rows.after(cursor, 1);
    const oldestAgeMs = oldest === undefined ? 0 : Math.max(0, Date.now() - oldest.at);
    return { waiting: this.#rows.countAfter(cursor), oldestAgeMs, failures };
  }

  /** Publishes at once what waits, without waiting for the alarm. */
  async flushOutbox(): Promise<OutboxState> {
    await this.#relay.run();
    this.#arm();
    return this.outboxState();
  }

  /** Events that were refused for good, behind a number, oldest first. */
  deadEvents(after = 0, max = 100): DeadEventRow[] {
    return this.#rows.dead(after, Math.min(max, 100));
  }

  /** Puts dead events into the outbox again, under the ids that they had; says how many. */
  replayDead(seqs: readonly number[]): number {
    return this.ctx.storage.transactionSync(() => {
      const dead = [...new Set(seqs)].flatMap((seq) =>
        this.#rows.dead(seq - 1, 1).filter((row) => row.seq === seq),
      );
      for (const { seq, event } of dead) {
        this.#rows.insert({ seq: this.#rows.nextSeq(), at: Date.now(), event });
        this.#rows.dropDead(seq);
      }
      this.#arm();
      return dead.length;
    });
  }

  /** Kills this object once when it passes there; false where that is not local development. */
  failAt(name: ObjectFailpoint): boolean {
    return this.#failpoints.set(name);
  }

  override async alarm(): Promise<void> {
    this.#alarmAt = null;
    this.#setAlarm(Date.now() + GUARD_MS);
    try {
      await this.#relay.run();
      await this.#runOwnAlarm();
      this.#collect();
      this.#alarmAt = null;
      this.#arm();
      if (this.#alarmAt === null) await this.ctx.storage.deleteAlarm();
    } catch (error) {
      console.error("the outbox's alarm goes on later", error);
    }
  }

  #store(...[type, data, options = {}]: Parameters<Emit>): string {
    const now = Date.now();
    const seq = this.#rows.nextSeq();
    const event = emittedEvent(
      {
        seq,
        id: uuidV7(now, crypto.getRandomValues(new Uint8Array(ID_RANDOM_BYTES))),
        source: this.eventSource(),
        key: this.#ownName(),
        now,
      },
      type,
      data,
      options,
    );
    this.#rows.insert({ seq, at: now, event: writeStructured(event) });
    this.#arm();
    return event.id;
  }

  #ownName(): string {
    return this.ctx.id.name ?? this.ctx.id.toString();
  }

  async #runOwnAlarm(): Promise<void> {
    const at = this.#rows.ownAlarm();
    if (at === null || at > Date.now()) return;
    // Until it is done, it is due again: a crash in between must not lose it.
    const againAt = Date.now() + OWN_ALARM_RETRY_MS;
    this.#rows.saveOwnAlarm(againAt);
    try {
      await this.onAlarm();
      if (this.#rows.ownAlarm() === againAt) this.#rows.saveOwnAlarm(null);
    } catch (error) {
      console.error("onAlarm failed, it is tried again", error);
    }
  }

  /** Deletes what was published long ago, a little at a time. */
  #collect(): void {
    try {
      this.ctx.storage.transactionSync(() => {
        this.#rows.collect(this.#rows.relay().cursor, Date.now() - this.retentionMs(), COLLECT_ROWS);
        this.#failpoints.pass("mid_collect");
      });
    } catch (error) {
      console.error("old events could not be deleted", error);
    }
  }

  /** Sets the alarm for the next thing to do, unless it is early enough. Never for now: it may not fire. */
  #arm(): void {
    const at = this.#nextWakeAt(Date.now());
    if (at !== null) this.#setAlarm(at);
  }

  #nextWakeAt(now: number): number | null {
    const times: number[] = [];
    const { cursor } = this.#rows.relay();
    if (this.#rows.after(cursor, 1).length > 0) {
      const { isRunning, heldUntil } = this.#relay;
      times.push(isRunning ? now + GUARD_MS : Math.max(now + PUBLISH_DELAY_MS, heldUntil));
    }
    const ownAt = this.#rows.ownAlarm();
    if (ownAt !== null) times.push(Math.max(ownAt, now + 1));
    const oldestAt = this.#rows.oldestAt();
    // The newest row stays: alone it needs no alarm.
    if (oldestAt !== null && this.#rows.after(0, 2).length > 1) {
      times.push(Math.max(oldestAt + this.retentionMs(), now + COLLECT_PAUSE_MS));
    }
    return times.length === 0 ? null : Math.min(...times);
  }

  #setAlarm(at: number): void {
    const isSet = this.#alarmAt !== null && this.#alarmAt <= at && this.#alarmAt > Date.now() - LATE_MS;
    if (isSet) return;
    this.#alarmAt = at;
    this.ctx.storage.setAlarm(at).catch((error: unknown) => {
      this.#alarmAt = null;
      console.error("the outbox's alarm could not be set", error);
    });
  }
}

function isPromise(value: unknown): boolean {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}
