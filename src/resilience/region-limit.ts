// The concurrency limit of an upstream for a whole region, from what its isolates report: Vegas on the tail
// of latencies, with a guard. Windows of a second at least, longer with little traffic:
//
//   X   served per ms            R   90th percentile of latency, B its least of the last 30 to 60 s
//   N   = X * mean latency       in flight on average (Little's law)
//   q   = N * (1 - B / R)        of these, waiting at the upstream (Vegas)
//
//   refused (503)   half a percent of a second window in a row, or two of one that is known to refuse:
//                   L = 0.98 * L - 1, at first at most 1.05 * N, or what its isolates have found out by
//                   themselves, up to 1.2 * N; growth rests for 5 s, doubled to 40 s while it goes on; no
//                   trial for a minute, as it does not queue
//   pushed back     L = 0.9 * min(L, N) when a tenth of a window was refused or timed out, or half throttled
//   q > beta        L = N * B / R + beta / 2, at least half of N unless R > 3 B, and 3 for each of up to ten
//                   isolates: a trial
//   q < beta / 2    2 * L until something was cut; then L + sqrt(L) up to what was good before, 3 % for 30 s,
//                   + sqrt(L); only while half of L is in use
//   split up        L = 3 for each of up to ten isolates, while some find no permit and half of L lies idle
//   at its limit    while requests are turned away and B is of this time: L = 0.8 * N, a trial
//
// A trial ends when what was begun before it has been reported: if the region serves less by more than
// chance does (7 %, or 1.5 / sqrt(calls)), it was not our doing: L returns, B is what is seen now, and no
// trial follows for 30 s. Where more in flight has lately gone along with more served (correlation over the
// last windows that had a third of it at least), latency is no reason.
//
//   beta = 6 * log10 L + sqrt(L * isolates) / 2     Vegas' beta, and what a divided limit needs besides
//
// It starts at `max`, or at 256, and never passes 100 or five times the most in flight within a minute.

import { correlation } from "./correlation.ts";
import { callsIn, emptyWindow, fillWindow, tailOf } from "./limit-window.ts";
import type { LoadNews } from "./load-sums.ts";
import type { RegionLimit, RegionSums, Trial, Window } from "./region-limit-state.ts";
import { SHORTEST_HOLD_MS, createRegionLimit } from "./region-limit-state.ts";

export type { RegionLimit, RegionSums };
export { createRegionLimit };

export const LIMIT_WINDOW_MS = 1_000;
export const WINDOW_CALLS = 100;
export const LONGEST_LIMIT_WINDOW_MS = 5_000;
export const FEWEST_CALLS = 20;
export const LIMIT_FLOOR = 4;
/** A cap from what was in flight never falls below this. */
export const CAP_FLOOR = 100;

const TAIL = 0.9;
const DROPPED_SHARE = 0.1;
const THROTTLED_SHARE = 0.5;
const REFUSED_SHARE = 0.02;
const REFUSED_AT = 1.05;
const BACKOFF = 0.9;
const LONGEST_HOLD_MS = 40_000;
const GENTLE_MS = 30_000;
const GENTLE_STEP = 0.03;
const BASELINE_MS = 30_000;
const PEAK_MS = 30_000;
const PEAK_TIMES = 5;
export const NO_TRIAL_MS = 30_000;
/** Trials that follow within this are held against what was served before the first of them. */
const CHAIN_MS = 30_000;
const TRIAL_SHARE = 0.8;
/** A tail so many times its least needs no careful steps. */
const CLEAR = 3;
/**
 * Serving so much less than before a cut is within what chance does: a part, or so many deviations of
 * calls.
 */
const HELD_LESS = 0.07;
const HELD_DEVIATIONS = 1.5;
/** What a cut takes to reach everybody: a sync. */
const SETTLE_MS = 1_200;
const SMOOTHING = 0.3;
/** Of the queue up to which a limit grows: less is none. */
const IDLE_SHARE = 0.25;
const SEEN_WINDOWS = 20;
const FEWEST_WINDOWS = 5;
const LATE_WINDOWS = 3;
/** More than that has gone by than a limit that is a little too high would let. */
const HARD_SHARE = 0.05;
/** Of an upstream that is not known to refuse yet. */
const FIRST_REFUSED_SHARE = 0.005;
const FOUND_PART = 0.9;
const FOUND_AT = 1.2;
/** So long after it was cut for refusals an upstream counts as one that refuses. */
export const FULL_MS = 60_000;
const LEAST_EACH = 3;
const LEAST_OF_ALL = 10 * LEAST_EACH;
const CORRELATED = 0.5;
/**
 * From less than such a part of what is in flight to all of it, more is served at first, whatever comes
 * then.
 */
const COMPARABLE = 1 / 3;

/** Whether the upstream refuses what is beyond the limit: nobody is let in there. */
export function isKnownFull({ refusedAt }: RegionLimit, now: number): boolean {
  return now - refusedAt < FULL_MS;
}

export function limitOf({ max, exact, peak, nextPeak, seen }: RegionLimit): number {
  const isKnown = seen.length >= LATE_WINDOWS;
  const cap = isKnown ? Math.max(CAP_FLOOR, PEAK_TIMES * Math.max(peak, nextPeak)) : Number.POSITIVE_INFINITY;
  return Math.max(1, Math.floor(Math.min(max, exact, cap)));
}

/** Takes an isolate's report in; ends the window when it is long enough. */
export function learnLimit(limit: RegionLimit, news: LoadNews, sums: RegionSums, now: number): void {
  const { window } = limit;
  fillWindow(window, news, now);
  const elapsedMs = now - window.startedAt;
  const calls = callsIn(window);
  const isLong = elapsedMs >= LONGEST_LIMIT_WINDOW_MS && calls >= FEWEST_CALLS;
  if (isLong || (elapsedMs >= LIMIT_WINDOW_MS && calls >= WINDOW_CALLS)) endWindow(limit, sums, now);
}

function endWindow(limit: RegionLimit, sums: RegionSums, now: number): void {
  const window: Window = { ...sums, tailMs: tailOf(limit.window, TAIL) };
  notePeak(limit, window.inflight, now);
  limit.seen.push(window);
  if (limit.seen.length > SEEN_WINDOWS) limit.seen.shift();
  // What was begun before the last cut says nothing about it.
  if (limit.window.startedAt >= limit.judgedFrom) decide(limit, window, now);
  limit.exact = Math.min(limit.max, Math.max(Math.min(LIMIT_FLOOR, limit.max), limit.exact));
  emptyWindow(limit.window, now);
}

function decide(limit: RegionLimit, window: Window, now: number): void {
  const calls = callsIn(limit.window);
  const { refused, timedOut, throttled, turnedAway } = limit.window;
  const wasFull = isKnownFull(limit, now);
  // In the first window with refusals not everybody has reported yet what was in flight then.
  const isFirst = refused > timedOut && !limit.wasRefused && !wasFull;
  limit.wasRefused = refused > timedOut;
  if (isFirst) return;
  // Refused, each isolate has found its own bound at once: together they know it before the region does.
  const isFound = !wasFull && refused > timedOut && window.goneBy < FOUND_PART * limitOf(limit);
  const isPushedBack = refused + timedOut >= DROPPED_SHARE * calls || throttled >= THROTTLED_SHARE * calls;
  const isRefused = refused >= (wasFull ? REFUSED_SHARE : FIRST_REFUSED_SHARE) * calls && refused > 0;
  if (isRefused) limit.refusedAt = now;
  if (isPushedBack && !isFound) {
    cut(limit, Math.min(limit.exact, inflightOf(limit)) * BACKOFF, window.tailMs, now);
    return;
  }
  if (isRefused) {
    const inflight = inflightOf(limit);
    let most = REFUSED_AT * inflight;
    if (isFound) most = Math.max(most, Math.min(window.goneBy, FOUND_AT * inflight));
    else if (wasFull && refused < HARD_SHARE * calls) most = limit.exact;
    cut(limit, Math.min(limit.exact * 0.98 - 1, most), window.tailMs, now);
    return;
  }
  if (limit.trial !== null) judgeTrial(limit, limit.trial, window, now);
  const { inflight } = window;
  const tailMs = smoothTail(limit, window.tailMs);
  learnBaseline(limit, tailMs, now);
  const queued = tailMs > 0 ? inflight * (1 - limit.baselineMs / tailMs) : 0;
  const alpha = slackOf(limitOf(limit), window.isolates) / 2;
  if (queued > 2 * alpha) {
    const target = (inflight * limit.baselineMs) / tailMs + alpha;
    if (now >= limit.nextTrialAt && !isKnownFull(limit, now) && !growsWithLoad(limit)) {
      tryLess(
        limit,
        tailMs > CLEAR * limit.baselineMs ? target : Math.max(target, inflight / 2),
        window,
        now,
      );
    }
    return;
  }
  const isBound = inflight >= TRIAL_SHARE * limitOf(limit) && turnedAway > 0;
  if (
    isBound &&
    !isKnownFull(limit, now) &&
    limit.baselineMs === limit.nextBaselineMs &&
    now >= limit.nextTrialAt
  ) {
    // Only where it is not known from calmer times.
    tryLess(limit, TRIAL_SHARE * inflight, window, now);
    return;
  }
  if (queued >= alpha) return;
  // Permits are short here and there while half of them lie idle: they are divided too finely.
  const isSplit = inflight < limitOf(limit) / 2 && limit.window.signals > 0;
  if (isSplit) limit.exact = Math.max(limit.exact, fewestFor(window.isolates));
  else if (now >= limit.steadyUntil || queued < IDLE_SHARE * alpha) grow(limit, inflight, now);
}

/** Requests that may wait at the upstream: Vegas' beta, and what a limit needs that is divided among many. */
export function slackOf(limit: number, isolates: number): number {
  return 6 * Math.log10(Math.max(2, limit)) + Math.sqrt(limit * isolates) / 2;
}

/** In flight of late: a single window, or one that a breaker has emptied, may hold less than it bears. */
function inflightOf({ seen }: RegionLimit): number {
  return Math.max(LIMIT_FLOOR, ...seen.slice(-LATE_WINDOWS).map(({ inflight }) => inflight));
}

/** Refused or pushed back: less, and no more for a while. */
function cut(limit: RegionLimit, to: number, tailMs: number, now: number): void {
  const isAgain = now < limit.holdUntil + limit.holdMs && limit.holdUntil > 0;
  limit.holdMs = isAgain ? Math.min(LONGEST_HOLD_MS, limit.holdMs * 2) : SHORTEST_HOLD_MS;
  limit.holdUntil = now + limit.holdMs;
  limit.gentleUntil = limit.holdUntil + GENTLE_MS;
  limit.ceiling = to;
  limit.isUntried = false;
  limit.exact = to;
  limit.trial = null;
  limit.judgedFrom = now + SETTLE_MS + tailMs;
}

/** Latency cuts no further: with less each isolate turns away what another has room for. */
function fewestFor(isolates: number): number {
  return isolates > 1 ? Math.min(LEAST_OF_ALL, LEAST_EACH * isolates) : LIMIT_FLOOR;
}

function tryLess(limit: RegionLimit, wanted: number, window: Window, now: number): void {
  const { servedPerMs, tailMs } = window;
  const target = Math.max(wanted, fewestFor(window.isolates));
  if (target >= limitOf(limit)) return;
  const reference = now < limit.heldUntil ? Math.max(limit.heldPerMs, servedPerMs) : servedPerMs;
  limit.trial = { limit: limitOf(limit), servedPerMs: reference };
  limit.judgedFrom = now + SETTLE_MS + tailMs;
  limit.gentleUntil = now + GENTLE_MS;
  limit.ceiling = target;
  limit.isUntried = false;
  limit.exact = target;
  limit.smoothTailMs = 0;
}

function judgeTrial(limit: RegionLimit, trial: Trial, { servedPerMs, tailMs }: Window, now: number): void {
  limit.trial = null;
  const less = Math.max(HELD_LESS, HELD_DEVIATIONS / Math.sqrt(Math.max(1, limit.window.servedCount)));
  if (servedPerMs >= (1 - less) * trial.servedPerMs) {
    limit.heldPerMs = trial.servedPerMs;
    limit.heldUntil = now + CHAIN_MS;
    return;
  }
  limit.exact = trial.limit;
  limit.ceiling = trial.limit;
  limit.baselineMs = tailMs;
  limit.nextBaselineMs = tailMs;
  limit.nextTrialAt = now + NO_TRIAL_MS;
}

function grow(limit: RegionLimit, inflight: number, now: number): void {
  if (inflight < limitOf(limit) / 2) return;
  const step = limit.isUntried ? limit.exact : Math.sqrt(limit.exact);
  if (limit.exact < limit.ceiling) limit.exact = Math.min(limit.ceiling, limit.exact + step);
  else if (now >= limit.holdUntil) {
    limit.exact += now < limit.gentleUntil ? Math.max(1, GENTLE_STEP * limit.exact) : step;
    limit.ceiling = limit.exact;
  }
}

/** The least of noisy numbers would be far too small. After a cut it begins anew: the jump is what counts. */
function smoothTail(limit: RegionLimit, tailMs: number): number {
  limit.smoothTailMs += limit.smoothTailMs === 0 ? tailMs : SMOOTHING * (tailMs - limit.smoothTailMs);
  return limit.smoothTailMs;
}

function learnBaseline(limit: RegionLimit, tailMs: number, now: number): void {
  if (now >= limit.baselineTurnsAt) {
    limit.baselineMs = limit.nextBaselineMs;
    limit.nextBaselineMs = Number.POSITIVE_INFINITY;
    limit.baselineTurnsAt = now + BASELINE_MS;
  }
  limit.baselineMs = Math.min(limit.baselineMs, tailMs);
  limit.nextBaselineMs = Math.min(limit.nextBaselineMs, tailMs);
}

function notePeak(limit: RegionLimit, inflight: number, now: number): void {
  if (now >= limit.peakTurnsAt) {
    limit.peak = limit.nextPeak;
    limit.nextPeak = 0;
    limit.peakTurnsAt = now + PEAK_MS;
  }
  limit.nextPeak = Math.max(limit.nextPeak, inflight);
}

/** Whether more in flight has gone along with more served, among windows of a load that can be compared. */
function growsWithLoad({ seen }: RegionLimit): boolean {
  const least = COMPARABLE * (seen.at(-1)?.inflight ?? 0);
  const alike = seen.filter((window) => window.inflight >= least);
  if (alike.length < FEWEST_WINDOWS) return false;
  const inflight = alike.map((window) => window.inflight);
  const served = alike.map((window) => window.servedPerMs);
  return correlation(inflight, served) > CORRELATED;
}
