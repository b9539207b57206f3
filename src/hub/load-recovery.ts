// What a region remembers of an upstream for when it comes back: how much it served at best. A ramp brings no
// more into flight than that takes now, whatever the limit was before the outage:
//
//   L = X * T + slack     X: best served per ms before, T: 90th percentile of its first latencies
//                         slack: as the region's limit has it (resilience/region-limit.ts)
//   twice that where the region had shed nothing for a while: it served all there was, and may serve more
//   where it had shed     0.95 * X for X, as the best of averages is a little too much, and no more slack
//                         than X serves in 100 ms: what begins in a second is what ends in it and what the
//                         queue grows by, so at most a tenth more than it serves
//
// The lines of such a region would fill while the ramp ends: of what arrives, at least 1 - 1.2 * X / arrivals
// is shed from the ramp on, until the cursor's own loop has seen how it goes. Until 25 s after the ramp the
// limit grows only while hardly anything waits at the upstream, and nothing passes it at once.
//
// Before the first answers are known, T is what the limit last took for an empty upstream. When the ramp is
// over, the limit goes on from there, and takes T for the latency of an upstream that is not full: what it
// had learned in the storm before the outage, or from calls that failed, is void.

import type { LimitWindow } from "../resilience/limit-window.ts";
import { createLimitWindow, emptyWindow, fillWindow, tailOf } from "../resilience/limit-window.ts";
import type { RegionLimit } from "../resilience/region-limit.ts";
import { LIMIT_FLOOR, slackOf } from "../resilience/region-limit.ts";
import type { LoadNews } from "../resilience/load-sums.ts";
import type { BreakerPhase } from "../resilience/breaker-state.ts";

/** Served per ms is averaged over so long, and its best is of the last one to two times so long. */
const AVERAGED_MS = 2_000;
const BEST_MS = 30_000;
/** Who sheds for so long of that time is full. */
const FULL_MS = 3_000;
const ROOMY_TIMES = 2;
const BEST_PART = 0.95;
const LONGEST_QUEUE_MS = 100;
const STEADY_MS = 25_000;
/** As much above what was served as the cursor's loop lets pass. */
const PASSING_TIMES = 1.2;
const FEWEST_CALLS = 10;
const ENOUGH_CALLS = 50;
const TAIL = 0.9;

export interface Recovery {
  phase: BreakerPhase;
  averagePerMs: number;
  averagedAt: number;
  bestPerMs: number;
  nextBestPerMs: number;
  bestTurnsAt: number;
  /** For how long requests were shed since, and in the time before that counts, too. */
  shedMs: number;
  nextShedMs: number;
  tailMs: number;
  /** Calls of the ramp. */
  readonly window: LimitWindow;
}

export function createRecovery(): Recovery {
  return {
    phase: "closed",
    averagePerMs: 0,
    averagedAt: Number.NEGATIVE_INFINITY,
    bestPerMs: 0,
    nextBestPerMs: 0,
    bestTurnsAt: Number.NEGATIVE_INFINITY,
    shedMs: 0,
    nextShedMs: 0,
    tailMs: Number.POSITIVE_INFINITY,
    window: createLimitWindow(),
  };
}

/**
 * Takes a report of a region in, with what all of it serves now. False: the limit is not to learn from it, as
 * the upstream is away or coming back.
 */
export function followRecovery(
  recovery: Recovery,
  limit: RegionLimit,
  news: LoadNews,
  region: { readonly servedPerMs: number; readonly isolates: number; readonly isShedding: boolean },
  phase: BreakerPhase,
  now: number,
): boolean {
  const before = recovery.phase;
  recovery.phase = phase;
  if (phase === "closed") {
    if (before === "ramp") endRecovery(recovery, limit, now);
    noteBest(recovery, region.servedPerMs, region.isShedding, now);
    return true;
  }
  if (before === "closed") forgetStorm(limit);
  if (phase !== "ramp") return false;
  if (before !== phase) beginRamp(recovery, now);
  // The first answers tell what it takes while it is not full.
  if (recovery.window.servedCount < ENOUGH_CALLS) {
    fillWindow(recovery.window, news, now);
    if (recovery.window.servedCount >= FEWEST_CALLS) recovery.tailMs = tailOf(recovery.window, TAIL);
  }
  const tailMs = Number.isFinite(recovery.tailMs) ? recovery.tailMs : limit.baselineMs;
  if (recovery.bestPerMs === 0 || !Number.isFinite(tailMs)) return false;
  limit.exact = Math.min(limit.max, Math.max(LIMIT_FLOOR, wantedFor(recovery, tailMs, region.isolates)));
  if (wasFull(recovery)) limit.steadyUntil = now + STEADY_MS;
  return false;
}

function wantedFor(recovery: Recovery, tailMs: number, isolates: number): number {
  if (!wasFull(recovery)) {
    const needed = recovery.bestPerMs * tailMs;
    return (needed + slackOf(needed, isolates)) * ROOMY_TIMES;
  }
  const servedPerMs = BEST_PART * recovery.bestPerMs;
  const needed = servedPerMs * tailMs;
  return needed + Math.min(slackOf(needed, isolates), servedPerMs * LONGEST_QUEUE_MS);
}

/**
 * The share of arrivals that is shed, at least, while traffic comes back to an upstream that was full before;
 * 0 to 1.
 */
export function cutOfReturn(recovery: Recovery, arrivalsPerMs: number): number {
  if (!wasFull(recovery) || recovery.bestPerMs === 0 || arrivalsPerMs === 0) return 0;
  return Math.max(0, 1 - (PASSING_TIMES * recovery.bestPerMs) / arrivalsPerMs);
}

function wasFull({ shedMs }: Recovery): boolean {
  return shedMs >= FULL_MS;
}

function beginRamp(recovery: Recovery, now: number): void {
  emptyWindow(recovery.window, now);
  recovery.tailMs = Number.POSITIVE_INFINITY;
}

/** A trial cannot be judged any more, nor what was in flight be compared with what will be. */
function forgetStorm(limit: RegionLimit): void {
  limit.trial = null;
  limit.heldUntil = 0;
  limit.seen.length = 0;
}

function endRecovery(recovery: Recovery, limit: RegionLimit, now: number): void {
  const { tailMs } = recovery;
  emptyWindow(limit.window, now);
  if (!Number.isFinite(tailMs)) return;
  limit.baselineMs = tailMs;
  limit.nextBaselineMs = tailMs;
  limit.smoothTailMs = 0;
  limit.isUntried = false;
  limit.ceiling = limit.exact;
}

function noteBest(recovery: Recovery, servedPerMs: number, isShedding: boolean, now: number): void {
  const passedMs = Math.min(AVERAGED_MS, Math.max(0, now - recovery.averagedAt));
  const weight = passedMs / AVERAGED_MS;
  recovery.averagedAt = now;
  recovery.averagePerMs += weight * (servedPerMs - recovery.averagePerMs);
  if (now >= recovery.bestTurnsAt) {
    recovery.bestPerMs = recovery.nextBestPerMs;
    recovery.nextBestPerMs = 0;
    recovery.shedMs = recovery.nextShedMs;
    recovery.nextShedMs = 0;
    recovery.bestTurnsAt = now + BEST_MS;
  }
  if (isShedding) {
    recovery.shedMs += passedMs;
    recovery.nextShedMs += passedMs;
  }
  recovery.bestPerMs = Math.max(recovery.bestPerMs, recovery.averagePerMs);
  recovery.nextBestPerMs = Math.max(recovery.nextBestPerMs, recovery.averagePerMs);
}
