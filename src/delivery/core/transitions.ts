// What a job becomes after a consumer has spoken, or has not. Attempts are tries that may have reached the
// upstream; being put off is none.
//
//   succeeded, refused   ended
//   failed               waits by the retry schedule, dead after the last try
//   deferred             waits, attempts unchanged
//   hopeless             dead
//   poison               waits once, dead the second time
//   a lease that ended   due at once, dead the third time (a job that kills its consumers)

import type { AttemptRecord, DeliveryOutcome, JobResult, QueueTerms } from "./protocol.ts";
import { deferralMs, retryWaitMs } from "./retry-schedule.ts";
import { sequelType } from "./sequel.ts";
import type { EndStatus, Trial } from "./storage.ts";

/** Times that a consumer may fail to read a job. */
export const MAX_STRIKES = 2;
/** Leases of a job that may end without a word. */
export const MAX_DEATHS = 3;
/** Tries of a job that are kept for people. */
export const MAX_KEPT_ATTEMPTS = 50;

export type Step =
  | {
      readonly kind: "end";
      readonly status: "succeeded" | "failed" | "dead";
      readonly reason: string | null;
      readonly result: JobResult | null;
      readonly trial: Trial;
      readonly attempt: AttemptRecord;
    }
  | {
      readonly kind: "wait";
      readonly trial: Trial;
      /** Null: nothing was tried. */
      readonly attempt: AttemptRecord | null;
    };

export interface Moment {
  readonly now: number;
  /** In [0, 1). */
  readonly random: number;
}

/** What follows from an outcome; `fence` is the claim's that ends with it. */
export function afterOutcome(
  before: Trial,
  terms: QueueTerms,
  { outcome, tookMs, fence }: { outcome: DeliveryOutcome; tookMs: number; fence: number },
  moment: Moment,
): Step {
  const trial = { ...before, fence };
  const attempt = (status: number | null, error: string | null): AttemptRecord => {
    return { at: moment.now, status, error, ms: tookMs };
  };
  switch (outcome.kind) {
    case "succeeded":
    case "refused": {
      const { result } = outcome;
      const status = outcome.kind === "refused" ? "failed" : "succeeded";
      const reason = status === "failed" ? `the upstream answered ${result.status}` : null;
      const tried = { ...trial, attempts: trial.attempts + 1 };
      // What nobody is told of must not disappear.
      if (reason !== null && isUntold(terms, status)) {
        return dead(tried, reason, attempt(result.status, null), result);
      }
      return { kind: "end", status, reason, result, trial: tried, attempt: attempt(result.status, null) };
    }
    case "failed":
      return afterFailure(trial, terms, outcome, attempt(outcome.status, outcome.error), moment);
    case "deferred": {
      const waitMs = deferralMs(outcome.forMs, moment.random);
      const nextAt = moment.now + waitMs;
      const deferrals = trial.deferrals + 1;
      return { kind: "wait", trial: { ...trial, deferrals, nextAt, reason: outcome.reason }, attempt: null };
    }
    case "hopeless":
      return dead(trial, outcome.reason, attempt(null, outcome.reason), null);
    case "poison": {
      const strikes = trial.strikes + 1;
      const reason = `the consumer could not read it: ${outcome.error}`;
      const struck = { ...trial, strikes };
      const isDead = outcome.final === true || strikes >= MAX_STRIKES;
      if (isDead) return dead(struck, reason, attempt(null, outcome.error), null);
      const nextAt = moment.now + retryWaitMs(terms.retry, strikes, null, moment.random);
      return { kind: "wait", trial: { ...struck, nextAt, reason }, attempt: attempt(null, outcome.error) };
    }
  }
}

function afterFailure(
  before: Trial,
  terms: QueueTerms,
  outcome: Extract<DeliveryOutcome, { kind: "failed" }>,
  attempt: AttemptRecord,
  { now, random }: Moment,
): Step {
  const attempts = before.attempts + 1;
  const reason =
    outcome.status === null
      ? `the try failed: ${outcome.error ?? "no answer"}`
      : `the upstream answered ${outcome.status}`;
  if (attempts >= terms.retry.attempts) {
    const tries = attempts === 1 ? "the only try" : `the last of ${attempts} tries`;
    return dead({ ...before, attempts }, `${tries}: ${reason}`, attempt, outcome.result);
  }
  const nextAt = now + retryWaitMs(terms.retry, attempts, outcome.retryAfterMs, random);
  return { kind: "wait", trial: { ...before, attempts, nextAt, reason }, attempt };
}

/** Whether a job is a reaction's and no event tells that it ended so. */
export function isUntold({ reaction }: QueueTerms, status: EndStatus): boolean {
  return reaction !== undefined && sequelType(reaction, status) === null;
}

/** What follows when the time of a job is over and nobody is told of it. */
export function afterExpiry(before: Trial, reason: string, now: number): Step {
  return dead(before, reason, { at: now, status: null, error: reason, ms: 0 }, null);
}

/** What follows when a lease ends without a word. */
export function afterDeath(before: Trial, fence: number, now: number): Step {
  const deaths = before.deaths + 1;
  const error = "the consumer did not say how it went before its lease ended";
  const attempt = { at: now, status: null, error, ms: 0 };
  const trial = { ...before, deaths, fence };
  if (deaths >= MAX_DEATHS) return dead(trial, `${deaths} times ${error}`, attempt, null);
  return { kind: "wait", trial: { ...trial, nextAt: now, reason: error }, attempt };
}

/** What follows when nobody has acknowledged a pulled event: it was given in vain. */
export function afterLostLease(before: Trial, fence: number, now: number): Step {
  const error = "it was not acknowledged before its lease ended";
  const attempts = before.attempts + 1;
  const attempt = { at: now, status: null, error, ms: 0 };
  return { kind: "wait", trial: { ...before, attempts, fence, nextAt: now, reason: error }, attempt };
}

function dead(trial: Trial, reason: string, attempt: AttemptRecord, result: JobResult | null): Step {
  const died = { ...trial, diedAt: attempt.at, reason };
  return { kind: "end", status: "dead", reason, result, trial: died, attempt };
}

/** The tries that are kept, with one more. */
export function withAttempt(
  log: readonly AttemptRecord[],
  attempt: AttemptRecord | null,
): readonly AttemptRecord[] {
  return attempt === null ? log : [...log, attempt].slice(-MAX_KEPT_ATTEMPTS);
}
