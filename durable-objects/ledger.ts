// One key of one limit, counted exactly: everybody who asks for this key asks this object, one after the
// other. It holds what was taken (an append-only ledger, also for audits) and, for `capped` limits, the
// rights that were made. The rules stand in src/hub/ledger-*.ts; here is the storage.
//
// Every answer leaves after its rows are durable (the output gate holds it back). Rows written cost money:
//   consume   2: the entry by seq, and its id in the index; refused, replayed or in conflict: none
//   giveBack  1
//   mint      1 (a table without rowid is its own index); a repeated seq: none
//   pruning   2 for each entry, once, after its retention
// An entry's rowid is its seq, so that the window, audits and pruning read a range and need no index.

import { DurableObject } from "cloudflare:workers";
import { decideMint, oldestKept, type MintState } from "../src/hub/ledger-mint.ts";
import {
  MAX_LEDGER_WINDOW_MS,
  checkConsume,
  checkEntries,
  checkMint,
  invalid,
  isLedgerId,
  type ConsumeOutcome,
  type ConsumeRequest,
  type EntriesRequest,
  type GiveBackOutcome,
  type Invalid,
  type MintOutcome,
  type MintRequest,
} from "../src/hub/ledger-requests.ts";
import {
  advanceWindow,
  decideConsume,
  returnToWindow,
  type LedgerEntry,
  type LedgerRecord,
  type LedgerRows,
  type LedgerWindow,
} from "../src/hub/ledger-window.ts";

/** Entries are kept for two windows, and at least so long for audits and for repeated ids. */
export const MIN_RETENTION_MS = 31 * 24 * 3600 * 1000;
/** Entries deleted in one run of the alarm. */
export const PRUNE_BATCH_ROWS = 2000;
/** Until the next run while a batch was full. */
export const PRUNE_AGAIN_MS = 1000;
/** Between runs otherwise: an alarm is a billed request and a row written. */
export const PRUNE_PAUSE_MS = 3600 * 1000;

const LONGEST_WINDOW_KEY = "longest-window-ms";

const TABLES = `
  CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, id TEXT NOT NULL, amount INTEGER NOT NULL,
    state TEXT NOT NULL, used INTEGER NOT NULL, remaining INTEGER NOT NULL, resetMs INTEGER NOT NULL);
  CREATE INDEX IF NOT EXISTS entries_by_id ON entries (id);
  CREATE TABLE IF NOT EXISTS mints (
    period INTEGER NOT NULL, slot TEXT NOT NULL, total INTEGER NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (period, slot)) WITHOUT ROWID;
`;

export interface LedgerPage {
  readonly kind: "entries";
  readonly entries: readonly LedgerEntry[];
  /** True: there are more after the last one. */
  readonly more: boolean;
}

export type EntriesOutcome = LedgerPage | Invalid;

export class Ledger extends DurableObject {
  readonly #storage: DurableObjectStorage;
  readonly #rows: LedgerRows;
  /** Null until somebody takes, and after anything that went wrong: the rows are the truth. */
  #window: LedgerWindow | null = null;
  #longestWindowMs: number;
  #armed = false;

  constructor(state: DurableObjectState, env: Cloudflare.Env) {
    super(state, env);
    this.#storage = state.storage;
    this.#storage.sql.exec(TABLES);
    this.#rows = ledgerRows(this.#storage.sql);
    this.#longestWindowMs = this.#storage.kv.get<number>(LONGEST_WINDOW_KEY) ?? 0;
  }

  /** Takes `amount` units if the window has them; see `ConsumeOutcome`. */
  async consume(input: ConsumeRequest): Promise<ConsumeOutcome> {
    const checked = checkConsume(input);
    if (checked.kind === "invalid") return checked;
    const { outcome, record } = this.#transaction(() => this.#take(checked.request, Date.now()));
    if (record !== null && !this.#armed) await this.#arm(record.at + this.#retentionMs());
    return outcome;
  }

  /** Frees what this id took: its request was refused for another reason. Repeating it is harmless. */
  giveBack(id: string): GiveBackOutcome {
    if (!isLedgerId(id)) return invalid("id");
    return this.#transaction(() => {
      const record = this.#rows.recordOf(id);
      if (record === null) return { kind: "unknown" };
      if (record.state === "taken") {
        this.#storage.sql.exec("UPDATE entries SET state = 'returned' WHERE seq = ?", record.seq);
        if (this.#window !== null) returnToWindow(this.#window, record);
      }
      return { kind: "returned" };
    });
  }

  /** Makes rights for a slot, never more over all slots of a period than the cap. */
  mint(input: MintRequest): MintOutcome {
    const checked = checkMint(input);
    if (checked.kind === "invalid") return checked;
    const { request } = checked;
    return this.#transaction(() => {
      const { sql } = this.#storage;
      const state = mintState(sql, request);
      const { outcome, write } = decideMint(state, request);
      if (write === null) return outcome;
      const { period, slot } = request;
      sql.exec(
        `INSERT INTO mints (period, slot, total, seq) VALUES (?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET total = excluded.total, seq = excluded.seq`,
        period,
        slot,
        write.total,
        write.seq,
      );
      if (state.newest !== null && period > state.newest) {
        sql.exec("DELETE FROM mints WHERE period < ?", oldestKept(period));
      }
      return outcome;
    });
  }

  /** The ledger, oldest first, for an audit. */
  entries(input: EntriesRequest): EntriesOutcome {
    const checked = checkEntries(input);
    if (checked.kind === "invalid") return checked;
    const { after, max } = checked.request;
    const found = this.#rows.page(after + 1, max + 1);
    return { kind: "entries", entries: found.slice(0, max), more: found.length > max };
  }

  /** Deletes old entries. It never throws: the platform gives an alarm up after some failures. */
  override async alarm(): Promise<void> {
    const now = Date.now();
    try {
      const next = this.#transaction(() => this.#prune(now));
      this.#armed = next !== null;
      if (next !== null) await this.#storage.setAlarm(next);
    } catch (error) {
      console.error("ledger: old entries could not be deleted", error);
      await this.#storage.setAlarm(now + PRUNE_PAUSE_MS).catch(() => {
        this.#armed = false;
      });
    }
  }

  #take(request: ConsumeRequest, now: number) {
    this.#window = advanceWindow(this.#window, this.#rows, request.windowMs, now);
    const decision = decideConsume(this.#window, this.#rows, request, now);
    if (decision.record !== null) {
      this.#keepFor(request.windowMs);
      insertRecord(this.#storage.sql, decision.record);
    }
    return decision;
  }

  /** Versions with different windows may ask in turns: the longest decides what is kept. */
  #keepFor(windowMs: number): void {
    if (windowMs <= this.#longestWindowMs) return;
    this.#storage.kv.put(LONGEST_WINDOW_KEY, windowMs);
    this.#longestWindowMs = windowMs;
  }

  #retentionMs(): number {
    return Math.max(2 * Math.min(this.#longestWindowMs, MAX_LEDGER_WINDOW_MS), MIN_RETENTION_MS);
  }

  /** Once in a life of this object: reading the alarm costs no row, so a lost one comes back. */
  async #arm(at: number): Promise<void> {
    this.#armed = true;
    if ((await this.#storage.getAlarm()) === null) await this.#storage.setAlarm(at);
  }

  /** When to prune again; null: nothing is left. */
  #prune(now: number): number | null {
    const { sql } = this.#storage;
    const [{ seq: last, count }] = sql
      .exec<{ seq: number | null; count: number }>(
        `SELECT MAX(seq) AS seq, COUNT(*) AS count FROM
           (SELECT seq, at FROM entries ORDER BY seq LIMIT ?) WHERE at <= ?`,
        PRUNE_BATCH_ROWS,
        now - this.#retentionMs(),
      )
      .toArray();
    if (last !== null) {
      sql.exec("DELETE FROM entries WHERE seq <= ?", last);
      this.#window = null;
    }
    const oldest = this.#rows.oldest();
    if (oldest === null) return null;
    if (count === PRUNE_BATCH_ROWS) return now + PRUNE_AGAIN_MS;
    return Math.max(oldest.at + this.#retentionMs(), now + PRUNE_PAUSE_MS);
  }

  #transaction<Result>(work: () => Result): Result {
    try {
      return this.#storage.transactionSync(work);
    } catch (error) {
      this.#window = null;
      throw error;
    }
  }
}

// --- SQL

const ENTRY = "seq, at, id, amount, state";

type EntryRow = { seq: number; at: number; id: string; amount: number; state: "taken" | "returned" };
type RecordRow = EntryRow & { used: number; remaining: number; resetMs: number };

function ledgerRows(sql: SqlStorage): LedgerRows {
  const first = (query: string, ...bindings: SqlStorageValue[]): LedgerEntry | null =>
    sql.exec<EntryRow>(query, ...bindings).toArray()[0] ?? null;
  return {
    oldest: () => first(`SELECT ${ENTRY} FROM entries ORDER BY seq LIMIT 1`),
    newest: () => first(`SELECT ${ENTRY} FROM entries ORDER BY seq DESC LIMIT 1`),
    row: (seq) => first(`SELECT ${ENTRY} FROM entries WHERE seq = ?`, seq),
    page: (seq, count) =>
      sql
        .exec<EntryRow>(`SELECT ${ENTRY} FROM entries WHERE seq >= ? ORDER BY seq LIMIT ?`, seq, count)
        .toArray(),
    takenSince: (seq) =>
      sql
        .exec<{ taken: number }>(
          "SELECT COALESCE(SUM(amount), 0) AS taken FROM entries WHERE seq >= ? AND state = 'taken'",
          seq,
        )
        .one().taken,
    recordOf: (id) =>
      sql
        .exec<RecordRow>(
          `SELECT ${ENTRY}, used, remaining, resetMs FROM entries WHERE id = ? ORDER BY seq DESC LIMIT 1`,
          id,
        )
        .toArray()[0] ?? null,
  };
}

function insertRecord(sql: SqlStorage, record: LedgerRecord): void {
  const { seq, at, id, amount, state, used, remaining, resetMs } = record;
  sql.exec(
    `INSERT INTO entries (${ENTRY}, used, remaining, resetMs) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    seq,
    at,
    id,
    amount,
    state,
    used,
    remaining,
    resetMs,
  );
}

function mintState(sql: SqlStorage, { period, slot }: MintRequest): MintState {
  const { newest } = sql.exec<{ newest: number | null }>("SELECT MAX(period) AS newest FROM mints").one();
  const { minted, slots } = sql
    .exec<{ minted: number; slots: number }>(
      "SELECT COALESCE(SUM(total), 0) AS minted, COUNT(*) AS slots FROM mints WHERE period = ?",
      period,
    )
    .one();
  const own = sql
    .exec<{ total: number; seq: number }>(
      "SELECT total, seq FROM mints WHERE period = ? AND slot = ?",
      period,
      slot,
    )
    .toArray();
  return { newest, minted, slots, own: own[0] ?? null };
}
