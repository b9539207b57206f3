// How a consumer gets jobs. Everybody imports it through protocol.ts.

import type { TrafficClass } from "../../resilience/level.ts";
import type { JobTarget, Malformed } from "./job-content.ts";

export interface ClaimRequest {
  /** Ids of pointers; more than `MAX_BATCH_JOBS` are malformed. */
  readonly ids: readonly string[];
  /** For how long nobody else gets them: as long as one try takes and some time; it can be renewed. */
  readonly leaseMs: number;
  /** Who asks, for the log. */
  readonly claimant: string;
  /** Messages of the batch that this is the first claim of; absent: it is another one. */
  readonly batch?: number;
}

export interface ClaimedJob {
  readonly kind: "claimed";
  readonly id: string;
  /** To be given back with the outcome. */
  readonly fence: number;
  /** 1 for the first try. */
  readonly attempt: number;
  readonly lastAttempt: boolean;
  /** How often it was put off without being tried. */
  readonly deferrals?: number;
  readonly leaseMs: number;
  /** Ms that the job may still take before it expires. */
  readonly expiresInMs: number;
  readonly acceptedAt: number;
  readonly priority: TrafficClass;
  readonly consumer: string | null;
  readonly tenant: string | null;
  readonly route: string;
  readonly key: string | null;
  readonly traceparent: string | null;
  readonly requestId: string | null;
  readonly region: string;
  readonly target: JobTarget;
}

/** Why a job was not given. In all cases its pointer is done: when it is due, a new one comes. */
export type SkipReason =
  | "done"
  | "cancelled"
  | "expired"
  /** It waits for its next try. */
  | "not-due"
  /** Another job of its key comes first. */
  | "blocked"
  | "leased"
  | "unknown"
  /** It did not fit into this answer, or shall run alone: it is published again at once. */
  | "put-back";

export type ClaimOutcome =
  | ClaimedJob
  | { readonly kind: "skipped"; readonly id: string; readonly reason: SkipReason };

export type ClaimReply =
  | { readonly kind: "answered"; readonly outcomes: readonly ClaimOutcome[] }
  | Malformed;
