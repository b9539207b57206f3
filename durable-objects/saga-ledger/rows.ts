// The rows of a saga's ledger. One row holds an instance whole; its events and its definition stand apart.
//
// Row numbers become part of public names and are never given twice: the newest row is not deleted.

import type { SagaDefinition } from "../../src/saga/core/definition.ts";
import type { NewEvent } from "../../src/saga/core/event-log.ts";
import type { SagaIdentity } from "../../src/saga/core/calls.ts";
import type { SagaEvent, SagaOrigin } from "../../src/saga/core/protocol.ts";
import type { SagaPhase, SagaState } from "../../src/saga/core/state.ts";
import { PHASES, isActive } from "../../src/saga/core/state.ts";
import { formatSagaId } from "../../src/saga/core/saga-id.ts";

const TABLES = `
  CREATE TABLE IF NOT EXISTS sagas (
    seq INTEGER PRIMARY KEY, hex TEXT NOT NULL, key TEXT NOT NULL, version TEXT NOT NULL, phase TEXT NOT NULL,
    created_at INTEGER NOT NULL, ended_at INTEGER, due_at INTEGER, rescues INTEGER NOT NULL,
    owner TEXT, seed TEXT NOT NULL, origin TEXT NOT NULL, input TEXT NOT NULL, state TEXT NOT NULL);
  CREATE INDEX IF NOT EXISTS sagas_due ON sagas (due_at) WHERE due_at IS NOT NULL;
  CREATE INDEX IF NOT EXISTS sagas_by_phase ON sagas (phase, seq);
  CREATE TABLE IF NOT EXISTS keys (key TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS definitions (version TEXT PRIMARY KEY, definition TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS events (
    seq INTEGER NOT NULL, n INTEGER NOT NULL, at INTEGER NOT NULL, event TEXT NOT NULL,
    PRIMARY KEY (seq, n)) WITHOUT ROWID;
`;

/** An instance as it is stored. */
export interface SagaRow {
  readonly seq: number;
  readonly id: string;
  readonly hex: string;
  readonly key: string;
  readonly definition: SagaDefinition;
  readonly state: SagaState;
  readonly identity: SagaIdentity;
  readonly origin: SagaOrigin;
  readonly owner: string | null;
  readonly rescues: number;
  readonly dueAt: number | null;
}

export interface NewSaga {
  readonly hex: string;
  readonly key: string;
  readonly definition: SagaDefinition;
  readonly state: SagaState;
  readonly identity: SagaIdentity;
  readonly origin: SagaOrigin;
  readonly owner: string | null;
  readonly dueAt: number | null;
}

export interface ListedRow {
  readonly seq: number;
  readonly hex: string;
  readonly key: string;
  readonly state: SagaState;
}

type Row = {
  seq: number;
  hex: string;
  key: string;
  definition: string;
  state: string;
  seed: string;
  input: string;
  origin: string;
  owner: string | null;
  rescues: number;
  due_at: number | null;
};

/** The phases in which an instance is under way, for SQL. */
const ACTIVE = PHASES.filter((phase) => isActive({ phase }))
  .map((phase) => `'${phase}'`)
  .join(", ");

/** When the watchdog looks at an instance; null: never. */
export type Due = number | null | "as it is";

export class SagaRows {
  readonly #sql: SqlStorage;
  readonly #saga: string;
  /** Instances under way; null: not counted yet. */
  #active: number | null = null;

  constructor(sql: SqlStorage, saga: string) {
    this.#sql = sql;
    this.#saga = saga;
    sql.exec(TABLES);
  }

  read(seq: number): SagaRow | null {
    const row = this.#sql
      .exec<Row>(
        `SELECT seq, hex, key, definition, state, seed, input, origin, owner, rescues, due_at
         FROM sagas JOIN definitions USING (version) WHERE seq = ?`,
        seq,
      )
      .toArray()[0];
    if (row === undefined) return null;
    const { seed, hex, key, owner, rescues } = row;
    return {
      seq,
      hex,
      key,
      owner,
      rescues,
      dueAt: row.due_at,
      id: formatSagaId({ hex, seq, saga: this.#saga }),
      definition: JSON.parse(row.definition),
      state: JSON.parse(row.state),
      identity: { seed, input: JSON.parse(row.input) },
      origin: JSON.parse(row.origin),
    };
  }

  seqOfKey(key: string): number | null {
    return (
      this.#sql.exec<{ seq: number }>("SELECT seq FROM keys WHERE key = ?", key).toArray()[0]?.seq ?? null
    );
  }

  insert({ hex, key, definition, state, identity, origin, owner, dueAt }: NewSaga): number {
    this.#sql.exec(
      "INSERT INTO definitions (version, definition) VALUES (?, ?) ON CONFLICT DO NOTHING",
      definition.version,
      JSON.stringify(definition),
    );
    const { seq } = this.#sql
      .exec<{ seq: number }>(
        `INSERT INTO sagas (hex, key, version, phase, created_at, due_at, rescues, owner, seed, origin, input, state)
         VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?) RETURNING seq`,
        hex,
        key,
        definition.version,
        state.phase,
        state.createdAt,
        dueAt,
        owner,
        identity.seed,
        JSON.stringify(origin),
        JSON.stringify(identity.input),
        JSON.stringify(state),
      )
      .one();
    this.#sql.exec("INSERT INTO keys (key, seq) VALUES (?, ?)", key, seq);
    return seq;
  }

  /** Only what has changed of the indexed columns is written: each costs rows of its own. */
  write(
    { seq, state: before, dueAt: dueBefore }: SagaRow,
    state: SagaState,
    rescues: number,
    due: Due,
  ): void {
    const { phase, endedAt } = state;
    const dueAt = due === "as it is" ? dueBefore : due;
    const columns = ["state = ?", "rescues = ?"];
    const values: SqlStorageValue[] = [JSON.stringify(state), rescues];
    if (phase !== before.phase) {
      columns.push("phase = ?", "ended_at = ?");
      values.push(phase, endedAt);
    }
    if (dueAt !== dueBefore) {
      columns.push("due_at = ?");
      values.push(dueAt);
    }
    this.#sql.exec(`UPDATE sagas SET ${columns.join(", ")} WHERE seq = ?`, ...values, seq);
  }

  postpone(seq: number, dueAt: number): void {
    this.#sql.exec("UPDATE sagas SET due_at = ? WHERE seq = ?", dueAt, seq);
  }

  addEvents(seq: number, events: readonly NewEvent[], now: number): void {
    for (const event of events) {
      this.#sql.exec(
        `INSERT INTO events (seq, n, at, event)
         VALUES (?1, 1 + (SELECT COALESCE(MAX(n), 0) FROM events WHERE seq = ?1), ?2, ?3)`,
        seq,
        now,
        JSON.stringify(event),
      );
    }
  }

  eventsAfter(seq: number, after: number, max: number): SagaEvent[] {
    return this.#sql
      .exec<{ n: number; at: number; event: string }>(
        "SELECT n, at, event FROM events WHERE seq = ? AND n > ? ORDER BY n LIMIT ?",
        seq,
        after,
        max,
      )
      .toArray()
      .map(({ n, at, event }) => ({ n, at: new Date(at).toISOString(), ...JSON.parse(event) }));
  }

  list(phase: SagaPhase | null, after: number, createdBefore: number, max: number): ListedRow[] {
    const where = phase === null ? "seq > ?" : "phase = ? AND seq > ?";
    const bindings = phase === null ? [after] : [phase, after];
    return this.#sql
      .exec<{ seq: number; hex: string; key: string; state: string }>(
        `SELECT seq, hex, key, state FROM sagas WHERE ${where} AND created_at <= ? ORDER BY seq LIMIT ?`,
        ...bindings,
        createdBefore,
        max,
      )
      .toArray()
      .map((row) => ({ ...row, state: JSON.parse(row.state) }));
  }

  counts(): Map<string, number> {
    const rows = this.#sql
      .exec<{ phase: string; count: number }>("SELECT phase, COUNT(*) AS count FROM sagas GROUP BY phase")
      .toArray();
    return new Map(rows.map(({ phase, count }) => [phase, count]));
  }

  /** Instances under way. Counted once, from an index; then kept up by `moved`. */
  activeCount(): number {
    this.#active ??= this.#sql
      .exec<{ count: number }>(`SELECT COUNT(*) AS count FROM sagas WHERE phase IN (${ACTIVE})`)
      .one().count;
    return this.#active;
  }

  /** An instance is stored in another phase; null: it is new. True: it is under way no more. */
  moved(from: SagaPhase | null, to: SagaPhase): boolean {
    const was = from !== null && isActive({ phase: from });
    const is = isActive({ phase: to });
    if (this.#active !== null) this.#active += Number(is) - Number(was);
    return was && !is;
  }

  /** Instances that should have moved by now, the longest overdue first. */
  due(now: number, max: number): number[] {
    return this.#sql
      .exec<{ seq: number }>("SELECT seq FROM sagas WHERE due_at <= ? ORDER BY due_at LIMIT ?", now, max)
      .toArray()
      .map(({ seq }) => seq);
  }

  nextDue(): number | null {
    return this.#sql
      .exec<{ at: number | null }>("SELECT MIN(due_at) AS at FROM sagas WHERE due_at IS NOT NULL")
      .one().at;
  }

  /** Forgets instances that ended before; never the newest. Returns how many. */
  prune(endedBefore: number, max: number): number {
    const old = this.#sql
      .exec<{ seq: number; key: string }>(
        `SELECT seq, key FROM sagas WHERE ended_at <= ? AND seq < (SELECT MAX(seq) FROM sagas) LIMIT ?`,
        endedBefore,
        max,
      )
      .toArray();
    for (const { seq, key } of old) {
      this.#sql.exec("DELETE FROM events WHERE seq = ?", seq);
      this.#sql.exec("DELETE FROM keys WHERE key = ?", key);
      this.#sql.exec("DELETE FROM sagas WHERE seq = ?", seq);
    }
    return old.length;
  }
}
