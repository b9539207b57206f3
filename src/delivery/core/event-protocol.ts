// What is said of events beside jobs: which subscriptions there are, what is pulled, what has not been
// handed on.

import type { Malformed } from "./job-content.ts";
import type { ClaimedJob, QueueTerms } from "./protocol.ts";

/** Of one configuration. */
export const MAX_SUBSCRIPTIONS = 1_000;
/** A lease of pulled events may last as long as somebody may work at them. */
export const MIN_PULL_LEASE_MS = 100;
export const MAX_PULL_LEASE_MS = 12 * 3600 * 1000;

/** A subscription, as far as the outbox of the events must know it. */
export interface SubscriptionRoute {
  readonly name: string;
  /** Patterns of types, see event-pattern.ts. */
  readonly events: readonly string[];
  /** Whether events of one key come one after the other. */
  readonly ordered: boolean;
  readonly terms: QueueTerms;
}

export interface PullRequest {
  /** At most `MAX_BATCH_JOBS`. */
  readonly max: number;
  readonly leaseMs: number;
}

export type PullReply =
  | {
      readonly kind: "pulled";
      readonly jobs: readonly ClaimedJob[];
      /** Events that have not been acknowledged, those that were just given included. */
      readonly lag: number;
      readonly oldestAgeMs: number;
    }
  | Malformed;

/** What a reaction publishes of its outcomes: types of events; null: none is published. */
export interface ReactionTerms {
  /** Who says so: the `source` of the events. */
  readonly source: string;
  readonly ok: string | null;
  readonly failed: string | null;
  /** When the time is over; null: as when it failed. */
  readonly deadline: string | null;
}

/** Events that a reaction has brought about, and that the outbox of the events has not got yet. */
export interface WaitingSequels {
  readonly count: number;
  /** Of the oldest; 0: there is none. */
  readonly oldestAgeMs: number;
  /** Why they wait; null: they do not. */
  readonly reason: string | null;
}

/** Of one subscription, what the outbox of the events has not handed to it yet. */
export interface Pending {
  readonly count: number;
  /** Of the oldest; 0: there is none. */
  readonly oldestAgeMs: number;
  /** Why it waits; null: it does not. */
  readonly reason: string | null;
  /** Events that a replay has handed to it so far; null: there is none under way. */
  readonly replayed?: number | null;
}

/** How a webhook's receiver fares. */
export interface EndpointState {
  readonly failuresInRow: number;
  readonly failingSince: number | null;
  /** Nothing is sent to it: its events are kept as dead ones, to be replayed. */
  readonly disabled: { readonly reason: string; readonly at: number } | null;
}

export interface EnableReply {
  readonly kind: "enabled";
  /** What it was disabled for; null: it was not. */
  readonly was: EndpointState["disabled"];
  /** Dead events that are kept, those that were skipped among them. */
  readonly deadRows: number;
}
