// A bulkhead: permits with a bounded line in front. A permit that comes back is handed to the waiter
// whose turn it is before anybody new can take it.
//
// The most important class need not wait until the others have finished: it may take a few permits more than
// the limit, and, after the limit was lowered below what is in flight, most of those that come back. The
// others wait until there is room below the limit, so what is above it does not last.
//
//   extra = max(4, limit / 4, what was above a lowered limit, a tenth of one less with each that comes back)
//
// With its extra it never passes `ceiling`. When its wait has ended it gets a permit all the same, never
// beyond `most`: up to twice the limit or 16 more, or 4 or a quarter more than still drains, where the
// upstream queues, it waits there; 4 or a quarter, where it is known to refuse, a place of others may be
// free.

import type { Permits } from "./permits.ts";
import { NO_PERMIT, createPermits, returnPermit, takePermit } from "./permits.ts";
import type { Waiter, WaitingLine } from "./waiting-line.ts";
import { createWaitingLine, joinLine, leaveLine, nextInLine } from "./waiting-line.ts";

const LEAST_EXTRA = 4;
const EXTRA_SHARE = 0.25;
const LEAST_LAST = 16;
/** Of the permits above a lowered limit, so much goes with each one that comes back. */
const DRAINED_PER_CALL = 0.1;

export interface Bulkhead {
  readonly permits: Permits;
  readonly line: WaitingLine;
  readonly maxWaitMs: number;
  /** A permit that is not returned ends after this long. */
  readonly permitTtlMs: number;
  /** More are never in flight: what is configured, where the limit is what has been learned. */
  ceiling: number;
  /** Even who has waited in vain gets none beyond it: what is configured. */
  most: number;
  /** What was in flight above a lowered limit. */
  draining: number;
}

export interface BulkheadOptions {
  readonly max: number;
  readonly waiting: number;
  readonly maxWaitMs: number;
  readonly permitTtlMs: number;
}

export function createBulkhead(options: BulkheadOptions): Bulkhead {
  return {
    permits: createPermits(options.max),
    line: createWaitingLine(options.waiting),
    maxWaitMs: options.maxWaitMs,
    permitTtlMs: options.permitTtlMs,
    ceiling: options.max,
    most: options.max,
    draining: 0,
  };
}

/** A permit at once, or NO_PERMIT: then `waitAtBulkhead` may be tried. */
export function enterBulkhead(bulkhead: Bulkhead, now: number, trafficClass: number): number {
  if (bulkhead.line.length > 0) grantWaiting(bulkhead, now);
  return takePermit(bulkhead.permits, now, bulkhead.permitTtlMs, trafficClass === 0 ? extraOf(bulkhead) : 0);
}

/**
 * For the most important class, when its wait has ended: one permit more than there are rather than a
 * refusal.
 */
export function takeLastPermit(bulkhead: Bulkhead, now: number, trafficClass: number): number {
  if (trafficClass !== 0) return NO_PERMIT;
  const { permits, permitTtlMs, ceiling, most, draining } = bulkhead;
  const isFull = ceiling <= permits.limit;
  const few = extraAt(permits.limit);
  const extra = isFull ? few : Math.max(LEAST_LAST, permits.limit, Math.ceil(draining) + few);
  return takePermit(permits, now, permitTtlMs, Math.min(extra, most - permits.limit));
}

/** Gets in line until `deadline` at the latest; null when there is no room in it. May be called at once. */
export function waitAtBulkhead(
  bulkhead: Bulkhead,
  trafficClass: number,
  deadline: number,
  now: number,
  settle: (permit: number) => void,
): Waiter | null {
  return joinLine(bulkhead.line, trafficClass, deadline, now, settle);
}

/** A waiter's own timer has ended, or its client has gone. False when it had been called already. */
export function stopWaiting(bulkhead: Bulkhead, waiter: Waiter, now: number): boolean {
  return leaveLine(bulkhead.line, waiter, now);
}

/** Returns a permit and hands what is free to those who wait. */
export function leaveBulkhead(bulkhead: Bulkhead, permit: number, now: number): void {
  returnPermit(bulkhead.permits, permit);
  if (bulkhead.draining > 0) bulkhead.draining -= DRAINED_PER_CALL;
  if (bulkhead.line.length > 0) grantWaiting(bulkhead, now);
}

/** Changes the number of permits; what that frees is handed out at once, what it takes is waited for. */
export function resizeBulkhead(bulkhead: Bulkhead, limit: number, now: number): void {
  const { permits } = bulkhead;
  if (limit < permits.limit) bulkhead.draining = Math.max(bulkhead.draining, (permits.inUse - limit) * 1.1);
  else bulkhead.draining = Math.max(0, bulkhead.draining - (limit - permits.limit));
  permits.limit = limit;
  if (bulkhead.line.length > 0) grantWaiting(bulkhead, now);
}

function extraOf({ permits, ceiling, draining }: Bulkhead): number {
  const extra = extraAt(permits.limit);
  return Math.max(0, Math.min(Math.max(extra, Math.ceil(draining)), ceiling - permits.limit));
}

function extraAt(limit: number): number {
  return Math.max(LEAST_EXTRA, Math.floor(limit * EXTRA_SHARE));
}

function grantWaiting(bulkhead: Bulkhead, now: number): void {
  const { permits, line, permitTtlMs } = bulkhead;
  for (let next = nextInLine(line, now); next !== null; next = nextInLine(line, now)) {
    // Who is next decides what there is room for: one that finds none stays in line.
    const permit = takePermit(permits, now, permitTtlMs, next.trafficClass === 0 ? extraOf(bulkhead) : 0);
    if (permit === NO_PERMIT) return;
    leaveLine(line, next, now);
    next.settle(permit);
  }
}
