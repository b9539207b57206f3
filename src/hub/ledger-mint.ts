// Rights of a `capped` limit (crdt/bounded-counter.ts): the one place where they are made.
//
//   minted(period) = sum over slots of total(slot)  <=  the caps under which it was minted
//
// A total is absolute and never falls, so a lost, repeated or late answer does no harm. A lowered cap
// mints nothing more and takes nothing back.

import { invalid, type MintOutcome, type MintRequest } from "./ledger-requests.ts";

/** Periods before the newest that are kept, and for which can still be minted. */
export const KEPT_PAST_PERIODS = 2;
/** Eleven regions with some shards and epochs each; far beyond, something makes identities without end. */
export const MAX_SLOTS_PER_PERIOD = 4096;

export interface Minted {
  readonly total: number;
  /** Of the last request. */
  readonly seq: number;
}

export interface MintState {
  /** The newest period that anything is known of. */
  readonly newest: number | null;
  /** Over all slots of the period that is asked for. */
  readonly minted: number;
  readonly slots: number;
  readonly own: Minted | null;
}

export interface MintDecision {
  readonly outcome: MintOutcome;
  /** What to store for the slot and period. */
  readonly write: Minted | null;
}

export function decideMint(state: MintState, request: MintRequest): MintDecision {
  const { newest, minted, slots, own } = state;
  const { period, seq, want, cap } = request;
  if (newest !== null && period < oldestKept(newest)) {
    return { outcome: { kind: "past-period", newest }, write: null };
  }
  const left = Math.max(0, cap - minted);
  if (own !== null && seq <= own.seq) {
    return { outcome: { kind: "minted", total: own.total, left }, write: null };
  }
  if (own === null && slots >= MAX_SLOTS_PER_PERIOD) {
    return { outcome: invalid("too-many-slots"), write: null };
  }
  const granted = Math.min(want, left);
  const total = (own?.total ?? 0) + granted;
  return { outcome: { kind: "minted", total, left: left - granted }, write: { total, seq } };
}

/** Periods before this one are dropped; what was minted in them can never be known again. */
export function oldestKept(newest: number): number {
  return newest - KEPT_PAST_PERIODS;
}
