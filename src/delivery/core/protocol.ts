// What isolates and an outbox say to each other. The life of a job:
//
//   accept    An isolate sends what it takes in for one queue as one batch. The outbox stores each job,
//             its place in the order and its idempotency record in one transaction: `queued`.
//   publish   The outbox sends a `Pointer` for each job that may run to the Cloudflare Queue.
//   claim     A consumer asks for the jobs of its pointers. Each comes with a lease and a fence (`running`)
//             or with the reason why not; then its pointer is simply acknowledged.
//   renew     A lease is as long as one try takes. Who has jobs for longer says so in time.
//   settle    The consumer says how each went. `succeeded` or `failed` with the upstream's answer; else it
//             waits in the outbox until it is due (`deferred`) or is out of tries (`dead`). A lease that
//             ends without a word makes the job due again. What is due is published again.
//   keep      What has ended is kept for a day, dead rows for 30, then deleted. Dead rows can be replayed.
//
//   queued --> running --> succeeded | failed | dead      queued, deferred --> cancelled | expired
//                |  ^
//                v  |
//              deferred
//
// The truth is in the outbox alone. A pointer only says "look at this job", so a lost, repeated or reordered
// one changes nothing. Only the fence of the newest claim can settle a job.
//
// Two versions of the Worker live side by side during a deploy: fields are only ever added, names are used,
// never indices, and a queue's terms come with every batch. Clocks differ: what an isolate says about time is
// a duration in ms; a moment in an answer is by the outbox's clock, ms since the epoch. Everything here is
// plain data that can be cloned; validators stand in requests.ts.

import type { TrafficClass } from "../../resilience/level.ts";
import type { ClaimReply, ClaimRequest } from "./claim-protocol.ts";
import type {
  EnableReply,
  Pending,
  PullReply,
  PullRequest,
  ReactionTerms,
  SubscriptionRoute,
} from "./event-protocol.ts";
import type { EventReplayReply } from "./event-replay.ts";
import type { JobTarget, Malformed } from "./job-content.ts";
import type {
  CancelReply,
  CancelRequest,
  DeadReply,
  DeadRequest,
  JobView,
  OutboxDescription,
  ReplayReply,
  ReplayRequest,
  ResultReply,
  ResultRequest,
  SkipReply,
  StatusReply,
} from "./job-protocol.ts";
import type { RenewReply, RenewRequest, SettleReply, SettleRequest } from "./settle-protocol.ts";

export {
  MAX_HEADER_CHARS,
  MAX_INLINE_BODY_BYTES,
  MAX_METHOD_CHARS,
  MAX_PATH_CHARS,
  type Body,
  type BodyClaim,
  type EventTarget,
  type HeaderPairs,
  type JobRequest,
  type JobResult,
  type JobTarget,
  type Malformed,
  type RequestTarget,
  type Unknown,
} from "./job-content.ts";
export type { ClaimedJob, ClaimOutcome, ClaimReply, ClaimRequest, SkipReason } from "./claim-protocol.ts";
export type {
  DeliveryOutcome,
  NextTerms,
  RenewReply,
  RenewRequest,
  SettleOutcome,
  SettleReply,
  SettleRequest,
  Settlement,
} from "./settle-protocol.ts";
export {
  MAX_PAGE_ROWS,
  MAX_RESULT_WAIT_MS,
  NO_COUNTS,
  type AttemptRecord,
  type CancelReply,
  type CancelRequest,
  type DeadReply,
  type DeadRequest,
  type DeadRow,
  type JobStatus,
  type JobView,
  type OutboxCounts,
  type OutboxDescription,
  type ReplayReply,
  type ReplayRequest,
  type ResultReply,
  type ResultRequest,
  type SkipReply,
  type StatusReply,
} from "./job-protocol.ts";

/** Jobs in one call of accept, claim or settle. With 96 KiB each they stay below the 32 MiB of a call. */
export const MAX_BATCH_JOBS = 100;
/** One outbox keeps an index of its live jobs in memory. */
export const MAX_HIGH_WATERMARK = 200_000;
export const MAX_ATTEMPTS = 100;
/** As long as the configuration may say for anything. */
export const MAX_DURATION_MS = 366 * 24 * 3600 * 1000;
/** Of what a consumer says of a failure; the rest is cut off by the sender. */
export const MAX_REASON_CHARS = 500;
/** A lease may last as long as a queue's consumer may run. */
export const MIN_LEASE_MS = 1_000;
export const MAX_LEASE_MS = 15 * 60_000;

// --- pointers

/** The message in the Cloudflare Queue. A consumer that does not know its `v` retries it later. */
export interface Pointer {
  readonly v: 1;
  /** The outbox's name, see job-id.ts: `env.OUTBOX.getByName(pointer.outbox)`. */
  readonly outbox: string;
  readonly id: string;
  /** Where the job was accepted; "" when that is not known. */
  readonly region: string;
}

// --- accept

/** A queue as its isolate has it configured. A job keeps the terms that it was accepted with. */
export interface QueueTerms {
  readonly highWatermark: number;
  /** 0..1: refusing ends at this part of the watermark. */
  readonly resumeAt: number;
  /** Jobs of lag from which an alert is raised. */
  readonly alertAt: number;
  readonly maxAgeMs: number;
  /** `attempts` = tries in all. */
  readonly retry: { readonly attempts: number; readonly delayMs: number; readonly maxDelayMs: number };
  /** What a dead job does to those of its key behind it. */
  readonly onDeadHead: "block" | "skip";
  /** Of a subscription: how its events get to whom they are for. */
  readonly delivery?: "webhook" | "upstream" | "binding" | "pull";
  /** Of a reaction: what is published when a job has ended. */
  readonly reaction?: ReactionTerms;
}

export interface Idempotency {
  /** The client's key; it counts within the job's tenant and route. */
  readonly key: string;
  /** SHA-256 of method, path and body, 64 lower-case hex digits. */
  readonly fingerprint: string;
}

/** One job to take in. */
export interface AcceptItem {
  readonly target: JobTarget;
  readonly priority: TrafficClass;
  readonly consumer: string | null;
  readonly tenant: string | null;
  /** The route's name or path. */
  readonly route: string;
  /** Jobs of one key run one after the other, in the order in which they were accepted; null: no order. */
  readonly key: string | null;
  readonly idempotency: Idempotency | null;
  /** The W3C field that the delivery's trace goes on with. */
  readonly traceparent: string | null;
  readonly requestId: string | null;
  /** Can only shorten the queue's own `maxAgeMs`; null: the queue's. */
  readonly maxAgeMs: number | null;
}

/** Asks whether an idempotency key stands for a job already; takes nothing in. */
export type KeyLookup = Pick<AcceptItem, "consumer" | "tenant" | "route"> & {
  readonly idempotency: Idempotency;
};

export interface AcceptRequest {
  readonly region: string;
  /** Hash of the isolate's configuration. */
  readonly config: string;
  readonly terms: QueueTerms;
  /** None: only asks for the pressure. */
  readonly items: readonly AcceptItem[];
  /** Requests that the isolate refused by itself, by the last pressure it knew, and has not told of yet. */
  readonly refused: number;
  /** Requests that repeat one, perhaps, while no others are taken in. */
  readonly lookups?: readonly KeyLookup[];
  /** Of events: whom each may be for; absent: whom the newest configuration that was told of names. */
  readonly subscriptions?: readonly SubscriptionRoute[];
}

/** What became of one item. Nothing of an item is stored unless it is `accepted`. */
export type AcceptOutcome =
  | { readonly kind: "accepted"; readonly id: string; readonly status: "queued" }
  /** The same key and the same request came before: its job, as it is now. */
  | { readonly kind: "replayed"; readonly id: string; readonly job: JobView }
  /** The same key came before with another request. */
  | { readonly kind: "conflict" }
  /** The same key in the same batch: the first one's answer has not left yet. */
  | { readonly kind: "in-flight"; readonly id: string }
  | { readonly kind: "backlog-full"; readonly retryAfterMs: number }
  | { readonly kind: "too-large" }
  | Malformed;

/** `backlog-full`: it stands for none, so what it comes with is a new job. */
export type KeyOutcome = Extract<AcceptOutcome, { kind: "replayed" | "conflict" | "backlog-full" }>;

export type AcceptReply =
  | {
      readonly kind: "answered";
      readonly outcomes: readonly AcceptOutcome[];
      readonly pressure: Pressure;
      /** Of the lookups, in their order. */
      readonly known?: readonly KeyOutcome[];
    }
  | Malformed;

/** How full the outbox is by the terms of who asks. An isolate may go by it for a second. */
export interface Pressure {
  /** Jobs accepted and not ended. */
  readonly depth: number;
  readonly watermark: number;
  /** Whether P1, P2 and P3 are refused. */
  readonly rejecting: boolean;
  /** Whether P0 is refused too. */
  readonly rejectingCritical: boolean;
  /** 0 when nothing is refused, else 1 to 300 s. */
  readonly retryAfterMs: number;
}

/** What an outbox answers to. Every argument is checked, so it may come from another version. */
export interface OutboxCalls {
  accept(request: AcceptRequest): Promise<AcceptReply>;
  claim(request: ClaimRequest): Promise<ClaimReply>;
  renew(request: RenewRequest): Promise<RenewReply>;
  settle(request: SettleRequest): Promise<SettleReply>;
  status(id: string): Promise<StatusReply>;
  result(request: ResultRequest): Promise<ResultReply>;
  cancel(request: CancelRequest): Promise<CancelReply>;
  skip(id: string): Promise<SkipReply>;
  dead(request: DeadRequest): Promise<DeadReply>;
  replay(request: ReplayRequest): Promise<ReplayReply>;
  describe(): Promise<OutboxDescription>;
  /** Does at once what the alarm would do, and sets it again if it was lost: then true. */
  wake(): Promise<boolean>;
  /** Leases the oldest events that may run to whoever asks; see `PullReply`. */
  pull(request: PullRequest): Promise<PullReply>;
  /** Of a webhook's subscription: its receiver may have events again. */
  enable(): Promise<EnableReply>;
  /** Of the events: hands those that a subscription has had to it once more. */
  replayEvents(subscription: string, request: ReplayRequest): Promise<EventReplayReply>;
  /** Of the events: what a subscription has not got yet; null: nothing is known of it. */
  pending(subscription: string): Promise<Pending | null>;
}
