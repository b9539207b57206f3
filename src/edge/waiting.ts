// Standing in line for a permit. Each waiter owns its promise and its timer: a promise that only another
// request could resolve would hang with it, and a Worker's runtime ends requests that hang.

import type { Bulkhead } from "../resilience/bulkhead.ts";
import { leaveBulkhead, stopWaiting, takeLastPermit, waitAtBulkhead } from "../resilience/bulkhead.ts";
import { NO_PERMIT } from "../resilience/permits.ts";

/** A permit; or NO_PERMIT: no room in line, too long a wait, or somebody more important came. */
export function waitForPermit(
  bulkhead: Bulkhead,
  trafficClass: number,
  deadlineAt: number,
  now: number,
): Promise<number> {
  const waitMs = Math.min(bulkhead.maxWaitMs, deadlineAt - now);
  if (waitMs <= 0) return Promise.resolve(NO_PERMIT);
  return new Promise((resolve) => {
    let settled = false;
    const settle = (permit: number): void => {
      if (settled) {
        if (permit !== NO_PERMIT) leaveBulkhead(bulkhead, permit, Date.now());
        return;
      }
      settled = true;
      clearTimeout(timer);
      resolve(permit);
    };
    const endsAt = now + waitMs;
    const endWait = (permit: number): void => {
      const isTooLate = permit === NO_PERMIT && Date.now() >= endsAt;
      settle(isTooLate ? takeLastPermit(bulkhead, Date.now(), trafficClass) : permit);
    };
    const timer = setTimeout(() => {
      if (waiter === null || !stopWaiting(bulkhead, waiter, Date.now())) return;
      settle(takeLastPermit(bulkhead, Date.now(), trafficClass));
    }, waitMs);
    const waiter = waitAtBulkhead(bulkhead, trafficClass, endsAt, now, endWait);
    if (waiter === null) settle(NO_PERMIT);
  });
}
