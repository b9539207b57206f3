// What the isolates of a region saw of one upstream, kept apart by isolate, so that no single one of many decides.
//
//   with MANY_ISOLATES or more that made calls
//     c_i' = min(c_i, cap),  cap = MAX_ISOLATE_PART * sum(c')      one weighs at most a quarter of what counts
//     the sums are also taken without the isolate that saw most failures: they must be reason enough as well
//
//   cap with the k heaviest at it = MAX_ISOLATE_PART * rest / (1 - k * MAX_ISOLATE_PART),  k < 4

import type { CallSums, CallWindow } from "../resilience/call-window.ts";
import {
  advanceWindow,
  callCount,
  createCallWindow,
  localFailureCount,
  recordCalls,
  remoteFailureCount,
  resetWindow,
  slowCount,
} from "../resilience/call-window.ts";

/** From so many isolates with calls on, no single one decides. */
export const MANY_ISOLATES = 4;
/** Greatest part of the evidence that one of many isolates makes up. */
export const MAX_ISOLATE_PART = 0.25;
/** Isolates that calls of one upstream are told apart by, at most. */
export const MAX_ISOLATES = 5_000;
/** What counts as of late: evidence of an upstream that went down all at once. */
const RECENT_MS = 1_500;
/** Consecutive failures that an isolate saw count for so long. */
export const CONSECUTIVE_MS = 2_000;

export interface IsolateCalls {
  readonly window: CallWindow;
  /** The same calls, of late. */
  readonly recent: CallWindow;
  /** When it last saw `consecutive` failures in a row. */
  consecutiveAt: number;
}

export type Evidence = Map<string, IsolateCalls>;

/** Keeps an isolate's calls. Those of an isolate beyond MAX_ISOLATES are not kept. */
export function noteEvidence(
  evidence: Evidence,
  isolate: string,
  report: CallSums & { readonly consecutive: boolean },
  windowMs: number,
  now: number,
): void {
  let calls = evidence.get(isolate);
  if (calls === undefined) {
    if (evidence.size >= MAX_ISOLATES) return;
    calls = {
      window: createCallWindow(windowMs),
      recent: createCallWindow(Math.min(windowMs, RECENT_MS)),
      consecutiveAt: Number.NEGATIVE_INFINITY,
    };
    evidence.set(isolate, calls);
  }
  recordCalls(calls.window, report, now);
  recordCalls(calls.recent, report, now);
  if (report.consecutive) calls.consecutiveAt = now;
}

/** What was seen in another phase is no evidence in the next one. */
export function forgetEvidence(evidence: Evidence): void {
  for (const calls of evidence.values()) {
    resetWindow(calls.window);
    resetWindow(calls.recent);
    calls.consecutiveAt = Number.NEGATIVE_INFINITY;
  }
}

/** Drops isolates that made no call for a whole window. */
export function pruneEvidence(evidence: Evidence, now: number): void {
  for (const [isolate, { window }] of evidence) {
    advanceWindow(window, now);
    if (callCount(window) === 0) evidence.delete(isolate);
  }
}

export interface WeighedSums {
  readonly calls: number;
  readonly failures: number;
  readonly slow: number;
  /** The least of failures per call, and of slow ones, with any one of many isolates left out. */
  readonly failureRate: number;
  readonly slowRate: number;
}

/** The region's sums, over the whole window or of late, each isolate at its weight. */
export function weighedSums(evidence: Evidence, over: "window" | "recent", now: number): WeighedSums {
  const present: CallWindow[] = [];
  for (const { [over]: window } of evidence.values()) {
    advanceWindow(window, now);
    if (callCount(window) > 0) present.push(window);
  }
  const cap = isolateCap(present.map(callCount));
  const sums = { calls: 0, failures: 0, slow: 0 };
  const mostFailing = { calls: 0, failures: 0 };
  const slowest = { calls: 0, slow: 0 };
  for (const window of present) {
    const weight = Math.min(1, cap / callCount(window));
    const calls = callCount(window) * weight;
    const failures = (remoteFailureCount(window) + localFailureCount(window)) * weight;
    const slow = slowCount(window) * weight;
    sums.calls += calls;
    sums.failures += failures;
    sums.slow += slow;
    if (failures > mostFailing.failures) Object.assign(mostFailing, { calls, failures });
    if (slow > slowest.slow) Object.assign(slowest, { calls, slow });
  }
  const failureRate = sums.failures / sums.calls;
  const slowRate = sums.slow / sums.calls;
  if (present.length < MANY_ISOLATES) return { ...sums, failureRate, slowRate };
  const failureRateOfOthers = (sums.failures - mostFailing.failures) / (sums.calls - mostFailing.calls);
  const slowRateOfOthers = (sums.slow - slowest.slow) / (sums.calls - slowest.calls);
  return {
    ...sums,
    failureRate: Math.min(failureRate, failureRateOfOthers),
    slowRate: Math.min(slowRate, slowRateOfOthers),
  };
}

/** Whether enough isolates saw `consecutive` failures in a row of late. */
export function hasConsecutive(evidence: Evidence, now: number): boolean {
  let failing = 0;
  let present = 0;
  for (const { window, consecutiveAt } of evidence.values()) {
    if (callCount(window) > 0) present++;
    if (now - consecutiveAt < CONSECUTIVE_MS) failing++;
  }
  const needed = present < MANY_ISOLATES ? 1 : Math.max(2, Math.ceil(present * MAX_ISOLATE_PART));
  return failing >= needed;
}

/** The most calls that one isolate counts with. */
function isolateCap(counts: readonly number[]): number {
  if (counts.length < MANY_ISOLATES) return Number.POSITIVE_INFINITY;
  const heaviest = counts.toSorted((one, other) => other - one).slice(0, MANY_ISOLATES);
  let rest = counts.reduce((sum, count) => sum + count, 0);
  for (let capped = 0; ; capped++) {
    const cap = (MAX_ISOLATE_PART * rest) / (1 - capped * MAX_ISOLATE_PART);
    if (heaviest[capped] <= cap || capped === MANY_ISOLATES - 1) return cap;
    rest -= heaviest[capped];
  }
}
