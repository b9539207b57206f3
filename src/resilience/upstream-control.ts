// Everything that protects one upstream, as plain state: breaker, shedding cursor, concurrency limit,
// retry budget, latencies. The isolate feeds it arrivals and results; while the region's hub steers, its
// verdicts move it (`followLoad`), else its own loops do. Nothing here waits, sends or reads a clock.

import type { Breaker, BreakerOptions } from "./breaker.ts";
import { admitCall, createBreaker, noteRetryAfter, phaseAt, recordResult } from "./breaker.ts";
import type { Bulkhead } from "./bulkhead.ts";
import { createBulkhead, enterBulkhead, leaveBulkhead, resizeBulkhead } from "./bulkhead.ts";
import { AimdLimit } from "./aimd-limit.ts";
import type { ConcurrencyLimit } from "./concurrency-limit.ts";
import { SampleFate, createFixedLimit } from "./concurrency-limit.ts";
import { isBeyondLimit, isCrowdedOut, restsUntil } from "./crowding.ts";
import type { ShedLoop, ShedTally } from "./cursor.ts";
import { createShedLoop, createShedTally, passesCursor } from "./cursor.ts";
import type { DeadlineGuard } from "./deadline.ts";
import { createDeadlineGuard } from "./deadline.ts";
import type { LatencyHistogram } from "./latency.ts";
import { createLatencyHistogram, recordLatency } from "./latency.ts";
import { LEVEL_COUNT } from "./level.ts";
import type { LoadSums } from "./load-sums.ts";
import { createLoadSums, noteOriginalLoad, noteSample } from "./load-sums.ts";
import { Outcome } from "./outcome.ts";
import { restPermit } from "./permits.ts";
import type { RandomSource } from "./random.ts";
import { nextRandom } from "./random.ts";
import type { RegionalLoad } from "./regional-load.ts";
import { createRegionalLoad, isLoadRegional, takeRegionalRetry } from "./regional-load.ts";
import type { RetryBudget } from "./retry-budget.ts";
import { createRetryBudget, depositOriginal, noteRetries, takeRetry } from "./retry-budget.ts";
import type { TargetLoads } from "./target-choice.ts";
import { createTargetLoads } from "./target-choice.ts";
import type { TargetEjections } from "./target-ejection.ts";
import { createTargetEjections, followTargets, noteTargetResult } from "./target-ejection.ts";
import { ceilingOf, followRamp, isOwnTickDue, runTick } from "./upstream-loops.ts";

export interface UpstreamOptions {
  readonly timeoutMs: number;
  readonly breaker: BreakerOptions | null;
  readonly concurrency: {
    readonly max: number;
    readonly waiting: number;
    readonly maxWaitMs: number;
    readonly adaptive: boolean;
  };
  readonly retryBudget: number | null;
  readonly targetWeights: readonly number[];
}

export interface UpstreamControl {
  readonly options: UpstreamOptions;
  readonly breaker: Breaker | null;
  readonly bulkhead: Bulkhead;
  readonly limit: ConcurrencyLimit;
  readonly shed: ShedLoop;
  readonly tally: ShedTally;
  /** What the region's hub has not heard, and what it has decided. */
  readonly sums: LoadSums;
  readonly regional: RegionalLoad;
  readonly latency: LatencyHistogram;
  readonly retryBudget: RetryBudget | null;
  readonly deadlines: DeadlineGuard;
  readonly targets: TargetLoads;
  /** null: it has one target. */
  readonly ejections: TargetEjections | null;
  /** Median latency in whole ms, and of how many calls it is, as of the last tick. */
  medianMs: number;
  latencies: number;
  rampPlacedAt: number;
  /** When what is expired was last put away, and what is known of latencies brought up to date. */
  keptAt: number;
  /** The breaker's generation at the last tick. */
  tickGeneration: number;
  /** When the first request went on to be tried. */
  begunAt: number;
  /** When the last request for it came, and when the last call went well. */
  arrivedAt: number;
  servedAt: number;
}

/** What one try came to, for `finishTry`. */
export interface TryResult {
  /** Index of the target that was called. */
  readonly target: number;
  readonly outcome: Outcome;
  /** null: says nothing about capacity (a refused connection, a cancelled request). */
  readonly fate: SampleFate | null;
  readonly latencyMs: number;
  readonly startedAt: number;
  readonly inflight: number;
  /** When the upstream asked to be called again, or 0. */
  readonly retryAfterAt: number;
}

/** Lets a permit or a lease outlive the try that holds it by this much before it is taken back. */
export const LEASE_SLACK_MS = 1000;

export function createUpstreamControl(options: UpstreamOptions): UpstreamControl {
  const { max, waiting, maxWaitMs, adaptive } = options.concurrency;
  const targets = createTargetLoads(options.targetWeights);
  return {
    options,
    breaker: options.breaker === null ? null : createBreaker(options.breaker),
    bulkhead: createBulkhead({ max, waiting, maxWaitMs, permitTtlMs: options.timeoutMs + LEASE_SLACK_MS }),
    limit: adaptive ? new AimdLimit(max) : createFixedLimit(max),
    shed: createShedLoop(),
    tally: createShedTally(),
    sums: createLoadSums(),
    regional: createRegionalLoad(),
    latency: createLatencyHistogram(),
    retryBudget: options.retryBudget === null ? null : createRetryBudget(options.retryBudget),
    deadlines: createDeadlineGuard(),
    targets,
    ejections: createTargetEjections(targets),
    medianMs: 0,
    latencies: 0,
    rampPlacedAt: 0,
    keptAt: Number.NEGATIVE_INFINITY,
    tickGeneration: 0,
    begunAt: Number.NEGATIVE_INFINITY,
    arrivedAt: Number.NEGATIVE_INFINITY,
    servedAt: Number.NEGATIVE_INFINITY,
  };
}

/** A request of this level has come for the upstream, whatever becomes of it. Runs the tick when due. */
export function noteArrival(control: UpstreamControl, level: number, now: number): void {
  control.arrivedAt = now;
  if (hasPhaseChanged(control) || isOwnTickDue(control, now)) runTick(control, now);
  else if (control.breaker !== null && control.breaker.state.phase === "ramp") followRamp(control, now);
  control.tally.arrivals[level]++;
}

/** Work for the upstream is about to come: its region's verdicts are wanted, and nothing is counted yet. */
export function expectArrivals(control: UpstreamControl, now: number): void {
  control.arrivedAt = now;
}

/** Runs what is due though nothing has arrived, so that a reader sees no stale cursor and no stale target. */
export function refreshControl(control: UpstreamControl, now: number): void {
  refreshTargets(control, now);
  if (isOwnTickDue(control, now)) runTick(control, now);
}

/** Puts back what has been ejected for long enough; before a target is chosen. */
export function refreshTargets({ ejections }: UpstreamControl, now: number): void {
  if (ejections !== null) followTargets(ejections, now);
}

/** Whether the shedding cursor lets it through; `position` is its place within the level, in [0, 1). */
export function admitLevel(control: UpstreamControl, level: number, position: number): boolean {
  return passesCursor(control.shed, level, position);
}

/** The request went on to be tried: it is an original that retries may be measured by. */
export function noteOriginal(control: UpstreamControl, now: number): void {
  noteOriginalLoad(control.sums, now);
  if (control.begunAt === Number.NEGATIVE_INFINITY) control.begunAt = now;
  if (control.retryBudget !== null) depositOriginal(control.retryBudget, now);
}

/** The fate of a request is known. Refusals by the caller's own limits are not reported at all. */
export function settleRequest(control: UpstreamControl, ok: boolean): void {
  control.tally.settled++;
  if (ok) control.tally.ok++;
}

/** A sign of overload was seen: a full bulkhead, a wait that was too long. */
export function noteOverload(control: UpstreamControl): void {
  control.tally.signals++;
}

/** Asks the breaker for one call; see `admitCall`. Without a breaker every call is admitted. */
export function admitTry(control: UpstreamControl, now: number): number {
  if (control.breaker === null) return 0;
  return admitCall(control.breaker, now, control.bulkhead.permitTtlMs);
}

/** A breaker token goes back unused: the try was not made. */
export function cancelTry(control: UpstreamControl, token: number, now: number): void {
  if (control.breaker !== null) recordResult(control.breaker, token, Outcome.ignored, false, now, 0);
}

export function takeUpstreamPermit(control: UpstreamControl, trafficClass: number, now: number): number {
  return enterBulkhead(control.bulkhead, now, trafficClass);
}

/**
 * Takes the result of a try in and returns its permit. True: it was refused as one of too many, while
 * others go well; see crowding.ts.
 */
export function finishTry(
  control: UpstreamControl,
  token: number,
  permit: number,
  result: TryResult,
  now: number,
  random: RandomSource,
): boolean {
  const { breaker, bulkhead, limit, regional } = control;
  const isBeyond = isBeyondLimit(result, limit.current, bulkhead.ceiling);
  if (result.outcome === Outcome.ok) {
    recordLatency(control.latency, result.latencyMs);
    control.servedAt = now;
  }
  const isCut = result.fate !== null && !isBeyond && observeTry(control, result, result.fate, now);
  const isCrowded = isCut || isBeyond || isCrowdedOut(result, regional, control, now);
  let outcome: Outcome = isCrowded ? Outcome.ignored : result.outcome;
  if (result.fate !== null && result.fate > 0) control.tally.signals++;
  if (isAnsweredByEjection(control, outcome, result, now, random)) outcome = Outcome.ignored;
  if (breaker !== null) recordBreaker(control, breaker, token, outcome, result, now, random);
  bulkhead.ceiling = ceilingOf(control, now);
  if (limit.current !== bulkhead.permits.limit) resizeBulkhead(bulkhead, limit.current, now);
  // What was in flight beyond it was refused: nobody may take its place.
  if (isCut) bulkhead.draining = 0;
  const rests = isCrowded && !isCut && !isBeyond && regional.isFull;
  if (rests) restPermit(bulkhead.permits, permit, restsUntil(control.medianMs, now));
  else leaveBulkhead(bulkhead, permit, now);
  return isCrowded;
}

/** True when the isolate's own limit was cut: see `observe`. */
function observeTry(control: UpstreamControl, result: TryResult, fate: SampleFate, now: number): boolean {
  const { sums, limit, bulkhead, regional } = control;
  const { latencyMs, inflight, startedAt } = result;
  noteSample(sums, latencyMs, inflight, fate);
  // Where the region knows how much there is, single refusals teach an isolate nothing about its part.
  if (regional.isFull && fate === SampleFate.refused) return false;
  return limit.observe(latencyMs, inflight, bulkhead.permits.inUse, startedAt, fate, now);
}

/**
 * Whether a try that is not the first may be scheduled; it is counted then, its backoff included. Only
 * while all is well: the breaker is closed and the cursor cuts nothing. `isPutBack`: it goes back in line for
 * a permit that somebody less important would get, and adds nothing to what is too much; then the cursor
 * does not matter. The budget is the region's while that steers.
 */
export function scheduleRetry(control: UpstreamControl, now: number, isPutBack = false): boolean {
  const { breaker, retryBudget, regional, shed } = control;
  const phase = breaker === null ? "closed" : phaseAt(breaker, now);
  if (retryBudget === null || phase !== "closed") return false;
  if (shed.cursor < LEVEL_COUNT && !isPutBack) return false;
  const isRegional = isLoadRegional(regional, now);
  const taken = isRegional ? takeRegionalRetry(regional) : takeRetry(retryBudget, now);
  // The own budget knows of all: it goes on when the hub is gone.
  if (taken && isRegional) noteRetries(retryBudget, 1, now);
  if (taken) control.sums.retries++;
  return taken;
}

/**
 * Feeds the target's ejection. A failure that it has answered by taking the target out is none of the
 * upstream's, or one bad target would open the breaker for all. Probes are too few to judge targets by.
 */
function isAnsweredByEjection(
  { breaker, ejections }: UpstreamControl,
  outcome: Outcome,
  result: TryResult,
  now: number,
  random: RandomSource,
): boolean {
  if (ejections === null || breaker?.state.phase === "half-open") return false;
  return noteTargetResult(ejections, result, outcome, now, random);
}

function recordBreaker(
  control: UpstreamControl,
  breaker: Breaker,
  token: number,
  outcome: Outcome,
  result: TryResult,
  now: number,
  random: RandomSource,
): void {
  const before = breaker.state.phase;
  const slowMs = breaker.options.slowCallMs;
  const slow = slowMs !== null && result.latencyMs > slowMs;
  if (slow) control.tally.signals++;
  if (result.retryAfterAt > now) noteRetryAfter(breaker, result.retryAfterAt);
  // Only an opening is jittered, and a good call opens nothing.
  const jitter = outcome === Outcome.ok && !slow ? 0 : nextRandom(random);
  recordResult(breaker, token, outcome, slow, now, jitter);
  if (breaker.state.phase !== before) followBreaker(control, breaker, now);
}

/** The breaker has moved. */
function followBreaker(control: UpstreamControl, breaker: Breaker, now: number): void {
  if (breaker.state.phase === "ramp" && !isLoadRegional(control.regional, now)) {
    control.limit.forget();
    resizeBulkhead(control.bulkhead, control.limit.current, now);
  }
  runTick(control, now);
}

function hasPhaseChanged({ breaker, tickGeneration }: UpstreamControl): boolean {
  return breaker !== null && breaker.state.generation !== tickGeneration;
}
