// The watchdog: executors die without a word, and some runtimes then leave their instance `running` for
// good. An instance that should have moved and has not is looked at, and gets another executor. That is
// always safe: an executor holds nothing that the ledger does not know, the one before it is fenced off,
// and the lease of a call that it may still have under way is respected.

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
export const ALIVE_STALL_MS = 15_000;
/** More patience for each instance under way: many at once are slow, and more executors make them slower. */
export const CROWD_MS = 100;
const MAX_CROWD_MS = 300_000;

/**
 * When an instance counts as stuck, or its time is over; null: never. `rescues`: attempts to move it since it
 * last moved, the last of them at `rescuedAt`. `active`: instances under way.
 */
export function dueAt(state: SagaState, rescues: number, rescuedAt: number, active: number): number | null {
  if (!isActive(state)) return null;
  const stallMs = Math.min(MAX_STALL_MS, STALL_MS * 2 ** Math.min(10, rescues));
  const waitMs = rescues === 0 ? stallMs : stallMs + crowdMs(active);
  return orTimeout(state, Math.max(rescuedAt, state.updatedAt, expectedAt(state)) + waitMs);
}

/** The same for one whose executor has been heard. */
export function patientUntil(state: SagaState, active: number): number {
  const waitMs = ALIVE_STALL_MS + crowdMs(active);
  return orTimeout(state, Math.max(state.updatedAt, expectedAt(state)) + waitMs);
}

function crowdMs(active: number): number {
  return Math.min(MAX_CROWD_MS, active * CROWD_MS);
}

function orTimeout(state: SagaState, at: number): number {
  const mayExpire = state.stop === null && !state.isLate && state.phase !== "compensating";
  return mayExpire ? Math.min(at, Math.max(state.updatedAt, state.timeoutAt)) : at;
}

/** When something should have happened to an instance: its next try, or the end of a lease. */
function expectedAt({ steps, updatedAt }: SagaState): number {
  const expected = steps
    .flatMap(({ call, undoCall }) => [call.leaseUntil, call.nextAt, undoCall.leaseUntil, undoCall.nextAt])
    .filter((at) => at !== null);
  return expected.length === 0 ? updatedAt : Math.min(...expected);
}

export type Rescue = "wait" | "replace";

/**
 * What to do with an executor of this status that does not move: it is replaced, whatever it says of itself.
 * One that stands in the platform's line would only come to its end again, so it keeps its place and is
 * replaced after times that grow fourfold: a local one that died in line says the same.
 */
export function rescueFor(status: string, rescues: number): Rescue {
  return status === "queued" && !isPowerOfFour(rescues) ? "wait" : "replace";
}

function isPowerOfFour(count: number): boolean {
  return count > 0 && Number.isInteger(Math.log2(count) / 2);
}
