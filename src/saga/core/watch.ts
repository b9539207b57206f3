// The watchdog: executors die without a word, and some runtimes then leave their instance `running` for good.
// An instance that should have moved and has not is looked at.

import type { SagaState } from "./state.ts";
import { isActive } from "./state.ts";

/** So long after something should have happened an instance counts as stuck. */
export const STALL_MS = 5_000;
/** The longest time between two attempts to move the same instance. */
export const MAX_STALL_MS = 60_000;
/**
 * The same for one whose executor has spoken since the ledger itself began: what kills the one kills the
 * other as a rule, so it is more likely to be slow.
 */
export const ALIVE_STALL_MS = 30_000;

/** When to look at an instance; null: never. `rescues`: attempts to move it since it last moved. */
export function dueAt(state: SagaState, rescues: number, now: number): number | null {
  if (!isActive(state)) return null;
  const stallMs = Math.min(MAX_STALL_MS, STALL_MS * 2 ** Math.min(10, rescues));
  const stuckAt = Math.max(now, expectedAt(state)) + stallMs;
  const mayExpire = state.stop === null && !state.isLate && state.phase !== "compensating";
  return mayExpire ? Math.min(stuckAt, Math.max(now, state.timeoutAt)) : stuckAt;
}

/** When something should have happened to an instance: its next try, or the end of a lease. */
export function expectedAt({ steps, updatedAt }: SagaState): number {
  const expected = steps
    .flatMap(({ call, undoCall }) => [call.leaseUntil, call.nextAt, undoCall.leaseUntil, undoCall.nextAt])
    .filter((at) => at !== null);
  return expected.length === 0 ? updatedAt : Math.min(...expected);
}

export type Rescue = "wait" | "pause-and-resume" | "replace";

/**
 * What to do with an executor of this status that does not move. One that is alive is not disturbed by a
 * pause that is taken back at once; one that died goes on from its cached steps. What that does not help is
 * replaced: the ledger knows where to go on.
 */
export function rescueFor(status: string, rescues: number): Rescue {
  if (status === "queued" && rescues < 3) return "wait";
  const isAlive = ["running", "waiting", "paused", "waitingForPause"].includes(status);
  return isAlive && rescues % 2 === 0 ? "pause-and-resume" : "replace";
}
