// What a consumer tells an outbox of the jobs that it has: that it is not done, and how each went.
// Everybody imports it through protocol.ts.

import type { JobResult, Malformed } from "./job-content.ts";
import type { JobView } from "./job-protocol.ts";
import type { ClaimedJob, ClaimRequest } from "./claim-protocol.ts";

export type DeliveryOutcome =
  | { readonly kind: "succeeded"; readonly result: JobResult }
  /** The upstream refused it for good: no try will change its answer. */
  | { readonly kind: "refused"; readonly result: JobResult }
  /** One try that failed; it may be tried again if tries are left. */
  | {
      readonly kind: "failed";
      /** The upstream's status, or null when there was none. */
      readonly status: number | null;
      readonly error: string | null;
      /** What the upstream asked for; null: it did not. */
      readonly retryAfterMs: number | null;
      /** Kept if this was the last try. */
      readonly result: JobResult | null;
      /** Of a webhook: nothing more is wanted there; or it says nothing of the receiver. */
      readonly endpoint?: "gone" | "unharmed";
    }
  /** Nothing was tried (circuit open, no permit, shutting down): attempts unchanged. 0 ms: at once. */
  | { readonly kind: "deferred"; readonly forMs: number; readonly reason: string }
  /** No try would change anything, and none was made: it is dead at once. */
  | { readonly kind: "hopeless"; readonly reason: string }
  /** The consumer could not even read it. The second time it is dead, `final`: at once. */
  | { readonly kind: "poison"; readonly error: string; readonly final?: boolean };

export interface Settlement {
  readonly id: string;
  readonly fence: number;
  readonly outcome: DeliveryOutcome;
  /** How long the try took. */
  readonly tookMs: number;
}

export interface SettleRequest {
  readonly settlements: readonly Settlement[];
  /** Also gives the next job of each key that has been freed; absent: none is wanted. */
  readonly next?: NextTerms;
}

/** As in a claim. */
export type NextTerms = Pick<ClaimRequest, "leaseMs" | "claimant">;

export type SettleOutcome =
  | { readonly kind: "settled"; readonly id: string; readonly job: JobView }
  /** Somebody else has claimed it since, or it was settled before: nothing changed. */
  | { readonly kind: "stale"; readonly id: string }
  | { readonly kind: "unknown"; readonly id: string };

export type SettleReply =
  | {
      readonly kind: "answered";
      readonly outcomes: readonly SettleOutcome[];
      readonly next?: readonly ClaimedJob[];
    }
  | Malformed;

/** Whoever has jobs and is not done with them asks for more time, before the lease is over. */
export interface RenewRequest {
  /** Those that it still has, all of one claim. */
  readonly ids: readonly string[];
  readonly fence: number;
  readonly leaseMs: number;
}

export type RenewReply =
  /** The others are not its own any more. */
  { readonly kind: "answered"; readonly held: readonly string[] } | Malformed;
