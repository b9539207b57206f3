// The loops around one upstream: an isolate's own, which run while it is alone, and how it follows the
// region's hub while that steers. Lazy functions of (state, now): called with arrivals, results and
// verdicts.

import { isHeld, rampShare } from "./breaker-ramp.ts";
import { resizeBulkhead } from "./bulkhead.ts";
import type { ShedLoop } from "./cursor.ts";
import { TICK_MS, arrivalsPerSecond, followArrivals, isTickDue, placeCursor, tickCursor } from "./cursor.ts";
import { ageLatencies, latencyAt } from "./latency.ts";
import { COHORTS_PER_CLASS, LEVEL_COUNT } from "./level.ts";
import type { LoadNews } from "./load-sums.ts";
import { takeLoadNews } from "./load-sums.ts";
import { reclaimExpired } from "./permits.ts";
import type { LoadVerdict } from "./regional-load.ts";
import { expectLoadVerdict, isLoadRegional, takeLoadVerdict } from "./regional-load.ts";
import type { UpstreamControl } from "./upstream-control.ts";
import { takeBusyMs } from "./waiting-line.ts";

const RAMP_STEP_MS = 100;
/** Without its hub an isolate gets no more than so many times what it had last, or so many requests. */
const ALONE_TIMES = 2;
const LEAST_ALONE = 20;
/** Of what arrives, for the most important class while a ramp is held: a quarter at most. */
const HELD_CRITICAL_SHARE = 0.25;
/** A ramping upstream may always get this many: with little traffic, shares mean nothing. */
export const RAMP_FLOOR_PER_SECOND = 5;

/** What the region has not heard of the load; from now on its verdict is due. null: nothing. */
export function takeLoad(control: UpstreamControl, now: number): LoadNews | null {
  keepHouse(control, now);
  expectLoadVerdict(control.regional, now);
  if (isLoadRegional(control.regional, now)) followArrivals(control.shed, control.tally, now);
  return takeLoadNews(control.sums, control.tally, now);
}

/** Takes the region's word in: cursor, permits, retries. */
export function followLoad(control: UpstreamControl, verdict: LoadVerdict, now: number): void {
  const { bulkhead, limit, regional } = control;
  takeLoadVerdict(regional, control.shed, verdict, control.sums.retries);
  if (control.breaker?.state.phase === "ramp") placeOnRamp(control, now);
  if (regional.isFull) limit.obey(verdict.limit);
  else limit.follow(verdict.limit);
  bulkhead.ceiling = ceilingOf(control, now);
  bulkhead.most = regional.ceiling;
  resizeBulkhead(bulkhead, limit.current, now);
}

/** While the region steers, the loop's turns are the hub's; the house is kept all the same. */
export function isOwnTickDue({ shed, tally, regional, keptAt }: UpstreamControl, now: number): boolean {
  if (isLoadRegional(regional, now)) return now - keptAt >= TICK_MS;
  return isTickDue(shed, tally, now);
}

/**
 * A turn of what is due: the cursor, or its place on a ramp; what has expired; what is known of latencies.
 */
export function runTick(control: UpstreamControl, now: number): void {
  const { breaker, shed, tally, regional } = control;
  keepHouse(control, now);
  const generation = breaker?.state.generation ?? 0;
  const isOtherPhase = generation !== control.tickGeneration;
  control.tickGeneration = generation;
  if (isLoadRegional(regional, now)) {
    // What was cut in another phase the hub corrects; a ramp begins at once.
    if (breaker?.state.phase === "ramp") placeOnRamp(control, now);
    return;
  }
  if (regional.limit !== 0) leaveRegion(control, now);
  const phase = breaker === null ? "closed" : breaker.state.phase;
  // What was refused in another phase is no evidence in this one.
  // What a ramp refuses is none either of what the upstream can take, unless that pushes back.
  const isOnlyRamp = phase === "ramp" && tally.signals === 0;
  const holding = phase === "open" || phase === "half-open" || isOtherPhase || isOnlyRamp;
  if (phase === "ramp" && isOtherPhase) shed.cut = 0;
  tickCursor(shed, tally, now, holding, rampPassing(control, now));
}

/** Whether requests stand in line here for want of permits that the region has to spare. */
export function wantsPermits({ regional, bulkhead }: UpstreamControl, now: number): boolean {
  const { line, permits } = bulkhead;
  // What the isolate's own limit holds back, no hub can give.
  const isBound = permits.limit >= regional.limit;
  return regional.hasSpare && isBound && line.length > 0 && isLoadRegional(regional, now);
}

/** Permits that are never passed: see bulkhead.ts. */
export function ceilingOf({ limit, regional }: UpstreamControl, now: number): number {
  if (!isLoadRegional(regional, now)) return limit.ceiling;
  const isTight = regional.isFull || regional.isReturning;
  return Math.min(limit.ceiling, isTight ? regional.limit : regional.ceiling);
}

/** Permits of all isolates of the region, as far as this one knows: at least its own. */
export function regionPermitsOf({ regional, bulkhead }: UpstreamControl, now: number): number {
  const { limit } = bulkhead.permits;
  return isLoadRegional(regional, now) ? Math.max(limit, regional.regionLimit) : limit;
}

/**
 * The hub is gone: the isolate's own loops go on from where the region's were. Many isolates that each try
 * how far they can go would queue without end, so none goes far.
 */
function leaveRegion(control: UpstreamControl, now: number): void {
  const { regional, limit, bulkhead } = control;
  const most = Math.max(LEAST_ALONE, ALONE_TIMES * regional.limit);
  regional.limit = 0;
  regional.isFull = false;
  regional.isShared = false;
  regional.isReturning = false;
  regional.until = now;
  limit.follow(null, most);
  bulkhead.ceiling = limit.ceiling;
  bulkhead.most = control.options.concurrency.max;
}

/**
 * The hub has not answered. An isolate that it never told anything has seen the upstream only as it is now,
 * maybe full: were each new one to begin with what nobody else uses, queues would grow from one to the next.
 */
export function standAlone(control: UpstreamControl, now: number): void {
  const { regional, limit, bulkhead } = control;
  if (regional.until !== Number.NEGATIVE_INFINITY) return;
  regional.until = now;
  limit.beCareful(LEAST_ALONE, now);
  resizeBulkhead(bulkhead, limit.current, now);
}

function keepHouse(control: UpstreamControl, now: number): void {
  control.keptAt = now;
  control.tally.lineBusyMs += takeBusyMs(control.bulkhead.line, now);
  ageLatencies(control.latency, now);
  control.medianMs = Math.round(latencyAt(control.latency, 0.5));
  control.latencies = Math.floor(control.latency.total);
  reclaimExpired(control.bulkhead.permits, now);
  for (const inflight of control.targets.inflight) reclaimExpired(inflight, now);
}

/**
 * The share that a ramp lets pass: the breaker's, but never less than a trickle. While it is held, that is
 * for the most important class, as long as it is a small part of what arrives.
 */
function rampPassing({ breaker, shed, tally }: UpstreamControl, now: number): number {
  if (breaker === null || breaker.state.phase !== "ramp") return 1;
  const held = isHeld(breaker.state) ? Math.min(HELD_CRITICAL_SHARE, criticalPart(shed)) : 0;
  const share = held > 0 ? held : rampShare(breaker, now);
  if (share >= 1) return 1;
  const perSecond = arrivalsPerSecond(shed, tally);
  return perSecond === 0 ? share : Math.min(1, Math.max(share, RAMP_FLOOR_PER_SECOND / perSecond));
}

/** The most important class, as a part of what arrived of late. */
function criticalPart({ histogram }: ShedLoop): number {
  let critical = 0;
  let total = 0;
  for (let level = 0; level < LEVEL_COUNT; level++) {
    total += histogram[level];
    if (level < COHORTS_PER_CLASS) critical += histogram[level];
  }
  return total === 0 ? 0 : critical / total;
}

/** Moves the cursor along a ramp between two turns. */
export function followRamp(control: UpstreamControl, now: number): void {
  if (control.breaker === null || now - control.rampPlacedAt < RAMP_STEP_MS) return;
  placeOnRamp(control, now);
}

function placeOnRamp(control: UpstreamControl, now: number): void {
  control.rampPlacedAt = now;
  placeCursor(control.shed, Math.max(control.shed.cut, 1 - rampPassing(control, now)), true);
}
