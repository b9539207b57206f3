// What a relay of a Postgres outbox knows of itself: what it has done, how much waits, whether it gets on,
// and what people are told of that, each once.

import type { RelayStep } from "../relay/step.ts";
import { NO_ALERT, observeLag, type LagAlert } from "./alert.ts";

/** What was done since the relay began. */
export interface RelayCounts {
  /** Rows that are marked. */
  readonly published: number;
  /** Rows that were published under a lease that was over; who has the key then marks them. */
  readonly stale: number;
  /** Rows that were given up, or left out. */
  readonly dead: number;
  /** Passes that the database or the outbox of the events has failed. */
  readonly failures: number;
}

export interface RelayLag {
  /** Rows that wait. */
  readonly rows: number;
  /** Of the oldest; 0 where the table does not say. */
  readonly oldestAgeMs: number;
  readonly measuredAt: number;
}

export interface RelayTally {
  readonly counts: RelayCounts;
  /** Null: not measured yet. */
  readonly lag: RelayLag | null;
  readonly alert: LagAlert;
  /** Null: it gets on. */
  readonly failingSince: number | null;
  readonly error: string | null;
  readonly passedAt: number | null;
}

export const NEW_TALLY: RelayTally = {
  counts: { published: 0, stale: 0, dead: 0, failures: 0 },
  lag: null,
  alert: NO_ALERT,
  failingSince: null,
  error: null,
  passedAt: null,
};

export type RelayNotice =
  | { readonly kind: "failing"; readonly error: string }
  | { readonly kind: "recovered"; readonly afterMs: number }
  | { readonly kind: "row-refused"; readonly id: string; readonly error: string }
  | { readonly kind: "lag-alert"; readonly lag: number }
  | { readonly kind: "lag-alert-cleared"; readonly lag: number };

export interface Tallied {
  readonly tally: RelayTally;
  readonly notices: readonly RelayNotice[];
}

/** After a step. */
export function tallyStep(before: RelayTally, step: RelayStep, now: number): Tallied {
  if (step.kind === "database-failed") return failed(before, step.error, now);
  const { published, stale, dead, failures, refused } = step.report;
  const { counts } = before;
  const passed: RelayTally = {
    ...before,
    counts: {
      ...counts,
      published: counts.published + published,
      stale: counts.stale + stale,
      dead: counts.dead + dead,
    },
    passedAt: now,
  };
  const notices = refused.map(({ id, error }) => ({ kind: "row-refused" as const, id, error }));
  const failure = failures.find((each) => !refused.some(({ error }) => error === each));
  if (failure !== undefined) {
    const { tally, notices: others } = failed(passed, failure, now);
    return { tally, notices: [...notices, ...others] };
  }
  if (before.failingSince === null) return { tally: passed, notices };
  const recovered = { kind: "recovered", afterMs: now - before.failingSince } as const;
  return { tally: { ...passed, failingSince: null, error: null }, notices: [...notices, recovered] };
}

/** After something failed: the database, the way there, or whoever takes the events. */
export function failed(before: RelayTally, error: string, now: number): Tallied {
  const counts = { ...before.counts, failures: before.counts.failures + 1 };
  const tally = { ...before, counts, failingSince: before.failingSince ?? now, error };
  return { tally, notices: before.failingSince === null ? [{ kind: "failing", error }] : [] };
}

/** After the rows that wait were counted; `alertAt` in rows. */
export function tallyLag(before: RelayTally, lag: RelayLag, alertAt: number): Tallied {
  const alert = observeLag(before.alert, lag.rows, alertAt, lag.measuredAt);
  const tally = { ...before, lag, alert };
  if (alert.raised === before.alert.raised) return { tally, notices: [] };
  const kind = alert.raised ? "lag-alert" : "lag-alert-cleared";
  return { tally, notices: [{ kind, lag: lag.rows }] };
}

/** A relay as the state page has it. */
export interface RelayDescription {
  /** Rows that wait; null: it has not counted yet. */
  readonly lag: number | null;
  readonly oldestAgeMs: number;
  /** How old these figures are. */
  readonly measuredAgeMs: number | null;
  readonly alert: boolean;
  readonly failingSince: number | null;
  readonly error: string | null;
  readonly lastPassAgeMs: number | null;
  readonly counts: RelayCounts;
}

export function describeTally(tally: RelayTally, now: number): RelayDescription {
  const { counts, lag, alert, failingSince, error, passedAt } = tally;
  const age = (at: number | null): number | null => (at === null ? null : Math.max(0, now - at));
  return {
    lag: lag?.rows ?? null,
    oldestAgeMs: lag?.oldestAgeMs ?? 0,
    measuredAgeMs: age(lag?.measuredAt ?? null),
    alert: alert.raised,
    failingSince,
    error,
    lastPassAgeMs: age(passedAt),
    counts,
  };
}
