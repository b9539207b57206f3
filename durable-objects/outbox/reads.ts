// What the core looks up while it decides, by number or by idempotency key.

import type { AttemptRecord } from "../../src/delivery/core/protocol.ts";
import type { IdempotencyRecord, OldRow, OutboxReads } from "../../src/delivery/core/storage.ts";
import { BODY_REF, JOB_COLUMNS, TRIAL_COLUMNS, jobOf, joinResult, joinTarget, trialOf } from "./columns.ts";
import type { JobColumns, TrialColumns } from "./columns.ts";

type TargetColumns = { target: string | null; body: ArrayBuffer | null };
type ResultColumns = { resultHead: string | null; resultBody: ArrayBuffer | null };
type DeadColumns = JobColumns & Omit<TrialColumns, "seq" | "reason"> & { trialReason: string | null };

export function outboxReads(sql: SqlStorage): OutboxReads {
  return {
    job(seq) {
      const [row] = sql.exec<JobColumns>(`SELECT ${JOB_COLUMNS} FROM jobs WHERE seq = ?`, seq).toArray();
      return row === undefined ? null : jobOf(row);
    },
    trial(seq) {
      const [row] = sql
        .exec<TrialColumns>(`SELECT ${TRIAL_COLUMNS} FROM trials WHERE seq = ?`, seq)
        .toArray();
      return row === undefined ? null : trialOf(row);
    },
    log(seq) {
      const [row] = sql.exec<{ log: string }>("SELECT log FROM trials WHERE seq = ?", seq).toArray();
      const log: readonly AttemptRecord[] = row === undefined ? [] : JSON.parse(row.log);
      return log;
    },
    target(seq) {
      const [row] = sql.exec<TargetColumns>("SELECT target, body FROM jobs WHERE seq = ?", seq).toArray();
      return row === undefined || row.target === null ? null : joinTarget(row.target, row.body);
    },
    result(seq) {
      const [row] = sql
        .exec<ResultColumns>("SELECT resultHead, resultBody FROM jobs WHERE seq = ?", seq)
        .toArray();
      return row === undefined || row.resultHead === null ? null : joinResult(row.resultHead, row.resultBody);
    },
    idempotent(scope) {
      const [row] = sql
        .exec<IdempotencyRecord & Record<string, SqlStorageValue>>(
          "SELECT seq, fingerprint, acceptedAt FROM jobs WHERE scope = ? AND scope IS NOT NULL",
          scope,
        )
        .toArray();
      return row ?? null;
    },
    dead: (after, max) => readDead(sql, after, max),
    countDead: (since, until) =>
      sql
        .exec<{ count: number }>(
          "SELECT COUNT(*) AS count FROM trials WHERE diedAt BETWEEN ? AND ?",
          since,
          until,
        )
        .one().count,
    jobsAfter: (after, max) =>
      sql
        .exec<OldRow>(
          `SELECT seq, status, endedAt, acceptedAt, ${BODY_REF} AS ref FROM jobs
           WHERE seq > ? ORDER BY seq LIMIT ?`,
          after,
          max,
        )
        .toArray(),
  };
}

function readDead(sql: SqlStorage, after: number, max: number): ReturnType<OutboxReads["dead"]> {
  return sql
    .exec<DeadColumns>(
      `SELECT ${JOB_COLUMNS}, attempts, deferrals, deaths, strikes, nextAt, fence, diedAt, passed,
         trials.reason AS trialReason
       FROM trials JOIN jobs ON jobs.seq = trials.seq
       WHERE trials.seq > ? AND diedAt IS NOT NULL ORDER BY trials.seq LIMIT ?`,
      after,
      max,
    )
    .toArray()
    .map((row) => {
      const { seq, status, acceptedAt, expiresAt, endedAt, secret, key, reason, terms, origin } = row;
      const { hasResult } = row;
      const job = { seq, status, acceptedAt, expiresAt, endedAt, secret, key, reason, terms, origin };
      return { job: jobOf({ ...job, hasResult }), trial: trialOf({ ...row, reason: row.trialReason }) };
    });
}
