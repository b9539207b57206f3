// The load of one upstream as the hub of a region steers it. Isolates report what arrived and what became of
// it; the hub runs the loops on the sums, the very ones that an isolate runs alone, and answers each with the
// region's cursor and with its part of the permits and of the retries.
//
// A single isolate sees everything, and at once: its own limit is the better one, and the hub only keeps it
// for the next one. What is kept over a restart: load-status.ts.

import type { BreakerPhase } from "../resilience/breaker-state.ts";
import type { ShedLoop, ShedTally } from "../resilience/cursor.ts";
import {
  arrivalsPerMs,
  createShedLoop,
  createShedTally,
  forgetFates,
  isTickDue,
  placeCursor,
  tickCursor,
} from "../resilience/cursor.ts";
import { ISOLATE_START_LIMIT, START_LIMIT } from "../resilience/concurrency-limit.ts";
import type { RegionLimit } from "../resilience/region-limit.ts";
import {
  NO_TRIAL_MS,
  createRegionLimit,
  isKnownFull,
  learnLimit,
  limitOf,
} from "../resilience/region-limit.ts";
import type { RetryBudget } from "../resilience/retry-budget.ts";
import { createRetryBudget, depositOriginals, noteRetries } from "../resilience/retry-budget.ts";
import type { Hub } from "./hub.ts";
import { addArrivals } from "./load-arrivals.ts";
import { grantPermits, grantRetries, wholeOf } from "./load-grants.ts";
import type { LoadAsk, LoadEntry, LoadTerms, LoadVerdict } from "./load-protocol.ts";
import type { Recovery } from "./load-recovery.ts";
import { createRecovery, cutOfReturn, followRecovery } from "./load-recovery.ts";
import type { Demands, Share } from "./load-shares.ts";
import {
  expireDemands,
  heldBy,
  noteDemand,
  permitsOfOthers,
  reportedDemand,
  scatterOf,
  shareOf,
  sumDemands,
} from "./load-shares.ts";
import type { LoadStatus, StoredLoad } from "./load-status.ts";
import { STORE_EVERY_MS, isNotable, loadByRegion, writeLoadStatus } from "./load-status.ts";

/** Upstreams whose load one hub steers, at most. */
export const MAX_LOADS = 1_000;
/** A hub that has just begun does not know how many isolates there are: the first must not get everything. */
const YOUNG_MS = 3_000;
const ASSUMED_ISOLATES = 8;
/** What the first of many that may come gets at least. */
const FIRST_SHARE = 64;
/** News of what a ramp has refused comes as late as this. */
const SETTLE_MS = 1_200;
/** Of a limit that was stored, so much is taken for good after a restart. */
const RESTORED_PART = 0.8;
/** A single isolate's own limit may grow by so much until the next verdict. */
const ALONE_GROWTH = 1.5;
const LEAST_ALONE_GROWTH = 20;

export interface LoadBook {
  terms: LoadTerms;
  readonly shed: ShedLoop;
  readonly tally: ShedTally;
  /** null: it stays what is configured. */
  limit: RegionLimit | null;
  budget: RetryBudget | null;
  readonly demands: Demands;
  /** The breaker's generation at the last turn of the cursor's loop. */
  generation: number;
  readonly recovery: Recovery;
  /** Whether the upstream has refused calls, or left them unanswered, since then. */
  isPushedBack: boolean;
  /** What a single isolate has told of its own limit; null: there are several. */
  alone: number | null;
  /** Since when nobody else has spoken; infinite: there are several. */
  aloneSince: number;
  readonly stored: StoredLoad;
  logged: LoadStatus | null;
}

/** Takes what an isolate reports. Part of applying a batch: once. */
export function noteReportedLoad(hub: Hub, session: string, entry: LoadEntry, now: number): void {
  const book = loadBookOf(hub, entry.terms, now);
  if (book === null) return;
  noteDemand(book.demands, session, reportedDemand(book.demands.get(session), entry, now));
  addArrivals(book.tally, entry, book.demands.size);
  if (entry.refused + entry.throttled + entry.timedOut > 0) book.isPushedBack = true;
  if (book.budget !== null) {
    depositOriginals(book.budget, entry.originals, now);
    noteRetries(book.budget, entry.retries, now);
  }
  const { limit, demands } = book;
  const sums = sumDemands(demands);
  const phase = phaseOf(hub, book);
  const isLearning =
    limit !== null &&
    followRecovery(book.recovery, limit, entry, { ...sums, isShedding: book.shed.cut > 0 }, phase, now);
  if (isLearning && demands.size > 1) learnLimit(limit, entry, sums, now);
  turn(hub, book, now);
}

/** What an isolate is told about an upstream that it has traffic for. */
export function answerLoadAsk(hub: Hub, session: string, ask: LoadAsk, now: number): LoadVerdict | null {
  const book = loadBookOf(hub, ask.terms, now);
  if (book === null) return null;
  const { demands, budget, shed } = book;
  const { inflight, waiting } = ask;
  const known = demands.get(session) ?? { inflight, servedPerMs: 0 };
  noteDemand(demands, session, { ...known, at: now, waiting, goesBy: ask.limit });
  expireDemands(demands, now);
  turn(hub, book, now);
  const isYoung = now - hub.bootedAt < YOUNG_MS;
  followAlone(book, ask.limit, now);
  keepLoad(hub, book, now);
  const limit = regionLimitOf(book);
  const share = shareAmong(book, session, limit, isYoung);
  const fair = wholeOf(share.limit, hub.random);
  const permits = grantPermits(demands, session, limit, fair, isYoung ? 0 : inflight + waiting);
  const most = Math.ceil(shareAmong(book, session, ask.terms.max, isYoung).limit);
  const noRetries = budget === null || ask.terms.retryShare === null;
  const retries = noRetries ? 0 : grantRetries(demands, session, budget, share.part, hub.random, now);
  return {
    upstream: ask.terms.upstream,
    cursor: shed.cursor,
    fraction: shed.fraction,
    cut: shed.cut,
    limit: permits,
    regionLimit: limit,
    ceiling: limit < ask.terms.max ? most : permits,
    isFull: book.limit !== null && isKnownFull(book.limit, now),
    ...(demands.size > 1 && { isShared: true }),
    ...(book.limit !== null && now < book.limit.steadyUntil && { isReturning: true }),
    hasSpare: heldBy(demands) < limit && permits + permitsOfOthers(demands, session) < limit,
    retries,
  };
}

function shareAmong({ demands }: LoadBook, session: string, limit: number, isYoung: boolean): Share {
  const isolates = isYoung ? Math.min(ASSUMED_ISOLATES, Math.floor(limit / FIRST_SHARE)) : 1;
  return shareOf(demands, session, limit, isolates);
}

/**
 * One isolate alone: its limit is the region's, with room to grow. Not before others had the time to speak:
 * after a restart, or a silence, one of many is the first.
 */
function followAlone(book: LoadBook, own: number, now: number): void {
  const { limit, demands, terms } = book;
  book.aloneSince = demands.size === 1 ? Math.min(book.aloneSince, now) : Number.POSITIVE_INFINITY;
  book.alone = now - book.aloneSince >= YOUNG_MS ? own : null;
  if (limit === null || book.alone === null) return;
  const least = own < ISOLATE_START_LIMIT ? own + LEAST_ALONE_GROWTH : START_LIMIT;
  limit.exact = Math.min(terms.max, Math.max(own * ALONE_GROWTH, least));
}

/** What the hub knows of the load, for the log, for storage and for the other regions. */
export function loadStatusOf(book: LoadBook): LoadStatus {
  const { shed, limit, alone, terms } = book;
  const baselineMs = limit !== null && Number.isFinite(limit.baselineMs) ? limit.baselineMs : null;
  const shown = alone === null ? regionLimitOf(book) : Math.min(alone, terms.max);
  return { cursor: shed.cursor, cut: shed.cut, limit: shown, baselineMs };
}

function keepLoad(hub: Hub, book: LoadBook, now: number): void {
  const status = loadStatusOf(book);
  const { upstream } = book.terms;
  if (isNotable(book.logged, status)) {
    const { inflight, isolates } = sumDemands(book.demands);
    if (book.logged !== null) {
      hub.loadChanges.push({ upstream, ...status, inflight: Math.round(inflight), isolates });
    }
    book.logged = status;
  }
  const { stored } = book;
  if (now - stored.at < STORE_EVERY_MS || !isNotable(stored.status, status)) return;
  stored.status = status;
  stored.at = now;
  writeLoadStatus(hub, upstream, status, now);
}

function loadBookOf(hub: Hub, terms: LoadTerms, now: number): LoadBook | null {
  const known = hub.loads.get(terms.upstream);
  if (known !== undefined) {
    if (!sameTerms(known.terms, terms)) changeTerms(known, terms);
    return known;
  }
  if (hub.loads.size >= MAX_LOADS) return null;
  const book: LoadBook = {
    terms,
    shed: createShedLoop(),
    tally: createShedTally(),
    limit: createLimit(terms),
    budget: createBudget(terms),
    demands: new Map(),
    generation: 0,
    recovery: createRecovery(),
    isPushedBack: false,
    alone: null,
    aloneSince: Number.POSITIVE_INFINITY,
    stored: { status: null, at: now },
    logged: null,
  };
  const stored = loadByRegion(hub, terms.upstream).get(hub.region);
  if (stored !== undefined) restore(book, stored, now);
  hub.loads.set(terms.upstream, book);
  return book;
}

/** Goes on where the stored load was, a little below. */
function restore(book: LoadBook, status: LoadStatus, now: number): void {
  book.stored.status = status;
  book.logged = status;
  const { limit, terms } = book;
  if (limit === null || status.limit >= terms.max) return;
  limit.exact = Math.max(1, RESTORED_PART * status.limit);
  limit.ceiling = status.limit;
  // First it gets back to where it was: a trial on the way there would take the fifth for all there is.
  limit.nextTrialAt = now + NO_TRIAL_MS;
  if (status.baselineMs === null) return;
  limit.baselineMs = status.baselineMs;
  limit.nextBaselineMs = status.baselineMs;
}

function createLimit({ max, adaptive }: LoadTerms): RegionLimit | null {
  return adaptive ? createRegionLimit(max) : null;
}

/** Requests that the whole region may have in flight. */
export function regionLimitOf({ limit, terms }: LoadBook): number {
  return limit === null || !terms.adaptive ? terms.max : limitOf(limit);
}

function createBudget({ retryShare }: LoadTerms): RetryBudget | null {
  return retryShare === null ? null : createRetryBudget(retryShare);
}

/** Another configuration, maybe for the while of a deploy: what has been learned and what was spent stays. */
function changeTerms(book: LoadBook, terms: LoadTerms): void {
  book.terms = terms;
  book.limit ??= createLimit(terms);
  if (book.limit !== null) book.limit.max = terms.max;
  book.budget ??= createBudget(terms);
  if (book.budget !== null && terms.retryShare !== null) book.budget.share = terms.retryShare;
}

function sameTerms(one: LoadTerms, other: LoadTerms): boolean {
  return one.max === other.max && one.adaptive === other.adaptive && one.retryShare === other.retryShare;
}

function phaseOf(hub: Hub, { terms }: LoadBook): BreakerPhase {
  return hub.upstreams.get(terms.upstream)?.region.breaker.state.phase ?? "closed";
}

/**
 * A turn of the cursor's loop, when it is due. What was refused in another phase is no evidence in this
 * one, and what a ramp refuses none of what the upstream can take: only when that pushes back it is shed
 * for, too.
 */
function turn(hub: Hub, book: LoadBook, now: number): void {
  if (!isTickDue(book.shed, book.tally, now)) return;
  const state = hub.upstreams.get(book.terms.upstream)?.region.breaker.state;
  const generation = state?.generation ?? 0;
  const isSettling = state?.phase === "closed" && Math.abs(now - state.since) < SETTLE_MS;
  const isOtherPhase = generation !== book.generation || isSettling;
  book.generation = generation;
  if (isOtherPhase) {
    forgetFates(book.shed);
    book.isPushedBack = false;
  }
  const isRamp = state?.phase === "ramp" && !book.isPushedBack;
  const holding = state?.phase === "open" || state?.phase === "half-open" || isOtherPhase || isRamp;
  const divided = scatterOf(book.demands, regionLimitOf(book));
  const isReturning = state?.phase === "ramp" || (state?.phase === "closed" && isOtherPhase);
  const least = isReturning ? cutOfReturn(book.recovery, arrivalsPerMs(book.shed, book.tally, now)) : 0;
  tickCursor(book.shed, book.tally, now, holding, 1, divided);
  if (least <= book.shed.cut) return;
  book.shed.cut = least;
  placeCursor(book.shed, least, true);
}
