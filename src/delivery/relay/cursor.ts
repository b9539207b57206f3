// Decisions of the relay that follows a log by a cursor: who may publish, how far it has come, when it goes
// on.
//
//   claim     the lease is free or over: a new fence, larger than every one before
//   mark      the cursor moves only under the fence of the newest claim, and never back
//   failure   wait(n) = min(1 s * 2^(n-1), 5 min) * (0.8 .. 1.2), at least what the receiver asks for
//   collect   rows that are published and old go, but never the newest row: its number would be given again

/** How long a relay may take for one batch before another one may take over. */
export const LEASE_MS = 30_000;
/** A publication that takes longer has failed; well before its lease is over. */
export const PUBLISH_TIMEOUT_MS = 20_000;
export const FIRST_WAIT_MS = 1_000;
export const MAX_WAIT_MS = 5 * 60_000;
const JITTER = 0.2;
/** Rows deleted in one run. */
export const COLLECT_ROWS = 1_000;
/** Between runs that delete: each is an alarm. */
export const COLLECT_PAUSE_MS = 3600 * 1000;

export interface RelayState {
  /** Everything up to here was published or given up. */
  readonly cursor: number;
  /** Of the newest claim. */
  readonly fence: number;
  /** 0: nobody publishes. */
  readonly leaseUntil: number;
  /** Publications that failed in a row. */
  readonly failures: number;
  /** Nothing is published before. */
  readonly notBefore: number;
}

export const NEW_RELAY: RelayState = { cursor: 0, fence: 0, leaseUntil: 0, failures: 0, notBefore: 0 };

/** The state with a lease for who asks, or null: somebody else has it, or it is not the time. */
export function claimRelay(state: RelayState, now: number): RelayState | null {
  // A lease that ends too late was given by a clock that has been set back since.
  const isHeld = state.leaseUntil > now && state.leaseUntil <= now + LEASE_MS;
  if (isHeld || (state.notBefore > now && state.notBefore <= now + MAX_WAIT_MS * (1 + JITTER))) return null;
  return { ...state, fence: state.fence + 1, leaseUntil: now + LEASE_MS };
}

/** Whether whoever claimed with `fence` may still say how far it has come. */
export function holdsRelay(state: RelayState, fence: number): boolean {
  return state.fence === fence;
}

/** The state after a batch; the lease is renewed. `seq`: of the last event that is done. */
export function markDone(state: RelayState, seq: number, now: number): RelayState {
  const cursor = Math.max(state.cursor, seq);
  return { ...state, cursor, leaseUntil: now + LEASE_MS, failures: 0, notBefore: 0 };
}

/** The state after a publication that failed; `random` is in [0, 1). */
export function markFailed(
  state: RelayState,
  retryAfterMs: number | null,
  now: number,
  random: number,
): RelayState {
  const failures = state.failures + 1;
  const notBefore = now + waitAfter(failures, retryAfterMs, random);
  return { ...state, leaseUntil: 0, failures, notBefore };
}

/** The state when there is nothing more to publish. */
export function releaseRelay(state: RelayState): RelayState {
  return { ...state, leaseUntil: 0 };
}

/** Ms to wait after `failures` (from 1) failed publications. */
export function waitAfter(failures: number, retryAfterMs: number | null, random: number): number {
  const base = Math.min(FIRST_WAIT_MS * 2 ** (failures - 1), MAX_WAIT_MS);
  const spread = Math.round(base * (1 - JITTER + 2 * JITTER * random));
  return Math.min(Math.max(spread, retryAfterMs ?? 0), MAX_WAIT_MS);
}

/** The last row that may be deleted; 0: none. `newest`: the greatest number of a row. */
export function lastCollectable(cursor: number, newest: number): number {
  return Math.max(0, Math.min(cursor, newest - 1));
}
