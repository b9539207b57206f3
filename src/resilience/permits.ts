// Permits: how many requests may be in flight. A permit expires, because a request that its client
// cancelled may never come back to return it; expired permits are taken back when room is needed. A
// permit is returned by its token, and a late return of one that was taken back changes nothing.
// Taking and returning allocate nothing (the table doubles when it must grow).

/** No bulkhead can be larger: a token keeps the slot in 14 bits. */
export const MAX_PERMITS = 16_384;
export const NO_PERMIT = -1;
const STAMPS = 65_536;
const FIRST_CAPACITY = 16;

export interface Permits {
  /** How many may be out at a time; may change while some are. */
  limit: number;
  inUse: number;
  expiries: Float64Array;
  stamps: Int32Array;
  free: Int32Array;
  freeCount: number;
  /** No permit expires before then. */
  earliestExpiry: number;
}

export function createPermits(limit: number): Permits {
  const permits: Permits = {
    limit,
    inUse: 0,
    expiries: new Float64Array(0),
    stamps: new Int32Array(0),
    free: new Int32Array(0),
    freeCount: 0,
    earliestExpiry: Number.POSITIVE_INFINITY,
  };
  grow(permits, FIRST_CAPACITY);
  return permits;
}

/**
 * A token for `returnPermit`, or NO_PERMIT when all are out. The permit ends by itself after `ttlMs`.
 * `extra`: so many more than the limit may be out.
 */
export function takePermit(permits: Permits, now: number, ttlMs: number, extra = 0): number {
  if (!hasRoom(permits, now, extra)) return NO_PERMIT;
  if (permits.freeCount === 0) grow(permits, permits.expiries.length * 2);
  const slot = permits.free[--permits.freeCount];
  const expiry = now + ttlMs;
  permits.expiries[slot] = expiry;
  if (expiry < permits.earliestExpiry) permits.earliestExpiry = expiry;
  permits.inUse++;
  return permits.stamps[slot] * MAX_PERMITS + slot;
}

/** Whether a permit could be taken now; takes expired ones back first when none could. */
export function hasRoom(permits: Permits, now: number, extra = 0): boolean {
  const limit = Math.min(permits.limit + extra, MAX_PERMITS);
  if (permits.inUse < limit) return true;
  reclaimExpired(permits, now);
  return permits.inUse < limit;
}

/** False when the token's permit had been taken back, or returned before. */
export function returnPermit(permits: Permits, token: number): boolean {
  if (token < 0) return false;
  const slot = token % MAX_PERMITS;
  if (permits.expiries[slot] === 0 || permits.stamps[slot] !== Math.floor(token / MAX_PERMITS)) return false;
  freeSlot(permits, slot);
  return true;
}

/** A permit that is not returned but ends by itself at `until`, if it has not by then. */
export function restPermit(permits: Permits, token: number, until: number): void {
  if (token < 0) return;
  const slot = token % MAX_PERMITS;
  if (permits.expiries[slot] === 0 || permits.stamps[slot] !== Math.floor(token / MAX_PERMITS)) return;
  permits.expiries[slot] = until;
  if (until < permits.earliestExpiry) permits.earliestExpiry = until;
}

/** Takes back what has expired. Costs one comparison while nothing has. */
export function reclaimExpired(permits: Permits, now: number): void {
  if (now < permits.earliestExpiry) return;
  let earliest = Number.POSITIVE_INFINITY;
  for (let slot = 0; slot < permits.expiries.length; slot++) {
    const expiry = permits.expiries[slot];
    if (expiry === 0) continue;
    if (expiry <= now) freeSlot(permits, slot);
    else if (expiry < earliest) earliest = expiry;
  }
  permits.earliestExpiry = earliest;
}

function freeSlot(permits: Permits, slot: number): void {
  permits.expiries[slot] = 0;
  permits.stamps[slot] = (permits.stamps[slot] + 1) % STAMPS;
  permits.free[permits.freeCount++] = slot;
  permits.inUse--;
}

function grow(permits: Permits, wanted: number): void {
  const before = permits.expiries.length;
  const capacity = Math.min(wanted, MAX_PERMITS);
  const expiries = new Float64Array(capacity);
  const stamps = new Int32Array(capacity);
  const free = new Int32Array(capacity);
  expiries.set(permits.expiries);
  stamps.set(permits.stamps);
  free.set(permits.free);
  permits.expiries = expiries;
  permits.stamps = stamps;
  permits.free = free;
  for (let slot = capacity - 1; slot >= before; slot--) permits.free[permits.freeCount++] = slot;
}
