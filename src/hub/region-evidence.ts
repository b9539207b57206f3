// What the isolates of a region saw of one upstream, kept apart by isolate, so that no single one of many
// decides.
//
//   with MANY_ISOLATES or more of late, whether or not they make calls now
//     c_i' = min(c_i, cap),  cap = part * sum(c')      one weighs at most a quarter of what counts
//     the sums are also taken without the isolate that saw most failures: they must be reason enough as well
//
//   cap with the k heaviest at it = part * rest / (1 - k * part),  part = max(MAX_ISOLATE_PART, 1 / isolates)
//
// How many there are is known from all that they report, not of this upstream alone: `known`.

import { RECENT_MS } from "../resilience/breaker.ts";
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
import type { UsualFailures } from "../resilience/usual-failures.ts";
import { isRowBeyondChance } from "../resilience/usual-failures.ts";

/** From so many isolates with calls on, no single one decides. */
export const MANY_ISOLATES = 4;
/** Greatest part of the evidence that one of many isolates makes up. */
export const MAX_ISOLATE_PART = 0.25;
/** Isolates that calls of one upstream are told apart by, at most. */
export const MAX_ISOLATES = 5_000;
/** Consecutive failures that an isolate saw count for so long. */
export const CONSECUTIVE_MS = 2_000;
/** Isolates that have reported within this time are there. */
export const PRESENT_MS = 30_000;

export interface IsolateCalls {
  readonly window: CallWindow;
  /** The same calls, of late. */
  readonly recent: CallWindow;
  /** When it last saw `consecutive` failures in a row. */
  consecutiveAt: number;
  reportedAt: number;
}

export interface Evidence {
  readonly isolates: Map<string, IsolateCalls>;
  /** Isolates of the region, as far as the hub knows, whether they report of this upstream or not. */
  known: number;
  /** When any isolate last saw `consecutive` failures in a row. */
  consecutiveAt: number;
  /** Failures since anybody reported a good call, and the first isolates that reported them. */
  failuresInRow: number;
  readonly failingInRow: Set<string>;
}

export function createEvidence(): Evidence {
  return {
    isolates: new Map(),
    known: 0,
    consecutiveAt: Number.NEGATIVE_INFINITY,
    failuresInRow: 0,
    failingInRow: new Set(),
  };
}

/** Keeps an isolate's calls. Those of an isolate beyond MAX_ISOLATES are not kept. */
export function noteEvidence(
  evidence: Evidence,
  isolate: string,
  report: CallSums & { readonly consecutive: boolean },
  windowMs: number,
  now: number,
): void {
  const { isolates } = evidence;
  if (report.ok > 0) forgetRow(evidence);
  const failures = report.failRemote + report.failLocal;
  evidence.failuresInRow += failures;
  if (failures > 0 && evidence.failingInRow.size < MANY_ISOLATES) evidence.failingInRow.add(isolate);
  let calls = isolates.get(isolate);
  if (calls === undefined) {
    if (isolates.size >= MAX_ISOLATES) return;
    calls = {
      window: createCallWindow(windowMs),
      recent: createCallWindow(Math.min(windowMs, RECENT_MS)),
      consecutiveAt: Number.NEGATIVE_INFINITY,
      reportedAt: now,
    };
    isolates.set(isolate, calls);
  }
  recordCalls(calls.window, report, now);
  recordCalls(calls.recent, report, now);
  calls.reportedAt = now;
  if (report.consecutive) {
    calls.consecutiveAt = now;
    evidence.consecutiveAt = now;
  }
}

/** What was seen in another phase is no evidence in the next one. */
export function forgetEvidence(evidence: Evidence): void {
  forgetRow(evidence);
  for (const calls of evidence.isolates.values()) {
    resetWindow(calls.window);
    resetWindow(calls.recent);
    calls.consecutiveAt = Number.NEGATIVE_INFINITY;
  }
}

/** Drops isolates that are there no more. Not while calls are refused: nobody reports any then. */
export function pruneEvidence({ isolates }: Evidence, now: number): void {
  for (const [isolate, { reportedAt }] of isolates) {
    if (now - reportedAt >= PRESENT_MS) isolates.delete(isolate);
  }
}

function areMany({ isolates, known }: Evidence): boolean {
  return Math.max(isolates.size, known) >= MANY_ISOLATES;
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
  for (const isolate of evidence.isolates.values()) {
    const window = over === "window" ? isolate.window : isolate.recent;
    advanceWindow(window, now);
    if (callCount(window) > 0) present.push(window);
  }
  const many = areMany(evidence);
  const cap = many ? isolateCap(present) : Number.POSITIVE_INFINITY;
  const sums = { calls: 0, failures: 0, slow: 0 };
  // The isolate with most failures, and the one with most slow calls.
  const failing = { calls: 0, most: 0 };
  const slowing = { calls: 0, most: 0 };
  for (const window of present) {
    const weight = Math.min(1, cap / callCount(window));
    const calls = callCount(window) * weight;
    const failures = (remoteFailureCount(window) + localFailureCount(window)) * weight;
    const slow = slowCount(window) * weight;
    sums.calls += calls;
    sums.failures += failures;
    sums.slow += slow;
    if (failures > failing.most) {
      failing.most = failures;
      failing.calls = calls;
    }
    if (slow > slowing.most) {
      slowing.most = slow;
      slowing.calls = calls;
    }
  }
  const failureRate = rate(sums.failures, sums.calls);
  const slowRate = rate(sums.slow, sums.calls);
  if (!many) return { ...sums, failureRate, slowRate };
  return {
    ...sums,
    failureRate: Math.min(failureRate, rate(sums.failures - failing.most, sums.calls - failing.calls)),
    slowRate: Math.min(slowRate, rate(sums.slow - slowing.most, sums.calls - slowing.calls)),
  };
}

/**
 * Whether enough isolates saw `consecutive` failures in a row of late; or the region twice as many, from so
 * many isolates that no single one decides: where each has little traffic, none sees many in a row. An
 * isolate leaves out what chance brings by itself; of the region's row it is left out here.
 */
export function hasConsecutive(
  evidence: Evidence,
  usual: UsualFailures,
  consecutive: number,
  now: number,
): boolean {
  const row = evidence.failuresInRow;
  const isRow = evidence.failingInRow.size >= MANY_ISOLATES && row >= 2 * consecutive;
  if (isRow && isRowBeyondChance(usual, row)) return true;
  if (now - evidence.consecutiveAt >= CONSECUTIVE_MS) return false;
  let failing = 0;
  let present = 0;
  for (const { window, consecutiveAt } of evidence.isolates.values()) {
    if (callCount(window) > 0) present++;
    if (now - consecutiveAt < CONSECUTIVE_MS) failing++;
  }
  return failing >= (areMany(evidence) ? Math.max(2, Math.ceil(present * MAX_ISOLATE_PART)) : 1);
}

function forgetRow(evidence: Evidence): void {
  evidence.failuresInRow = 0;
  evidence.failingInRow.clear();
}

function rate(part: number, whole: number): number {
  return whole > 0 ? part / whole : 0;
}

/** The most calls that one isolate counts with. */
function isolateCap(windows: readonly CallWindow[]): number {
  if (windows.length === 0) return 0;
  const part = Math.max(MAX_ISOLATE_PART, 1 / windows.length);
  let rest = 0;
  let most = 0;
  for (const window of windows) {
    rest += callCount(window);
    most = Math.max(most, callCount(window));
  }
  if (most <= part * rest) return part * rest;
  const heaviest = windows.map(callCount).toSorted((one, other) => other - one);
  for (let capped = 0; ; capped++) {
    const cap = (part * rest) / (1 - capped * part);
    if (heaviest[capped] <= cap || (capped + 1) * part >= 1) return cap;
    rest -= heaviest[capped];
  }
}
