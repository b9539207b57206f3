// The tables of an outbox and what a boot reads of them. A job's number is its rowid: reading, deleting and
// the order need no index. The only one is for idempotency keys and holds nothing for jobs without one; it
// costs a row when such a job is stored and none when it is deleted.

import type { Refusing } from "../../src/delivery/core/backpressure.ts";
import type { QueueTerms } from "../../src/delivery/core/protocol.ts";
import type { StoredOutbox, Trial } from "../../src/delivery/core/storage.ts";
import { countSequels, createSequels } from "./sequel-rows.ts";
import { TRIAL_COLUMNS, readOutboxRow, trialOf, type TrialColumns } from "./columns.ts";

// What is read often stands in front of what may be large.
const TABLES = `
  CREATE TABLE IF NOT EXISTS jobs (
    seq INTEGER PRIMARY KEY, status TEXT NOT NULL, acceptedAt INTEGER NOT NULL, expiresAt INTEGER NOT NULL,
    endedAt INTEGER, secret TEXT NOT NULL, key TEXT, reason TEXT, terms TEXT NOT NULL, origin TEXT NOT NULL,
    scope TEXT, fingerprint TEXT, resultHead TEXT, target TEXT, body BLOB, resultBody BLOB);
  CREATE UNIQUE INDEX IF NOT EXISTS jobs_by_scope ON jobs (scope) WHERE scope IS NOT NULL;
  CREATE TABLE IF NOT EXISTS trials (
    seq INTEGER PRIMARY KEY, attempts INTEGER NOT NULL, deferrals INTEGER NOT NULL, deaths INTEGER NOT NULL,
    strikes INTEGER NOT NULL, nextAt INTEGER NOT NULL, fence INTEGER NOT NULL, reason TEXT, diedAt INTEGER,
    passed INTEGER NOT NULL, log TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS leases (
    slot INTEGER PRIMARY KEY, fence INTEGER NOT NULL, until INTEGER NOT NULL, seqs TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS gates (name TEXT PRIMARY KEY, refusing TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS routes (
    name TEXT PRIMARY KEY, cursor INTEGER NOT NULL, definition TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS replays (name TEXT PRIMARY KEY, run TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS relay (
    only INTEGER PRIMARY KEY CHECK (only = 1), cursor INTEGER NOT NULL, fence INTEGER NOT NULL,
    floor INTEGER NOT NULL, rest TEXT NOT NULL);
`;

export function createTables(sql: SqlStorage): void {
  sql.exec(TABLES);
  createSequels(sql);
}

type LiveColumns = {
  seq: number;
  key: string | null;
  acceptedAt: number;
  expiresAt: number;
  terms: string;
};

/** Everything that the book is built from. */
export function readStoredOutbox(sql: SqlStorage): StoredOutbox {
  const row = readOutboxRow(sql);
  const { lastSeq } = sql.exec<{ lastSeq: number | null }>("SELECT MAX(seq) AS lastSeq FROM jobs").one();
  return {
    row,
    lastSeq: lastSeq ?? 0,
    live: readLive(sql, row?.floor ?? 0),
    trials: readTrials(sql),
    ...readDead(sql),
    claims: sql
      .exec<{ slot: number; fence: number; until: number; seqs: string }>("SELECT * FROM leases")
      .toArray()
      .map(({ seqs, ...claim }) => ({ ...claim, seqs: parseNumbers(seqs) })),
    sequels: countSequels(sql),
    gates: sql.exec<{ name: string; refusing: Refusing }>("SELECT name, refusing FROM gates").toArray(),
  };
}

function readLive(sql: SqlStorage, floor: number): StoredOutbox["live"] {
  // Thousands of jobs share a few terms.
  const known = new Map<string, QueueTerms>();
  const cursor = sql.exec<LiveColumns>(
    `SELECT seq, key, acceptedAt, expiresAt, terms FROM jobs
     WHERE seq >= ? AND status = 'live' ORDER BY seq`,
    floor,
  );
  const live = [];
  for (const { terms: text, ...columns } of cursor) {
    let terms = known.get(text);
    if (terms === undefined) known.set(text, (terms = parseTerms(text)));
    live.push({ ...columns, terms });
  }
  return live;
}

function parseTerms(text: string): QueueTerms {
  const terms: QueueTerms = JSON.parse(text);
  return terms;
}

function parseNumbers(text: string): readonly number[] {
  const numbers: readonly number[] = JSON.parse(text);
  return numbers;
}

function readTrials(sql: SqlStorage): ReadonlyMap<number, Trial> {
  const trials = new Map<number, Trial>();
  const cursor = sql.exec<TrialColumns>(
    `SELECT ${TRIAL_COLUMNS} FROM trials JOIN jobs ON jobs.seq = trials.seq WHERE status = 'live'`,
  );
  for (const columns of cursor) trials.set(columns.seq, trialOf(columns));
  return trials;
}

function readDead(sql: SqlStorage): Pick<StoredOutbox, "deadKeys" | "deadRows"> {
  const { deadRows } = sql
    .exec<{ deadRows: number }>("SELECT COUNT(*) AS deadRows FROM trials WHERE diedAt IS NOT NULL")
    .one();
  const deadKeys = sql
    .exec<{ seq: number; key: string; passed: number; terms: string }>(
      `SELECT seq, key, passed, terms FROM trials JOIN jobs USING (seq)
       WHERE diedAt IS NOT NULL AND key IS NOT NULL ORDER BY seq`,
    )
    .toArray()
    .map(({ seq, key, passed, terms }) => {
      return { seq, key, blocks: passed === 0 && parseTerms(terms).onDeadHead === "block" };
    });
  return { deadRows, deadKeys };
}
