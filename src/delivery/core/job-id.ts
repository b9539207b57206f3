// The name of an outbox and the ids of its jobs.
//
//   outbox   queue.<queue>.<shard>                            queue.orders.0
//            subscription.<subscription>.<shard>              subscription.billing.0
//            events.0                                         every published event
//   job      <32 hex>-<seq, base 36>-<queue>                  0f...e1-1z-orders        (shard 0)
//            <32 hex>-<seq, base 36>-<queue>.<n>              (another shard)
//            <32 hex>-<seq, base 36>-subscription.<name>      and so with its shards
//            <32 hex>-<seq, base 36>-events.0
//
// The hex digits are 128 random bits: who knows the id may ask for the job. The rest finds its outbox and its
// row without an index. A queue's name may hold a dash, so it comes last.

import { isPlainName } from "../../hub/names.ts";

/** Of the random part. */
export const SECRET_BYTES = 16;
/** No id is longer: 32 hex, 11 digits, 64 characters of a name, a shard, three separators. */
export const MAX_JOB_ID_CHARS = 128;

const JOB_ID =
  /^([0-9a-f]{32})-([1-9a-z][0-9a-z]{0,10})-(?:events\.0|(subscription\.)?([A-Za-z][A-Za-z0-9_-]*)(?:\.([1-9][0-9]{0,2}))?)$/;
const OUTBOX = /^(queue|subscription)\.([A-Za-z][A-Za-z0-9_-]*)\.(0|[1-9][0-9]{0,2})$/;

/** `queue` and `subscription`: of the configuration; `events`: the one of all events. */
export type OutboxKind = "queue" | "subscription" | "events";

/** Which outbox: that of a queue or of a subscription, and which of its shards; or that of the events. */
export interface OutboxName {
  readonly kind: OutboxKind;
  /** The queue's or the subscription's; "events" for the events. */
  readonly queue: string;
  readonly shard: number;
}

export const EVENTS_OUTBOX: OutboxName = { kind: "events", queue: "events", shard: 0 };

export interface JobId extends OutboxName {
  /** 32 lower-case hex digits. */
  readonly secret: string;
  readonly seq: number;
}

/** The name under which `env.OUTBOX` has an outbox. */
export function outboxName({ kind, queue, shard }: OutboxName): string {
  return kind === "events" ? "events.0" : `${kind}.${queue}.${shard}`;
}

/** The parts of an outbox's name, or null for a text that is none. */
export function parseOutboxName(text: string): OutboxName | null {
  if (text === outboxName(EVENTS_OUTBOX)) return EVENTS_OUTBOX;
  const match = OUTBOX.exec(text);
  if (match === null || !isPlainName(match[2])) return null;
  const kind = match[1] === "queue" ? "queue" : "subscription";
  return { kind, queue: match[2], shard: Number(match[3]) };
}

export function formatJobId({ secret, seq, kind, queue, shard }: JobId): string {
  const head = `${secret}-${seq.toString(36)}`;
  if (kind === "events") return `${head}-events.0`;
  return `${head}-${kind === "queue" ? "" : "subscription."}${queue}${shard === 0 ? "" : `.${shard}`}`;
}

/** The parts of a job's id, or null for anything that is none; every job has exactly one spelling. */
export function parseJobId(text: unknown): JobId | null {
  if (typeof text !== "string" || text.length > MAX_JOB_ID_CHARS) return null;
  const match = JOB_ID.exec(text);
  if (match === null) return null;
  const [, secret, digits, prefix, queue, shard] = match;
  const seq = Number.parseInt(digits, 36);
  if (!Number.isSafeInteger(seq)) return null;
  if (text.endsWith("-events.0")) return { ...EVENTS_OUTBOX, secret, seq };
  if (!isPlainName(queue)) return null;
  const kind = prefix === undefined ? "queue" : "subscription";
  return { secret, seq, kind, queue, shard: shard === undefined ? 0 : Number(shard) };
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
