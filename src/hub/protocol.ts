// What isolates and their hub say to each other. Everything has a name, never an index, and limits come with
// their numbers: two versions of the configuration live side by side during a deploy, and a hub serves both.
// The other side may be an older or a newer version of this Worker, so fields are only ever added.

import type { BulkheadAnswer, BulkheadAsk, LoadAsk, LoadEntry, LoadVerdict } from "./load-protocol.ts";
import type { CallsEntry, UpstreamAsk, UpstreamVerdict } from "./upstream-protocol.ts";

/** Greatest amount that one entry of a report may add. */
export const MAX_ENTRY_AMOUNT = 1_000_000_000;
/** Entries of one list in a report; an isolate sends the rest with the next one. */
export const MAX_REPORT_ENTRIES = 5_000;
export const MAX_SESSION_CHARS = 64;
/** Names of counters, limits and upstreams, and the keys that they count apart, in UTF-16 units. */
export const MAX_NAME_CHARS = 64;
export const MAX_KEY_CHARS = 256;
/** A metric's series: its name and its labels. */
export const MAX_SERIES_CHARS = 1_000;

/** A limit as its isolate has it configured: two versions may differ. */
export interface LimitTerms {
  /** The limit's name. */
  readonly limit: string;
  readonly key: string;
  readonly consistency: "regional" | "global" | "capped";
  /** Units that one window (a period, when capped) admits. */
  readonly units: number;
  readonly windowMs: number;
}

/** Adds to a usage counter. */
export interface CountEntry {
  readonly counter: string;
  readonly key: string;
  readonly by: number;
}

/** Units of a limit that were used at `at` (ms, by the isolate's clock), and what is left of the lease. */
export interface UseEntry {
  readonly terms: LimitTerms;
  readonly at: number;
  readonly units: number;
}

/** Rights of a capped limit that were leased and not used. */
export interface ReturnEntry {
  readonly terms: LimitTerms;
  readonly period: number;
  readonly units: number;
}

/** A frozen batch: sent again byte for byte until it is acknowledged, applied once. `seq` counts from 1. */
export interface Report {
  readonly session: string;
  readonly seq: number;
  /** Hash of the isolate's configuration. */
  readonly config: string;
  readonly counts: readonly CountEntry[];
  readonly uses: readonly UseEntry[];
  readonly returns: readonly ReturnEntry[];
  /** Absent from isolates that keep their breakers to themselves. */
  readonly calls?: readonly CallsEntry[];
  readonly loads?: readonly LoadEntry[];
  /** What the isolate's metrics have grown by, by series. */
  readonly metrics?: readonly (readonly [series: string, by: number])[];
}

/** Asks for units of a limit before they are used. */
export interface LeaseAsk {
  readonly terms: LimitTerms;
  /** Without so many the request cannot pass. */
  readonly need: number;
  /** What all requests need that wait in the isolate; 0: it asks ahead. Older isolates do not tell. */
  readonly waiting?: number;
  /** As many as the isolate would use within a second. */
  readonly want: number;
  /** What it still holds, and what it used without a lease and has not reported yet. */
  readonly held: number;
  readonly unreported: number;
  /** The newest report's number, and what of `unreported` it says itself: older isolates do not tell. */
  readonly seq?: number;
  readonly inFlight?: number;
  /** The number of the answer for this key that came last; 0: none has. */
  readonly seen?: number;
}

export interface SyncRequest {
  readonly region: string;
  readonly session: string;
  readonly report: Report | null;
  readonly asks: readonly LeaseAsk[];
  /** Upstreams that the isolate has had traffic for. */
  readonly upstreams?: readonly UpstreamAsk[];
  readonly loads?: readonly LoadAsk[];
  readonly bulkheads?: readonly BulkheadAsk[];
  /** Whether the isolate needs the answers while a request waits. */
  readonly urgent: boolean;
}

/** The hub's answer to one ask. */
export interface LeaseAnswer {
  readonly limit: string;
  readonly key: string;
  readonly units: number;
  /** The answer's number, for `seen`; older hubs do not number them. */
  readonly answer?: number;
  /** For how long, ms from when the ask was sent; a capped lease is bound to its period instead. */
  readonly forMs: number;
  readonly period: number;
  /** Units used in the window, as far as this region knows. */
  readonly used: number;
  /** Ms until asking again makes sense, when nothing was given. */
  readonly retryMs: number;
  /** Ms until some of what is used leaves the window. */
  readonly resetMs: number;
}

/** What an operator has forced on an upstream. */
export interface OverrideTerms {
  readonly breaker?: "open" | "closed";
  readonly cursor?: number;
  readonly drain?: readonly string[];
  readonly until: number;
  readonly note?: string;
}

export interface Snapshot {
  readonly region: string;
  /** Isolates that have reported lately, in this region, and regions in use. */
  readonly isolates: number;
  readonly regions: number;
  /** Overrides in force, by upstream. */
  readonly overrides: Readonly<Record<string, OverrideTerms>>;
}

export type RefusalReason =
  | "malformed"
  | "wrong-region"
  /** The hub does not know the session though it is not new: whether the batch is counted is unknown. */
  | "unknown-session"
  /** The hub follows too many sessions already: nothing is counted, and the batch may come again. */
  | "full";

export type SyncReply =
  | {
      readonly kind: "synced";
      /** The last report of this session that is applied and, where it must be, stored. */
      readonly seq: number;
      readonly leases: readonly LeaseAnswer[];
      readonly verdicts?: readonly UpstreamVerdict[];
      readonly loads?: readonly LoadVerdict[];
      readonly bulkheads?: readonly BulkheadAnswer[];
      readonly snapshot: Snapshot;
    }
  | { readonly kind: "refused"; readonly reason: RefusalReason };

export interface Malformed {
  readonly kind: "malformed";
}

/** The answer to an addition to a usage counter: it is stored; or it would pass what a counter can hold. */
export type AddReply = { readonly kind: "added" | "overflow" } | Malformed;

export type OverrideReply = { readonly kind: "written" } | Malformed;
