// A bulkhead: permits with a bounded line in front. A permit that comes back is handed to the waiter
// whose turn it is before anybody new can take it.

import type { Permits } from "./permits.ts";
import { NO_PERMIT, createPermits, hasRoom, returnPermit, takePermit } from "./permits.ts";
import type { Waiter, WaitingLine } from "./waiting-line.ts";
import { callNext, createWaitingLine, joinLine, leaveLine } from "./waiting-line.ts";

export interface Bulkhead {
  readonly permits: Permits;
  readonly line: WaitingLine;
  readonly maxWaitMs: number;
  /** A permit that is not returned ends after this long. */
  readonly permitTtlMs: number;
  /** So many more than the limit may the most important class take. */
  criticalExtra: number;
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
    criticalExtra: 0,
  };
}

/** A permit at once, or NO_PERMIT: then `waitAtBulkhead` may be tried. */
export function enterBulkhead(bulkhead: Bulkhead, now: number): number {
  if (bulkhead.line.length > 0) grantWaiting(bulkhead, now);
  return takePermit(bulkhead.permits, now, bulkhead.permitTtlMs);
}

/** Gets in line until `deadline` at the latest; null when there is no room in it. May be called at once. */
export function waitAtBulkhead(
  bulkhead: Bulkhead,
  trafficClass: number,
  deadline: number,
  now: number,
  settle: (permit: number) => void,
): Waiter | null {
  const waiter = joinLine(bulkhead.line, trafficClass, deadline, now, settle);
  if (waiter !== null && bulkhead.criticalExtra > 0) grantWaiting(bulkhead, now);
  return waiter;
}

/** A waiter's own timer has ended, or its client has gone. False when it had been called already. */
export function stopWaiting(bulkhead: Bulkhead, waiter: Waiter, now: number): boolean {
  return leaveLine(bulkhead.line, waiter, now);
}

/** Returns a permit and hands what is free to those who wait. */
export function leaveBulkhead(bulkhead: Bulkhead, permit: number, now: number): void {
  returnPermit(bulkhead.permits, permit);
  if (bulkhead.line.length > 0) grantWaiting(bulkhead, now);
}

/** Changes the number of permits; what that frees is handed out at once, what it takes is waited for. */
export function resizeBulkhead(bulkhead: Bulkhead, limit: number, now: number): void {
  bulkhead.permits.limit = limit;
  if (bulkhead.line.length > 0) grantWaiting(bulkhead, now);
}

function grantWaiting(bulkhead: Bulkhead, now: number): void {
  const { permits, line } = bulkhead;
  while (line.length > 0) {
    const extra = line.oldest[0] === null ? 0 : bulkhead.criticalExtra;
    if (!hasRoom(permits, now, extra)) return;
    const waiter = callNext(line, now);
    if (waiter === null) return;
    const permit = takePermit(permits, now, bulkhead.permitTtlMs, waiter.trafficClass === 0 ? extra : 0);
    waiter.settle(permit);
    if (permit === NO_PERMIT) return;
  }
}
