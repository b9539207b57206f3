// Everything that protects one upstream, as plain state: breaker, shedding cursor, concurrency limit,
// retry budget, latencies. Whoever is in charge of the upstream feeds it arrivals and results and runs
// its tick; today that is the isolate. Nothing here waits, sends or reads a clock.

import type { Breaker, BreakerOptions } from "./breaker.ts";
import { admitCall, createBreaker, noteRetryAfter, phaseAt, rampShare, recordResult } from "./breaker.ts";
import type { Bulkhead } from "./bulkhead.ts";
import { createBulkhead, enterBulkhead, leaveBulkhead, resizeBulkhead } from "./bulkhead.ts";
import { AimdLimit } from "./aimd-limit.ts";
import type { ConcurrencyLimit, SampleFate } from "./concurrency-limit.ts";
import { createFixedLimit } from "./concurrency-limit.ts";
import type { ShedLoop, ShedTally } from "./cursor.ts";
import {
  arrivalsPerSecond,
  createShedLoop,
  createShedTally,
  isTickDue,
  passesCursor,
  placeCursor,
  tickCursor,
} from "./cursor.ts";
import type { DeadlineGuard } from "./deadline.ts";
import { createDeadlineGuard } from "./deadline.ts";
import type { LatencyHistogram } from "./latency.ts";
import { ageLatencies, createLatencyHistogram, latencyAt, recordLatency } from "./latency.ts";
import { LEVEL_COUNT } from "./level.ts";
import { Outcome } from "./outcome.ts";
import { reclaimExpired } from "./permits.ts";
import type { RandomSource } from "./random.ts";
import { nextRandom } from "./random.ts";
import type { RetryBudget } from "./retry-budget.ts";
import { createRetryBudget, depositOriginal } from "./retry-budget.ts";
import type { TargetLoads } from "./target-choice.ts";
import { createTargetLoads } from "./target-choice.ts";
import type { TargetEjections } from "./target-ejection.ts";
import { createTargetEjections, followTargets, noteTargetResult } from "./target-ejection.ts";
import { takeBusyMs } from "./waiting-line.ts";

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
  /** The breaker's generation at the last tick. */
  tickGeneration: number;
  /** When the last request for it came. */
  arrivedAt: number;
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
const RAMP_STEP_MS = 100;
/** A ramping upstream may always get this many: with little traffic, shares mean nothing. */
export const RAMP_FLOOR_PER_SECOND = 5;

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
    latency: createLatencyHistogram(),
    retryBudget: options.retryBudget === null ? null : createRetryBudget(options.retryBudget),
    deadlines: createDeadlineGuard(),
    targets,
    ejections: createTargetEjections(targets),
    medianMs: 0,
    latencies: 0,
    rampPlacedAt: 0,
    tickGeneration: 0,
    arrivedAt: Number.NEGATIVE_INFINITY,
  };
}

/** A request of this level has come for the upstream, whatever becomes of it. Runs the tick when due. */
export function noteArrival(control: UpstreamControl, level: number, now: number): void {
  control.arrivedAt = now;
  if (hasPhaseChanged(control) || isTickDue(control.shed, control.tally, now)) runTick(control, now);
  else if (control.breaker !== null && control.breaker.state.phase === "ramp") followRamp(control, now);
  control.tally.arrivals[level]++;
}

/** Runs what is due though nothing has arrived, so that a reader sees no stale cursor and no stale target. */
export function refreshControl(control: UpstreamControl, now: number): void {
  refreshTargets(control, now);
  if (isTickDue(control.shed, control.tally, now)) runTick(control, now);
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
  return admitCall(control.breaker, now, control.options.timeoutMs + LEASE_SLACK_MS);
}

/** A breaker token goes back unused: the try was not made. */
export function cancelTry(control: UpstreamControl, token: number, now: number): void {
  if (control.breaker !== null) recordResult(control.breaker, token, Outcome.ignored, false, now, 0);
}

export function takeUpstreamPermit(control: UpstreamControl, now: number): number {
  return enterBulkhead(control.bulkhead, now);
}

/** Takes the result of a try in and returns its permit. */
export function finishTry(
  control: UpstreamControl,
  token: number,
  permit: number,
  result: TryResult,
  now: number,
  random: RandomSource,
): void {
  const { breaker, bulkhead, limit } = control;
  if (result.outcome === Outcome.ok) recordLatency(control.latency, result.latencyMs);
  let { outcome } = result;
  if (result.fate !== null) {
    const tooMany = limit.observe(
      result.latencyMs,
      result.inflight,
      bulkhead.permits.inUse,
      result.startedAt,
      result.fate,
      now,
    );
    if (tooMany) outcome = Outcome.ignored;
    if (result.fate > 0) control.tally.signals++;
  }
  if (isAnsweredByEjection(control, outcome, result, now, random)) outcome = Outcome.ignored;
  if (breaker !== null) recordBreaker(control, breaker, token, outcome, result, now, random);
  if (limit.current !== bulkhead.permits.limit) bulkhead.permits.limit = limit.current;
  bulkhead.criticalExtra = limit.criticalExtra;
  leaveBulkhead(bulkhead, permit, now);
}

/** Whether everything is well enough for a try that is not the first. */
export function mayRetry(control: UpstreamControl, now: number): boolean {
  const phase = control.breaker === null ? "closed" : phaseAt(control.breaker, now);
  return control.retryBudget !== null && phase === "closed" && control.shed.cursor >= LEVEL_COUNT;
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
  if (breaker.state.phase === before) return;
  if (breaker.state.phase === "ramp") {
    control.limit.forget();
    resizeBulkhead(control.bulkhead, control.limit.current, now);
  }
  runTick(control, now);
}

function hasPhaseChanged({ breaker, tickGeneration }: UpstreamControl): boolean {
  return breaker !== null && breaker.state.generation !== tickGeneration;
}

function runTick(control: UpstreamControl, now: number): void {
  const { breaker, shed, tally } = control;
  const phase = breaker === null ? "closed" : breaker.state.phase;
  tally.lineBusyMs += takeBusyMs(control.bulkhead.line, now);
  ageLatencies(control.latency, now);
  control.medianMs = Math.round(latencyAt(control.latency, 0.5));
  control.latencies = Math.floor(control.latency.total);
  reclaimExpired(control.bulkhead.permits, now);
  for (const inflight of control.targets.inflight) reclaimExpired(inflight, now);
  // What was refused in another phase is no evidence in this one.
  const generation = breaker?.state.generation ?? 0;
  const holding = phase === "open" || phase === "half-open" || generation !== control.tickGeneration;
  if (phase === "ramp" && generation !== control.tickGeneration) shed.cut = 0;
  control.tickGeneration = generation;
  tickCursor(shed, tally, now, holding, rampPassing(control, now));
}

/** The share that a ramp lets pass: the breaker's, but never less than a trickle. */
function rampPassing({ breaker, shed, tally }: UpstreamControl, now: number): number {
  const share = breaker === null ? 1 : rampShare(breaker, now);
  if (share >= 1) return 1;
  const perSecond = arrivalsPerSecond(shed, tally);
  return perSecond === 0 ? share : Math.min(1, Math.max(share, RAMP_FLOOR_PER_SECOND / perSecond));
}

function followRamp(control: UpstreamControl, now: number): void {
  if (control.breaker === null || now - control.rampPlacedAt < RAMP_STEP_MS) return;
  control.rampPlacedAt = now;
  placeCursor(control.shed, Math.max(control.shed.cut, 1 - rampPassing(control, now)), true);
}
