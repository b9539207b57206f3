// What an outbox stores, as values: the rows it reads and the changes that it writes. The core decides; the
// object applies the changes of one decision in one transaction. Memory that could not be stored is given up.
//
//   a job's row        1 when it is stored (2 with an idempotency key), 1 when it ends, 1 when it is deleted
//   a claim            1 for all jobs of one call: it takes the row of one that is over; 1 when it is renewed
//   a trial            only for jobs that did not simply succeed: what was tried and when it goes on

import type { TrafficClass } from "../../resilience/level.ts";
import type { EndpointHealth } from "../webhooks/core/endpoint-health.ts";
import type { Refusing } from "./backpressure.ts";
import type { CloudEvent } from "../events/cloud-event.ts";
import type { SubscriptionRoute } from "./event-protocol.ts";
import type { EventReplay } from "./event-replay.ts";
import type { AttemptRecord, JobResult, JobTarget, OutboxCounts, QueueTerms } from "./protocol.ts";

export type EndStatus = "succeeded" | "failed" | "dead" | "cancelled" | "expired";

/** A job's row, but for the request and the answer that it carries. */
export interface JobRow {
  /** Its place in the order; also its rowid. */
  readonly seq: number;
  readonly secret: string;
  readonly status: "live" | EndStatus;
  readonly acceptedAt: number;
  readonly expiresAt: number;
  readonly endedAt: number | null;
  /** How it ended. */
  readonly reason: string | null;
  readonly terms: QueueTerms;
  readonly priority: TrafficClass;
  readonly consumer: string | null;
  readonly tenant: string | null;
  readonly route: string;
  readonly key: string | null;
  readonly traceparent: string | null;
  readonly requestId: string | null;
  readonly region: string;
  readonly hasResult: boolean;
}

export interface NewJob extends JobRow {
  readonly target: JobTarget;
  /** Where its idempotency key counts, and what for; null: it has none. */
  readonly scope: string | null;
  readonly fingerprint: string | null;
}

/** What happened to a job that did not simply succeed. */
export interface Trial {
  readonly attempts: number;
  readonly deferrals: number;
  /** Leases that ended without a word. */
  readonly deaths: number;
  /** How often a consumer could not read it. */
  readonly strikes: number;
  /** When it may run again, or could. */
  readonly nextAt: number;
  /** The newest claim that is over. */
  readonly fence: number;
  /** Why it waits. */
  readonly reason: string | null;
  readonly diedAt: number | null;
  /** Whether jobs of its key may pass it though it is dead. */
  readonly passed: boolean;
}

export const NO_TRIAL: Trial = {
  attempts: 0,
  deferrals: 0,
  deaths: 0,
  strikes: 0,
  nextAt: 0,
  fence: 0,
  reason: null,
  diedAt: null,
  passed: false,
};

export type SequelKind = "ok" | "failed" | "deadline";

/** An event that tells how a reaction's job has ended, until the outbox of the events has it. */
export interface Sequel extends Pick<JobRow, "priority" | "traceparent" | "requestId" | "region"> {
  /** Its place in their order. */
  readonly seq: number;
  readonly kind: SequelKind;
  /** What it follows from: with the reaction and the kind, this names the event. */
  readonly cause: Pick<CloudEvent, "source" | "id">;
  readonly event: Omit<CloudEvent, "id">;
}

/** All dead rows of a time that are to be tried again; `after` is the last one that was. */
export interface ReplayRun {
  readonly since: number;
  readonly until: number;
  readonly rate: number;
  readonly after: number;
}

/** The one row about the outbox itself. */
export interface OutboxRow {
  /** Jobs up to here have been published once, or were not to be. */
  readonly cursor: number;
  /** Of the relay: only the newest one may move the cursor. */
  readonly fence: number;
  /** No live job is below. */
  readonly floor: number;
  readonly counts: OutboxCounts;
  readonly drainPerSecond: number;
  readonly drainedAt: number;
  readonly overSince: number | null;
  readonly alert: boolean;
  readonly replay: ReplayRun | null;
  /** All retries that were due by then have been published. */
  readonly publishedUntil: number;
  /** When pointers that seemed lost were last sent again. */
  readonly republishedAt: number;
  /** When to look for rows to delete; null: there are none. */
  readonly collectAt: number | null;
  /** How a webhook's receiver fares; a row of before has none. */
  readonly endpoint?: EndpointHealth;
  /** Of the events: the subscriptions that the newest configuration names. */
  readonly told?: readonly string[];
}

export type Write =
  | { readonly kind: "insert"; readonly job: NewJob }
  | {
      readonly kind: "end";
      readonly seq: number;
      readonly status: EndStatus;
      readonly endedAt: number;
      readonly reason: string | null;
      readonly result: JobResult | null;
      /**
       * What it holds may be asked for again; else it goes when the job has succeeded, but for a body's
       * name.
       */
      readonly keepsTarget?: true;
    }
  /** A job that has ended lives again. */
  | { readonly kind: "revive"; readonly seq: number; readonly expiresAt: number }
  /** Its idempotency key is over. */
  | { readonly kind: "free-key"; readonly seq: number }
  /** `attempt` is added to what is kept of its tries. */
  | {
      readonly kind: "trial";
      readonly seq: number;
      readonly trial: Trial;
      readonly log: readonly AttemptRecord[];
    }
  /** `slot` names the row; what stood there is over. */
  | {
      readonly kind: "claim";
      readonly slot: number;
      readonly fence: number;
      readonly until: number;
      readonly seqs: readonly number[];
    }
  | { readonly kind: "renew-claim"; readonly slot: number; readonly until: number }
  | { readonly kind: "gate"; readonly name: string; readonly refusing: Refusing }
  | { readonly kind: "outbox"; readonly row: OutboxRow }
  /** How far a subscription has got of the events, and what it is (null: as before). */
  | {
      readonly kind: "route";
      readonly name: string;
      readonly cursor: number;
      readonly definition: SubscriptionRoute | null;
    }
  | { readonly kind: "sequel"; readonly sequel: Sequel }
  | { readonly kind: "end-sequels"; readonly seqs: readonly number[] }
  /** A replay of a subscription's events; null: there is none any more. */
  | { readonly kind: "event-replay"; readonly name: string; readonly run: EventReplay | null }
  | { readonly kind: "delete"; readonly seqs: readonly number[] };

export interface IdempotencyRecord {
  readonly seq: number;
  readonly fingerprint: string;
  readonly acceptedAt: number;
}

export type OldRow = Pick<JobRow, "seq" | "status" | "endedAt" | "acceptedAt"> & {
  readonly ref: string | null;
};

export interface DeadEntry {
  readonly job: JobRow;
  readonly trial: Trial;
}

/** What the core looks up in storage, as the last transaction left it. */
export interface OutboxReads {
  job(seq: number): JobRow | null;
  trial(seq: number): Trial | null;
  log(seq: number): readonly AttemptRecord[];
  target(seq: number): JobTarget | null;
  result(seq: number): JobResult | null;
  /** The job that an idempotency key stands for. */
  idempotent(scope: string): IdempotencyRecord | null;
  /** Dead rows after a seq, ascending. */
  dead(after: number, max: number): readonly DeadEntry[];
  countDead(since: number, until: number): number;
  /**
   * Rows after a seq, ascending; `ref` is what their bodies are called in the bucket, null: none is there.
   */
  jobsAfter(after: number, max: number): readonly OldRow[];
}

/** What a boot reads. */
export interface StoredOutbox {
  /** Null: nothing was stored yet. */
  readonly row: OutboxRow | null;
  /** The greatest number that a job has or had. */
  readonly lastSeq: number;
  readonly live: readonly Pick<JobRow, "seq" | "key" | "acceptedAt" | "expiresAt" | "terms">[];
  readonly trials: ReadonlyMap<number, Trial>;
  /** Dead jobs that have a key. */
  readonly deadKeys: readonly { readonly seq: number; readonly key: string; readonly blocks: boolean }[];
  readonly deadRows: number;
  /** Those that are over too, as long as their rows were not taken by others. */
  readonly claims: readonly {
    readonly slot: number;
    readonly fence: number;
    readonly until: number;
    readonly seqs: readonly number[];
  }[];
  readonly gates: readonly { readonly name: string; readonly refusing: Refusing }[];
  /** The number of the newest that waits, and how many do. */
  readonly sequels: { readonly last: number; readonly waiting: number };
}
