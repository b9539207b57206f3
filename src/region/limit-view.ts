// What one isolate knows of a limit for one key, and whether a request may pass on that. Ring 0: no I/O.
//
//   a lease from the hub is used up first; far from the limit a little is free without one:
//       free = FREE_PART * (units - view) / isolates      at most once in LEASE_MS
//   view = what the hub knew + reported and not acknowledged + not reported        added, never maxed
//
// Without a lease and without anything free the hub has to be asked. When it does not answer, a soft limit
// goes by the view; a capped one passes nothing without rights, because its cap must hold under any fault.

import { LEASE_MS } from "../hub/limit-book.ts";
import type { LimitTerms, ReturnEntry, UseEntry } from "../hub/protocol.ts";
import type { Demand } from "../hub/demand.ts";
import { createDemand, demandPerSecond, noteDemand } from "../hub/demand.ts";
import { MAX_CELLS, cellsOf } from "../hub/window-cells.ts";
import { spanAt } from "../crdt/timed-cells.ts";

/** Part of what is left of a limit that all isolates together may use before the hub has been asked. */
const FREE_PART = 0.25;
/** A refusal is remembered for at most this long before the hub is asked again. */
export const DENY_MS = 250;
/** Rights that have not been touched for this long go back. */
export const RETURN_AFTER_MS = 5_000;
/** A lease below this part of the last one is renewed in the background. */
const PREFETCH_PART = 0.25;
/** More cells than a window has; a report carries those of many keys. */
const MAX_PENDING = MAX_CELLS + 2;
/** A lease is not renewed in the background more often than this. */
const PREFETCH_MS = 50;

interface PendingUse {
  readonly cell: number;
  readonly at: number;
  units: number;
}

export interface LimitView {
  terms: LimitTerms;
  readonly cellMs: number;
  /** Units that may be used without asking, until when, and of which period where it is capped. */
  lease: number;
  leaseUntil: number;
  leasePeriod: number;
  lastLease: number;
  free: number;
  freeAt: number;
  /** Used and not reported, by cell. */
  pending: PendingUse[];
  /** Reported and not acknowledged. */
  inFlight: number;
  /** Given back after it was reported: the next uses are paid from it. */
  credit: number;
  /** What the hub knew, when. */
  base: number;
  baseAt: number;
  resetAt: number;
  denyUntil: number;
  retryAt: number;
  readonly demand: Demand;
  /** What the last request needed. */
  need: number;
  /** Units taken without a lease, ever: the hub has heard of none that were taken since it was asked. */
  unleased: number;
  /** Asks are numbered, those of their own and those along with a sync. */
  asks: number;
  /** The newest one that is answered: an older one's answer comes too late. */
  answered: number;
  asking: boolean;
  /** The hub's last answer by its number, or 0. */
  seen: number;
  askedAt: number;
  touchedAt: number;
}

export function createLimitView(terms: LimitTerms, now: number): LimitView {
  return {
    terms,
    cellMs: cellsOf(terms.windowMs).cellMs,
    lease: 0,
    leaseUntil: Number.NEGATIVE_INFINITY,
    leasePeriod: -1,
    lastLease: 0,
    free: 0,
    freeAt: Number.NEGATIVE_INFINITY,
    pending: [],
    inFlight: 0,
    credit: 0,
    base: 0,
    baseAt: now,
    resetAt: 0,
    denyUntil: Number.NEGATIVE_INFINITY,
    retryAt: 0,
    demand: createDemand(now),
    need: 1,
    unleased: 0,
    asks: 0,
    answered: 0,
    asking: false,
    seen: 0,
    askedAt: Number.NEGATIVE_INFINITY,
    touchedAt: now,
  };
}

export type TakeOutcome = "taken" | "refused" | "ask";

/** Takes `cost` units if this isolate may decide it alone. `isolates`: how many share the limit. */
export function takeUnits(view: LimitView, cost: number, isolates: number, now: number): TakeOutcome {
  noteDemand(view.demand, cost, now);
  view.need = cost;
  return takeHeld(view, cost, isolates, now);
}

/** The same for a request whose demand is noted already. */
export function takeHeld(view: LimitView, cost: number, isolates: number, now: number): TakeOutcome {
  view.touchedAt = now;
  if (isHeldBack(view, now)) return "refused";
  if (leaseLeft(view, now) >= cost) {
    view.lease -= cost;
    noteUse(view, cost, now);
    return "taken";
  }
  return takeFree(view, cost, isolates, now) ? "taken" : "ask";
}

/** Whether a refusal is remembered. A clock that was set back must not make it last. */
export function isHeldBack(view: LimitView, now: number): boolean {
  return now < view.denyUntil && view.denyUntil - now <= DENY_MS;
}

/** What one of so many isolates may use without a lease; nothing of a capped limit. */
function freeUnits(view: LimitView, isolates: number, now: number): number {
  if (view.terms.consistency === "capped") return 0;
  const left = view.terms.units - mostUsedInView(view, now);
  return Math.max(0, Math.floor((FREE_PART * left) / Math.max(1, isolates)));
}

/** Takes from what is free without a lease. */
export function takeFree(view: LimitView, cost: number, isolates: number, now: number): boolean {
  if (view.terms.consistency === "capped") return false;
  const isOver = Math.abs(now - view.freeAt) >= LEASE_MS;
  if (!isOver && view.free < cost) return false;
  // What was free may not be any more: others use the limit as well.
  const free = freeUnits(view, isolates, now);
  if (isOver) {
    view.freeAt = now;
    view.free = free;
  }
  view.free = Math.min(view.free, free);
  if (view.free < cost) return false;
  view.free -= cost;
  view.unleased += cost;
  noteUse(view, cost, now);
  return true;
}

/** Decides without the hub: by the view alone. A capped limit passes nothing. */
export function takeAlone(view: LimitView, cost: number, now: number): boolean {
  if (view.terms.consistency === "capped" || usedInView(view, now) + cost > view.terms.units) return false;
  view.unleased += cost;
  noteUse(view, cost, now);
  return true;
}

/**
 * Gives back what a request took at `takenAt` that was then refused for another reason. Rights of a period
 * that has ended since are not given back: they would be rights of the next one.
 */
export function giveBackUnits(view: LimitView, cost: number, now: number, takenAt = now): void {
  if (view.terms.consistency === "capped") {
    if (view.leasePeriod === spanAt(takenAt, view.terms.windowMs)) view.lease += cost;
    return;
  }
  if (now < view.leaseUntil) view.lease += cost;
  let rest = cost;
  for (let at = view.pending.length - 1; at >= 0 && rest > 0; at--) {
    const taken = Math.min(rest, view.pending[at].units);
    view.pending[at].units -= taken;
    rest -= taken;
  }
  view.credit += rest;
}

/** Units in the window as far as this isolate knows. */
export function usedInView(view: LimitView, now: number): number {
  if (view.terms.consistency === "capped") return view.base - leaseLeft(view, now);
  const left = Math.max(0, 1 - (now - view.baseAt) / view.terms.windowMs);
  return view.base * left + ownUse(view, now);
}

/** The same if nothing of what the hub knew has left the window yet. */
function mostUsedInView(view: LimitView, now: number): number {
  return (now - view.baseAt < view.terms.windowMs ? view.base : 0) + ownUse(view, now);
}

function ownUse(view: LimitView, now: number): number {
  let own = view.inFlight;
  for (const { at, units } of view.pending) if (now - at < view.terms.windowMs) own += units;
  return own;
}

/** Whole units left: for the answer's fields. When there are more: limit-waits.ts. */
export function remainingUnits(view: LimitView, now: number): number {
  return Math.max(0, Math.floor(view.terms.units - usedInView(view, now) + 1e-6));
}

/**
 * Whether to ask before a request has to wait: the lease runs low, and nothing is free without one. Far from
 * the limit something is, so nothing is asked there.
 */
export function wantsPrefetch(view: LimitView, isolates: number, now: number): boolean {
  if (view.asking || isHeldBack(view, now) || now - view.askedAt < PREFETCH_MS) return false;
  if (view.free >= 1 || demandPerSecond(view.demand, now) === 0) return false;
  if (leaseLeft(view, now) > view.lastLease * PREFETCH_PART) return false;
  const isRefillable = Math.abs(now - view.freeAt) >= LEASE_MS;
  return !isRefillable || freeUnits(view, isolates, now) < 1;
}

/** Takes what is to be reported; it counts as in flight from now on. */
export function freezeUses(view: LimitView): UseEntry[] {
  const entries = view.pending
    .filter(({ units }) => units > 0)
    .map(({ at, units }) => ({ terms: view.terms, at, units }));
  view.pending = [];
  view.inFlight = entries.reduce((sum, { units }) => sum + units, 0);
  return entries;
}

/** Takes rights that lie unused, to be given back. */
export function freezeReturn(view: LimitView, now: number): ReturnEntry | null {
  if (view.terms.consistency !== "capped" || now - view.touchedAt < RETURN_AFTER_MS) return null;
  const units = leaseLeft(view, now);
  if (units === 0) return null;
  view.lease = 0;
  return { terms: view.terms, period: view.leasePeriod, units };
}

/** Whether nothing would be lost by forgetting it. */
export function isForgettable(view: LimitView, now: number): boolean {
  const isQuiet = now - view.touchedAt > view.terms.windowMs && now >= view.leaseUntil;
  return isQuiet && !view.asking && view.pending.length === 0 && view.inFlight === 0;
}

/** Units of the lease that may still be used. */
export function leaseLeft(view: LimitView, now: number): number {
  if (view.terms.consistency === "capped") {
    return view.leasePeriod === spanAt(now, view.terms.windowMs) ? view.lease : 0;
  }
  return now < view.leaseUntil && view.leaseUntil - now <= LEASE_MS ? view.lease : 0;
}

function noteUse(view: LimitView, cost: number, now: number): void {
  if (view.terms.consistency === "capped") return;
  const paid = Math.min(view.credit, cost);
  view.credit -= paid;
  const units = cost - paid;
  const cell = spanAt(now, view.cellMs);
  const last = view.pending.at(-1);
  if (last?.cell === cell) last.units += units;
  else view.pending.push({ cell, at: now, units });
  if (view.pending.length <= MAX_PENDING) return;
  // While there is no hub: what has left the window is nobody's business any more.
  view.pending = view.pending.filter(({ at }) => now - at < view.terms.windowMs);
}
