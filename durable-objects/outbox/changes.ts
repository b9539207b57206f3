// Writes what the core has decided. The caller holds the transaction.

import { outboxName, formatJobId, type OutboxName } from "../../src/delivery/core/job-id.ts";
import type { Pointer } from "../../src/delivery/core/protocol.ts";
import type { NewJob, OutboxReads, OutboxRow, Write } from "../../src/delivery/core/storage.ts";
import { deleteSequels, insertSequel } from "./sequel-rows.ts";
import { BODY_REF, originOf, splitResult, splitTarget } from "./columns.ts";

export function applyWrite(sql: SqlStorage, write: Write): void {
  switch (write.kind) {
    case "insert":
      return insertJob(sql, write.job);
    case "end":
      return endJob(sql, write);
    case "revive":
      sql.exec(
        `UPDATE jobs SET status = 'live', endedAt = NULL, reason = NULL, resultHead = NULL,
         resultBody = NULL, expiresAt = ? WHERE seq = ?`,
        write.expiresAt,
        write.seq,
      );
      return;
    case "free-key":
      sql.exec("UPDATE jobs SET scope = NULL WHERE seq = ?", write.seq);
      return;
    case "trial":
      return putTrial(sql, write);
    case "claim":
      sql.exec(
        `INSERT INTO leases VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET
         fence = excluded.fence, until = excluded.until, seqs = excluded.seqs`,
        write.slot,
        write.fence,
        write.until,
        JSON.stringify(write.seqs),
      );
      return;
    case "renew-claim":
      sql.exec("UPDATE leases SET until = ? WHERE slot = ?", write.until, write.slot);
      return;
    case "gate":
      if (write.refusing === "nothing") sql.exec("DELETE FROM gates WHERE name = ?", write.name);
      else sql.exec("INSERT OR REPLACE INTO gates VALUES (?, ?)", write.name, write.refusing);
      return;
    case "outbox":
      return putRow(sql, write.row);
    case "route":
      if (write.definition === null) {
        sql.exec("UPDATE routes SET cursor = ? WHERE name = ?", write.cursor, write.name);
      } else {
        const definition = JSON.stringify(write.definition);
        sql.exec("INSERT OR REPLACE INTO routes VALUES (?, ?, ?)", write.name, write.cursor, definition);
      }
      return;
    case "sequel":
      return insertSequel(sql, write.sequel);
    case "end-sequels":
      return deleteSequels(sql, write.seqs);
    case "event-replay":
      if (write.run === null) sql.exec("DELETE FROM replays WHERE name = ?", write.name);
      else sql.exec("INSERT OR REPLACE INTO replays VALUES (?, ?)", write.name, JSON.stringify(write.run));
      return;
    case "delete": {
      const seqs = JSON.stringify(write.seqs);
      sql.exec("DELETE FROM jobs WHERE seq IN (SELECT value FROM json_each(?))", seqs);
      sql.exec("DELETE FROM trials WHERE seq IN (SELECT value FROM json_each(?))", seqs);
    }
  }
}

const DROPPED = `, target = iif(${BODY_REF} IS NULL, NULL, target), body = NULL`;

function insertJob(sql: SqlStorage, job: NewJob): void {
  const { head, bytes } = splitTarget(job.target);
  sql.exec(
    `INSERT INTO jobs (seq, status, acceptedAt, expiresAt, secret, key, terms, origin, scope, fingerprint,
       target, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    job.seq,
    job.status,
    job.acceptedAt,
    job.expiresAt,
    job.secret,
    job.key,
    JSON.stringify(job.terms),
    originOf(job),
    job.scope,
    job.fingerprint,
    head,
    bytes,
  );
}

// What succeeded is not needed again, so its request makes room for the answer; but a body in the bucket has
// to be found there when the row goes.
function endJob(sql: SqlStorage, write: Extract<Write, { kind: "end" }>): void {
  const { seq, status, endedAt, reason, result } = write;
  const { head, bytes } = result === null ? { head: null, bytes: null } : splitResult(result);
  const dropped = status === "succeeded" && write.keepsTarget !== true ? DROPPED : "";
  sql.exec(
    `UPDATE jobs SET status = ?, endedAt = ?, reason = ?, resultHead = ?, resultBody = ? ${dropped}
     WHERE seq = ?`,
    status,
    endedAt,
    reason,
    head,
    bytes,
    seq,
  );
}

function putTrial(sql: SqlStorage, { seq, trial, log }: Extract<Write, { kind: "trial" }>): void {
  sql.exec(
    `INSERT OR REPLACE INTO trials (seq, attempts, deferrals, deaths, strikes, nextAt, fence, reason,
       diedAt, passed, log) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    seq,
    trial.attempts,
    trial.deferrals,
    trial.deaths,
    trial.strikes,
    trial.nextAt,
    trial.fence,
    trial.reason,
    trial.diedAt,
    trial.passed ? 1 : 0,
    JSON.stringify(log),
  );
}

/** A relay that was overtaken moves nothing. */
function putRow(sql: SqlStorage, { cursor, fence, floor, ...rest }: OutboxRow): void {
  sql.exec(
    `INSERT INTO relay (only, cursor, fence, floor, rest) VALUES (1, ?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET cursor = excluded.cursor, fence = excluded.fence, floor = excluded.floor,
       rest = excluded.rest WHERE relay.fence <= excluded.fence`,
    cursor,
    fence,
    floor,
    JSON.stringify(rest),
  );
}

/** The pointers to jobs, in their order; a job whose row is gone has none. */
export function pointersTo(reads: OutboxReads, outbox: OutboxName, seqs: readonly number[]): Pointer[] {
  return seqs.flatMap((seq) => {
    const job = reads.job(seq);
    if (job === null) return [];
    const id = formatJobId({ ...outbox, secret: job.secret, seq });
    return [{ v: 1 as const, outbox: outboxName(outbox), id, region: job.region }];
  });
}
