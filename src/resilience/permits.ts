// Permits: how many requests may be in flight. A permit expires, because a request that its client
// cancelled may never come back to return it; expired permits are taken back when room is needed. A
// permit is returned by its token, and a late return of one that was taken back changes nothing.
// Taking and returning allocate nothing (the table doubles when it must grow).
//
//   token = stamp * 2^14 + slot     a slot's stamp is another one each time that it is taken; 2^16 of them
//
// A slot that is taken keeps its token; one that is free keeps its stamp with the next free slot.

const SLOT_BITS = 14;
/** No bulkhead can be larger: a token keeps the slot in 14 bits. */
export const MAX_PERMITS = 1 << SLOT_BITS;
export const NO_PERMIT = -1;
const SLOT_MASK = MAX_PERMITS - 1;
const STAMP_MASK = 0xffff << SLOT_BITS;
const FIRST_CAPACITY = 16;

export interface Permits {
  /** How many may be out at a time; may change while some are. */
  limit: number;
  inUse: number;
  /** By slot; 0: it is free. */
  expiries: Float64Array;
  tokens: Int32Array;
  firstFree: number;
  /** No permit expires before then. */
  earliestExpiry: number;
}

export function createPermits(limit: number): Permits {
  const permits: Permits = {
    limit,
    inUse: 0,
    expiries: new Float64Array(0),
    tokens: new Int32Array(0),
    firstFree: 0,
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
  if (permits.inUse === permits.tokens.length) grow(permits, permits.inUse * 2);
  const { tokens, firstFree: slot } = permits;
  const token = (tokens[slot] & STAMP_MASK) | slot;
  permits.firstFree = tokens[slot] & SLOT_MASK;
  tokens[slot] = token;
  const expiry = now + ttlMs;
  permits.expiries[slot] = expiry;
  if (expiry < permits.earliestExpiry) permits.earliestExpiry = expiry;
  permits.inUse++;
  return token;
}

/** Whether a permit could be taken now; takes expired ones back first when none could. */
export function hasRoom(permits: Permits, now: number, extra = 0): boolean {
  if (isBelow(permits, permits.limit + extra)) return true;
  reclaimExpired(permits, now);
  return isBelow(permits, permits.limit + extra);
}

function isBelow({ inUse }: Permits, limit: number): boolean {
  return inUse < limit && inUse <= SLOT_MASK;
}

/** False when the token's permit had been taken back, or returned before. */
export function returnPermit(permits: Permits, token: number): boolean {
  if (!isTaken(permits, token)) return false;
  freeSlot(permits, token & SLOT_MASK);
  return true;
}

/** A permit that is not returned but ends by itself at `until`, if it has not by then. */
export function restPermit(permits: Permits, token: number, until: number): void {
  if (!isTaken(permits, token)) return;
  permits.expiries[token & SLOT_MASK] = until;
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

function isTaken({ tokens, expiries }: Permits, token: number): boolean {
  if (token < 0) return false;
  const slot = token & SLOT_MASK;
  return tokens[slot] === token && expiries[slot] !== 0;
}

function freeSlot(permits: Permits, slot: number): void {
  const { tokens } = permits;
  permits.expiries[slot] = 0;
  tokens[slot] = ((tokens[slot] + MAX_PERMITS) & STAMP_MASK) | permits.firstFree;
  permits.firstFree = slot;
  permits.inUse--;
}

/** More slots; to be called when none is free. */
function grow(permits: Permits, wanted: number): void {
  const before = permits.tokens.length;
  const capacity = Math.min(wanted, MAX_PERMITS);
  const expiries = new Float64Array(capacity);
  const tokens = new Int32Array(capacity);
  expiries.set(permits.expiries);
  tokens.set(permits.tokens);
  for (let slot = before; slot < capacity; slot++) tokens[slot] = (slot + 1) & SLOT_MASK;
  permits.expiries = expiries;
  permits.tokens = tokens;
  permits.firstFree = before;
}
