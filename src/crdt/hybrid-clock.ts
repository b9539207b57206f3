// Hybrid logical clocks (Kulkarni, Demirbas et al. 2014, figure 5): physical milliseconds that never step
// back, and a count that orders what falls into one millisecond.
//
//   send:     l' = max(l, now);     c' = l' = l ? c + 1 : 0
//   receive:  l' = max(l, m, now);  c' = 1 + the greatest count of those that are l', 0 when only `now` is
//
// A stamp from further ahead than `maxDriftMs` is refused, so one wrong clock cannot drag the others along.

export interface Stamp {
  readonly ms: number;
  readonly count: number;
}

export type Received =
  | { readonly kind: "received"; readonly clock: Stamp }
  | { readonly kind: "too-far-ahead" };

/** A stamp has 64 bits in all: 48 of milliseconds (until the year 10889), 16 of count. */
export const MAX_STAMP_MS = 2 ** 48 - 1;
export const MAX_STAMP_COUNT = 2 ** 16 - 1;
export const DEFAULT_MAX_DRIFT_MS = 60_000;

export const FIRST_STAMP: Stamp = { ms: 0, count: 0 };

/** The next stamp of this clock: greater than all it has given or received. */
export function nextStamp(clock: Stamp, now: number): Stamp {
  const ms = physicalMs(now);
  return ms > clock.ms ? { ms, count: 0 } : following(clock.ms, clock.count);
}

/** The clock after it has seen a remote stamp. */
export function receiveStamp(clock: Stamp, remote: Stamp, now: number, maxDriftMs: number): Received {
  const physical = physicalMs(now);
  if (remote.ms > physical + maxDriftMs) return { kind: "too-far-ahead" };
  const ms = Math.max(clock.ms, remote.ms, physical);
  if (ms > clock.ms && ms > remote.ms) return { kind: "received", clock: { ms, count: 0 } };
  const ours = clock.ms === ms ? clock.count : 0;
  const theirs = remote.ms === ms ? remote.count : 0;
  return { kind: "received", clock: following(ms, Math.max(ours, theirs)) };
}

/** Negative when `left` is earlier, 0 when they are equal. */
export function compareStamps(left: Stamp, right: Stamp): number {
  return left.ms === right.ms ? left.count - right.count : left.ms - right.ms;
}

/** A full count moves on to the next millisecond. */
function following(ms: number, count: number): Stamp {
  return count < MAX_STAMP_COUNT ? { ms, count: count + 1 } : { ms: ms + 1, count: 0 };
}

function physicalMs(now: number): number {
  return Math.min(Math.max(0, Math.floor(now)), MAX_STAMP_MS);
}
