// The name of an outbox and the ids of its jobs.
//
//   outbox   queue.<queue>.<shard>                  queue.orders.0
//   job      <32 hex>-<seq, base 36>-<queue>        0f...e1-1z-orders        (shard 0)
//            <32 hex>-<seq, base 36>-<queue>.<n>                             (another shard)
//
// The hex digits are 128 random bits: who knows the id may ask for the job. The rest finds its outbox and its
// row without an index. A queue's name may hold a dash, so it comes last.

import { isPlainName } from "../../hub/names.ts";

/** Of the random part. */
export const SECRET_BYTES = 16;
/** No id is longer: 32 hex, 11 digits, 64 characters of a name, a shard, three separators. */
export const MAX_JOB_ID_CHARS = 128;

const JOB_ID = /^([0-9a-f]{32})-([1-9a-z][0-9a-z]{0,10})-([A-Za-z][A-Za-z0-9_-]*)(?:\.([1-9][0-9]{0,2}))?$/;
const OUTBOX = /^queue\.([A-Za-z][A-Za-z0-9_-]*)\.(0|[1-9][0-9]{0,2})$/;

/** Which outbox: that of a queue, and which of its shards. */
export interface OutboxName {
  readonly queue: string;
  readonly shard: number;
}

export interface JobId extends OutboxName {
  /** 32 lower-case hex digits. */
  readonly secret: string;
  readonly seq: number;
}

/** The name under which `env.OUTBOX` has the outbox of a queue. */
export function outboxName({ queue, shard }: OutboxName): string {
  return `queue.${queue}.${shard}`;
}

/** The parts of an outbox's name, or null for a text that is none. */
export function parseOutboxName(text: string): OutboxName | null {
  const match = OUTBOX.exec(text);
  if (match === null || !isPlainName(match[1])) return null;
  return { queue: match[1], shard: Number(match[2]) };
}

export function formatJobId({ secret, seq, queue, shard }: JobId): string {
  return `${secret}-${seq.toString(36)}-${queue}${shard === 0 ? "" : `.${shard}`}`;
}

/** The parts of a job's id, or null for anything that is none; every job has exactly one spelling. */
export function parseJobId(text: unknown): JobId | null {
  if (typeof text !== "string" || text.length > MAX_JOB_ID_CHARS) return null;
  const match = JOB_ID.exec(text);
  if (match === null || !isPlainName(match[3])) return null;
  const seq = Number.parseInt(match[2], 36);
  if (!Number.isSafeInteger(seq)) return null;
  return { secret: match[1], seq, queue: match[3], shard: match[4] === undefined ? 0 : Number(match[4]) };
}

/** Compares in a time that does not depend on where two secrets differ. */
export function isSameSecret(a: string, b: string): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let index = 0; index < a.length; index++) difference |= a.charCodeAt(index) ^ b.charCodeAt(index);
  return difference === 0;
}

/** 32 lower-case hex digits of 16 random bytes. */
export function secretOf(bytes: Uint8Array): string {
  return Array.from(bytes.subarray(0, SECRET_BYTES), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
