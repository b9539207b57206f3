// What clients and operators ask an outbox about its jobs, its dead rows and itself. Moments are ms since the
// epoch by the outbox's clock. Everybody imports it through protocol.ts.

import type { EndpointState, Pending, WaitingSequels } from "./event-protocol.ts";
import type { JobResult, Malformed, Unknown } from "./job-content.ts";

/** Dead rows of one page, and ids of one replay. */
export const MAX_PAGE_ROWS = 100;
/** How long `result` may wait for a job to end. */
export const MAX_RESULT_WAIT_MS = 10_000;

// --- one job, for clients and operators

export type JobStatus =
  | "queued"
  | "running"
  | "deferred"
  | "succeeded"
  | "failed"
  | "dead"
  | "cancelled"
  | "expired";

export interface JobView {
  readonly id: string;
  readonly status: JobStatus;
  /** Tries that have been made, of this round if it was replayed. */
  readonly attempts: number;
  /** Null unless it waits for one. */
  readonly nextAttemptAt: number | null;
  readonly acceptedAt: number;
  /** Null until it has ended. */
  readonly endedAt: number | null;
  readonly expiresAt: number;
  /** How often it was put off without being tried. */
  readonly deferrals: number;
  /** Why it waits or how it ended, for people; null when there is nothing to say. */
  readonly reason: string | null;
  /** Whether `result` has an upstream's answer. */
  readonly hasResult: boolean;
  /** Whether another job of its key comes first. */
  readonly blocked: boolean;
  /** Who may ask: the consumer that it was accepted from. */
  readonly consumer: string | null;
  readonly tenant: string | null;
  readonly route: string;
}

export type StatusReply = { readonly kind: "job"; readonly job: JobView } | Unknown;

export interface ResultRequest {
  readonly id: string;
  /** Waits so long for the job to end; 0: answers at once. */
  readonly waitMs: number;
}

export type ResultReply =
  | { readonly kind: "result"; readonly job: JobView; readonly result: JobResult }
  /** It has not ended, or it ended without an answer: `job.status` tells. */
  | { readonly kind: "none"; readonly job: JobView }
  | Unknown
  | Malformed;

export interface CancelRequest {
  readonly id: string;
  /** A client can cancel what was never tried; an operator whatever is not running and has not ended. */
  readonly by: "client" | "operator";
}

export type CancelReply =
  | { readonly kind: "cancelled"; readonly job: JobView }
  /** It runs, was tried or has ended. */
  | { readonly kind: "started"; readonly job: JobView }
  | Unknown
  | Malformed;

/** Lets the jobs of its key pass a dead job; it stays dead and listed. */
export type SkipReply =
  | { readonly kind: "skipped"; readonly job: JobView }
  | { readonly kind: "not-dead"; readonly job: JobView }
  | Unknown;

// --- dead rows

export interface AttemptRecord {
  readonly at: number;
  readonly status: number | null;
  readonly error: string | null;
  readonly ms: number;
}

export interface DeadRow {
  readonly id: string;
  readonly reason: string;
  /** When it died. */
  readonly at: number;
  readonly key: string | null;
  readonly tenant: string | null;
  readonly route: string;
  /** Whether jobs of its key wait behind it. */
  readonly blocking: boolean;
  /** The newest ones, oldest first. */
  readonly attempts: readonly AttemptRecord[];
}

export interface DeadRequest {
  /** `next` of the page before; null: from the first. */
  readonly after: string | null;
  readonly max: number;
}

export type DeadReply =
  | { readonly kind: "dead"; readonly items: readonly DeadRow[]; readonly next: string | null }
  | Malformed;

/** Which dead rows to try again: some by id, at once; or all that died in a time, so many per second. */
export type ReplayRequest =
  | { readonly ids: readonly string[] }
  | { readonly since: number; readonly until: number; readonly rate: number };

export type ReplayReply =
  /** Ids that were replayed; the others are not dead. */
  | { readonly kind: "replayed"; readonly ids: readonly string[]; readonly notDead: readonly string[] }
  /** How many match; they follow at the rate, and not while the queue is over its watermark. */
  | { readonly kind: "replaying"; readonly matching: number }
  | Malformed;

// --- the whole outbox

export interface OutboxDescription {
  readonly outbox: string;
  /** Jobs accepted and not ended. */
  readonly depth: number;
  /** The same: what waits for its time counts as lag too. */
  readonly lag: number;
  /** Of the oldest job that has not ended; 0: there is none. */
  readonly oldestAgeMs: number;
  readonly drainPerSecond: number;
  readonly rejecting: boolean;
  readonly rejectingCritical: boolean;
  readonly alert: boolean;
  readonly running: number;
  readonly deferred: number;
  /** Dead rows that are kept, and keys that one of them blocks. */
  readonly deadRows: number;
  readonly blockedKeys: number;
  readonly counts: OutboxCounts;
  /** Of a webhook's subscription; null: nothing has gone wrong with its receiver. */
  readonly endpoint?: EndpointState | null;
  /** Of a reaction: events that it has brought about and nobody has yet. */
  readonly sequels?: WaitingSequels;
  /** Of the events: what each subscription has not got yet, by its name. */
  readonly pending?: Readonly<Record<string, Pending>>;
}

/** Since the outbox began; what was counted in the seconds before a crash may be missing. */
export interface OutboxCounts {
  readonly accepted: number;
  readonly rejected: number;
  /** Pointers sent. */
  readonly published: number;
  /** Jobs that an upstream answered for good: succeeded and failed. */
  readonly delivered: number;
  readonly deferred: number;
  readonly retried: number;
  readonly dead: number;
  readonly cancelled: number;
  readonly expired: number;
  /** Pointers to jobs that needed none, settlements that came too late, and repeated idempotency keys. */
  readonly duplicates: number;
  readonly replayed: number;
  /** Batches of consumers that claimed here first, and the messages in them: how full they were. */
  readonly batches: number;
  readonly batchMessages: number;
}

export const NO_COUNTS: OutboxCounts = {
  accepted: 0,
  rejected: 0,
  published: 0,
  delivered: 0,
  deferred: 0,
  retried: 0,
  dead: 0,
  cancelled: 0,
  expired: 0,
  duplicates: 0,
  replayed: 0,
  batches: 0,
  batchMessages: 0,
};
