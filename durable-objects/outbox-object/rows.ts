// The tables that an OutboxObject keeps beside its user's own, and every statement on them.
//
// Rows written: an event 1, a batch that was published 1, a claim 1, an event that is deleted 1. No
// secondary index, no AUTOINCREMENT (it would double an event's price): a number never comes back because
// the newest row is never deleted, and because numbers begin behind the cursor.

import { lastCollectable, NEW_RELAY, type RelayState } from "../../src/delivery/relay/cursor.ts";

const TABLES = `
  CREATE TABLE IF NOT EXISTS tidegate_outbox (
    seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, event TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS tidegate_dead (
    seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, error TEXT NOT NULL, event TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS tidegate_relay (
    name TEXT PRIMARY KEY, cursor INTEGER NOT NULL, fence INTEGER NOT NULL, leaseUntil INTEGER NOT NULL,
    failures INTEGER NOT NULL, notBefore INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS tidegate_alarm (name TEXT PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;
`;

export type OutboxEventRow = { seq: number; at: number; event: string };

export type DeadEventRow = {
  seq: number;
  /** When it was given up, ms since the epoch. */
  at: number;
  error: string;
  /** The event's JSON text, in structured mode. */
  event: string;
};

export class OutboxRows {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(TABLES);
  }

  nextSeq(): number {
    const { seq } = this.#sql
      .exec<{ seq: number }>(
        `SELECT MAX(COALESCE((SELECT MAX(seq) FROM tidegate_outbox), 0),
                    COALESCE((SELECT cursor FROM tidegate_relay WHERE name = 'relay'), 0)) + 1 AS seq`,
      )
      .one();
    return seq;
  }

  insert(row: OutboxEventRow): void {
    const { seq, at, event } = row;
    this.#sql.exec("INSERT INTO tidegate_outbox (seq, at, event) VALUES (?, ?, ?)", seq, at, event);
  }

  after(cursor: number, max: number): OutboxEventRow[] {
    return this.#sql
      .exec<OutboxEventRow>(
        "SELECT seq, at, event FROM tidegate_outbox WHERE seq > ? ORDER BY seq LIMIT ?",
        cursor,
        max,
      )
      .toArray();
  }

  /** The oldest row of all; null: there is none. */
  oldestAt(): number | null {
    const [row] = this.#sql
      .exec<{ at: number }>("SELECT at FROM tidegate_outbox ORDER BY seq LIMIT 1")
      .toArray();
    return row?.at ?? null;
  }

  countAfter(cursor: number): number {
    return this.#sql
      .exec<{ count: number }>("SELECT COUNT(*) AS count FROM tidegate_outbox WHERE seq > ?", cursor)
      .one().count;
  }

  relay(): RelayState {
    const [row] = this.#sql
      .exec<RelayState & Record<string, number>>(
        "SELECT cursor, fence, leaseUntil, failures, notBefore FROM tidegate_relay WHERE name = 'relay'",
      )
      .toArray();
    return row ?? NEW_RELAY;
  }

  saveRelay({ cursor, fence, leaseUntil, failures, notBefore }: RelayState): void {
    this.#sql.exec(
      `INSERT INTO tidegate_relay (name, cursor, fence, leaseUntil, failures, notBefore)
       VALUES ('relay', ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET cursor = excluded.cursor, fence = excluded.fence,
         leaseUntil = excluded.leaseUntil, failures = excluded.failures, notBefore = excluded.notBefore`,
      cursor,
      fence,
      leaseUntil,
      failures,
      notBefore,
    );
  }

  /** The alarm that the user's own code has set; null: none. */
  ownAlarm(): number | null {
    const [row] = this.#sql
      .exec<{ at: number }>("SELECT at FROM tidegate_alarm WHERE name = 'own'")
      .toArray();
    return row?.at ?? null;
  }

  saveOwnAlarm(at: number | null): void {
    if (at === null) this.#sql.exec("DELETE FROM tidegate_alarm WHERE name = 'own'");
    else this.#sql.exec("INSERT OR REPLACE INTO tidegate_alarm (name, at) VALUES ('own', ?)", at);
  }

  bury({ seq, event }: OutboxEventRow, error: string, now: number): void {
    this.#sql.exec(
      "INSERT OR REPLACE INTO tidegate_dead (seq, at, error, event) VALUES (?, ?, ?, ?)",
      seq,
      now,
      error,
      event,
    );
  }

  dead(after: number, max: number): DeadEventRow[] {
    return this.#sql
      .exec<DeadEventRow>(
        "SELECT seq, at, error, event FROM tidegate_dead WHERE seq > ? ORDER BY seq LIMIT ?",
        after,
        max,
      )
      .toArray();
  }

  dropDead(seq: number): void {
    this.#sql.exec("DELETE FROM tidegate_dead WHERE seq = ?", seq);
  }

  /** Deletes published rows that were emitted until `until`, at most `max`; says how many. */
  collect(cursor: number, until: number, max: number): number {
    const { newest } = this.#sql
      .exec<{ newest: number | null }>("SELECT MAX(seq) AS newest FROM tidegate_outbox")
      .one();
    const last = lastCollectable(cursor, newest ?? 0);
    const { upTo, count } = this.#sql
      .exec<{ upTo: number | null; count: number }>(
        `SELECT MAX(seq) AS upTo, COUNT(*) AS count FROM
           (SELECT seq FROM tidegate_outbox WHERE seq <= ? AND at <= ? ORDER BY seq LIMIT ?)`,
        last,
        until,
        max,
      )
      .one();
    if (upTo === null) return 0;
    this.#sql.exec("DELETE FROM tidegate_outbox WHERE seq <= ? AND at <= ?", upTo, until);
    return count;
  }
}
