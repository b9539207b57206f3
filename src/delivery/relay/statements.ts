// The statements of a relay. Each is one short round trip; the ones of order "key" are never inside of a
// transaction that waits for the network.

import { MAX_DATA_BYTES } from "../events/cloud-event.ts";
import type { KeyTable, PlainTable } from "./columns.ts";

/** Keys that one look considers, so that no look reads without an end. */
export const MAX_KEYS_CONSIDERED = 500;

export interface KeyStatements {
  /** $1 keys behind this one, $2 how many, $3 owner, $4 lease in ms. Gives key and fence; last a key
   *  without a fence, if there may be more behind it. */
  readonly claim: string;
  /** $1 keys, $2 rows of each at most. Gives id, key, seq, type, payload, created, attempts. */
  readonly read: string;
  /** $1 owner, $2 keys, $3 their fences, $4 keys and $5 seqs of what was published. Gives a row for each. */
  readonly mark: string;
  /** $1 owner, $2 keys, $3 their fences. Gives a row for each. */
  readonly release: string;
  /** $1 owner. Frees what it had when it died. */
  readonly forget: string;
  /** $1 owner, $2 key, $3 fence, $4 seq, $5 error, $6 pause of the key in ms. A publication that failed. */
  readonly fail: string;
  /** $1 owner, $2 key, $3 fence, $4 seq, $5 error. The row is given up. */
  readonly bury: string;
  /** Gives the number of rows that wait and the age of the oldest in ms. */
  readonly lag: string;
}

/** Gives 1 as `canBury` where a table has a column for rows that are given up, else 0. */
export function canBuryStatement({ table, columns: { deadAt } }: KeyTable): string {
  const column = deadAt.replaceAll('"', "");
  return `SELECT COUNT(*)::int AS "canBury" FROM pg_attribute
          WHERE attrelid = to_regclass('${table}') AND attname = '${column}' AND NOT attisdropped`;
}

/** `canBury`: whether the table has a column for rows that are given up. */
export function keyStatements({ table, leaseTable, columns }: KeyTable, canBury: boolean): KeyStatements {
  const { id, key, seq, type, payload, createdAt, publishedAt, attempts, lastError, deadAt } = columns;
  const waits = `o.${publishedAt} IS NULL${canBury ? ` AND o.${deadAt} IS NULL` : ""}`;
  const nextKey = (behind: string): string =>
    `SELECT o.${key} AS key FROM ${table} o
     WHERE ${waits} AND o.${key} > ${behind} ORDER BY o.${key} LIMIT 1`;
  const held = (at: string): string => `
    SELECT l.key FROM ${leaseTable} l WHERE l.owner = $1 AND ${at} FOR UPDATE`;
  const heldOne = held("l.key = $2 AND l.fence = $3::bigint");
  const heldAll = held("(l.key, l.fence) IN (SELECT * FROM unnest($2::text[], $3::bigint[]))");
  return {
    // Jumps from key to key over the index of what waits; claims in the order of keys, so two relays that
    // claim at once never wait for each other in a circle. The transaction's number is the fence: no other
    // claim ever has it.
    claim: `
      WITH RECURSIVE waiting AS (
        (${nextKey("$1::text")})
        UNION ALL
        SELECT (${nextKey("w.key")}) FROM waiting w WHERE w.key IS NOT NULL
      ), considered AS (
        SELECT key FROM waiting WHERE key IS NOT NULL LIMIT ${MAX_KEYS_CONSIDERED}
      ), free AS (
        SELECT c.key FROM considered c
        WHERE NOT EXISTS (SELECT FROM ${leaseTable} l WHERE l.key = c.key AND l.until > clock_timestamp())
        ORDER BY c.key LIMIT $2
      ), claimed AS (
        INSERT INTO ${leaseTable} AS l (key, owner, until, fence)
        SELECT key, $3, clock_timestamp() + $4 * interval '1 ms', txid_current()
        FROM free ORDER BY key
        ON CONFLICT (key) DO UPDATE
          SET owner = excluded.owner, until = excluded.until, fence = excluded.fence
          WHERE l.until <= clock_timestamp()
        RETURNING key, fence::text AS fence
      )
      SELECT key, fence FROM claimed
      UNION ALL
      (SELECT MAX(key), NULL FROM considered HAVING COUNT(*) = ${MAX_KEYS_CONSIDERED})`,
    read: `
      SELECT o.${id}::text AS id, o.${key} AS key, o.${seq}::text AS seq, o.${type} AS type,
             ${payloadOf(payload)}, o.${attempts} AS attempts,
             to_char(o.${createdAt} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "createdAt"
      FROM unnest($1::text[]) AS k(key)
      CROSS JOIN LATERAL (
        SELECT * FROM ${table} o WHERE o.${key} = k.key AND ${waits} ORDER BY o.${seq} LIMIT $2
      ) AS o
      ORDER BY o.${key}, o.${seq}`,
    mark: `
      WITH held AS (${heldAll})
      UPDATE ${table} o SET ${publishedAt} = clock_timestamp(), ${lastError} = NULL
      FROM held, unnest($4::text[], $5::bigint[]) AS done(key, seq)
      WHERE o.${key} = held.key AND done.key = held.key AND o.${seq} = done.seq AND ${waits}
      RETURNING 1`,
    release: `
      DELETE FROM ${leaseTable} l WHERE l.owner = $1
        AND (l.key, l.fence) IN (SELECT * FROM unnest($2::text[], $3::bigint[])) RETURNING 1`,
    forget: `DELETE FROM ${leaseTable} l WHERE l.owner = $1`,
    fail: `
      WITH held AS (${heldOne}), paused AS (
        UPDATE ${leaseTable} l SET until = clock_timestamp() + $6 * interval '1 ms', owner = ''
        FROM held WHERE l.key = held.key
      )
      UPDATE ${table} o SET ${attempts} = o.${attempts} + 1, ${lastError} = $5
      FROM held WHERE o.${key} = held.key AND o.${seq} = $4::bigint AND ${waits} RETURNING 1`,
    bury: `
      WITH held AS (${heldOne})
      UPDATE ${table} o SET ${deadAt} = clock_timestamp(), ${lastError} = $5
      FROM held WHERE o.${key} = held.key AND o.${seq} = $4::bigint AND ${waits} RETURNING 1`,
    lag: lagOf(table, waits, createdAt),
  };
}

export interface PlainStatements {
  readonly begin: string;
  /** $1 ids that are left out, $2 how many. Gives id, type, payload, key, created; locks the rows. */
  readonly read: string;
  /** $1 ids. Gives a row for each. */
  readonly mark: string;
  readonly commit: string;
  readonly rollback: string;
  readonly lag: string;
}

/** A transaction that is left open ends by itself, and its rows are free again. */
export const MAX_OPEN_TRANSACTION_MS = 30_000;

export function plainStatements({ table, columns }: PlainTable): PlainStatements {
  const { id, type, payload, status, publishedAt, key, createdAt } = columns;
  const created =
    createdAt === undefined
      ? "NULL"
      : `to_char(o.${createdAt} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
  return {
    begin: "BEGIN",
    read: `
      WITH bounded AS (
        SELECT set_config('idle_in_transaction_session_timeout', '${MAX_OPEN_TRANSACTION_MS}', true)
      )
      SELECT o.${id}::text AS id, o.${type} AS type, ${payloadOf(payload)},
             ${key === undefined ? "NULL" : `o.${key}::text`} AS key, ${created} AS "createdAt"
      FROM ${table} o, bounded
      WHERE o.${status} = 'PENDING' AND o.${id}::text <> ALL($1::text[])
      LIMIT $2 FOR UPDATE OF o SKIP LOCKED`,
    mark: `
      UPDATE ${table} o SET ${status} = 'PUBLISHED', ${publishedAt} = clock_timestamp()
      WHERE o.${id}::text = ANY($1::text[]) AND o.${status} = 'PENDING' RETURNING 1`,
    commit: "COMMIT",
    rollback: "ROLLBACK",
    lag: lagOf(table, `o.${status} = 'PENDING'`, createdAt),
  };
}

/** What is no event for its size stays where it is: a hundred of them would fill a relay's memory. */
function payloadOf(payload: string): string {
  const text = `o.${payload}::text`;
  return `CASE WHEN octet_length(${text}) <= ${MAX_DATA_BYTES} THEN ${text} END AS payload,
             COALESCE(octet_length(${text}), 0)::int AS bytes`;
}

function lagOf(table: string, waits: string, createdAt: string | undefined): string {
  const age =
    createdAt === undefined ? "0" : `EXTRACT(EPOCH FROM clock_timestamp() - MIN(o.${createdAt})) * 1000`;
  return `SELECT COUNT(*)::int AS lag, COALESCE(${age}, 0)::bigint::text AS "oldestAgeMs"
          FROM ${table} o WHERE ${waits}`;
}
