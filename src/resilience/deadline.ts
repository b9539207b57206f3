// Deadlines: how long a request may still take, and whether it is worth beginning.
//
// Work is refused when the time that is left is below the upstream's median latency, because it would
// most likely be thrown away. That is an estimate, so it may refuse at most a fifth of the requests of
// ten seconds (Finagle's deadline filter), and nothing before twenty latencies are known. A deadline
// that has passed refuses always.

export const MINIMUM_LATENCIES = 20;
export const MAXIMUM_ESTIMATED_SHARE = 0.2;
const ESTIMATE_WINDOW_MS = 10_000;
/** Kept back from a try's timeout so that the answer still reaches the client in time. */
export const ANSWER_RESERVE_MS = 5;

export interface DeadlineGuard {
  seen: number;
  refused: number;
  windowEndsAt: number;
}

export function createDeadlineGuard(): DeadlineGuard {
  return { seen: 0, refused: 0, windowEndsAt: Number.NEGATIVE_INFINITY };
}

/** The end of a request in ms of `now`'s clock; a client's wish can only bring it nearer. */
export function deadlineAt(now: number, routeMs: number, wishedMs: number | null): number {
  return now + (wishedMs !== null && wishedMs < routeMs ? wishedMs : routeMs);
}

/** Whether beginning now would be in vain. */
export function isHopeless(
  guard: DeadlineGuard,
  remainingMs: number,
  medianMs: number,
  latencies: number,
  now: number,
): boolean {
  if (now >= guard.windowEndsAt) {
    guard.seen = 0;
    guard.refused = 0;
    guard.windowEndsAt = now + ESTIMATE_WINDOW_MS;
  }
  guard.seen++;
  if (remainingMs <= 0) return true;
  if (remainingMs >= medianMs || latencies < MINIMUM_LATENCIES) return false;
  if (guard.refused + 1 > MAXIMUM_ESTIMATED_SHARE * guard.seen) return false;
  guard.refused++;
  return true;
}

/** What one try may take: its own timeout or what is left of the request, whichever ends first. */
export function tryTimeoutMs(timeoutMs: number, remainingMs: number): number {
  return Math.max(1, Math.min(timeoutMs, remainingMs - ANSWER_RESERVE_MS));
}
