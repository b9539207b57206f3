// A rate limit per key by GCRA, the generic cell rate algorithm (ITU-T I.371; a leaky bucket as a meter):
//
//   interval = per / rate          tolerance = burst * interval
//   arrival conforms  <=>  max(tat, now) + cost * interval - now <= tolerance
//   then tat = max(tat, now) + cost * interval
//
// One number per key. Keys live in two generations: one that has not been touched for as long as a full
// recovery takes is as good as new, so dropping the older generation then forgets nothing; when more
// than MAX_KEYS_PER_GENERATION arrive before that, the oldest keys start afresh. Up to FEW_KEYS are kept:
// to move them from one generation to the next would cost more than they do. A known key costs no
// allocation.

export const MAX_KEYS_PER_GENERATION = 32_768;
export const FEW_KEYS = 1024;
/** Rounding of large clock values, in units, must not refuse the last unit of a burst. */
const ROUNDING = 1e-6;

export interface RateLimitOptions {
  readonly rate: number;
  readonly perMs: number;
  readonly burst: number;
  readonly cost: number;
}

export interface RateLimit {
  readonly options: RateLimitOptions;
  readonly intervalMs: number;
  readonly costMs: number;
  readonly toleranceMs: number;
  young: Generation;
  old: Generation;
  rotateAt: number;
  /** What is left after the last `takeRate`, whole units. */
  remaining: number;
  /** Ms until one more unit is there after the last `takeRate`; 0 when all are. */
  resetMs: number;
}

interface Generation {
  readonly slots: Map<string | number, number>;
  arrivalTimes: Float64Array;
}

export function createRateLimit(options: RateLimitOptions): RateLimit {
  const intervalMs = options.perMs / options.rate;
  return {
    options,
    intervalMs,
    costMs: options.cost * intervalMs,
    toleranceMs: intervalMs * options.burst,
    young: createGeneration(),
    old: createGeneration(),
    rotateAt: Number.NEGATIVE_INFINITY,
    remaining: options.burst,
    resetMs: 0,
  };
}

/**
 * Takes the cost for `key` if it conforms. Gives 0 when it was taken, else the ms to wait until it
 * could be; then nothing was. `remaining` and `resetMs` hold the numbers for the answer.
 */
export function takeRate(limit: RateLimit, key: string | number, now: number): number {
  if (now >= limit.rotateAt || limit.young.slots.size >= MAX_KEYS_PER_GENERATION) rotate(limit, now);
  const generation = limit.young;
  const slot = generation.slots.get(key) ?? addKey(limit, generation, key);
  const stored = generation.arrivalTimes[slot];
  const arrival = Math.max(stored, now);
  const next = arrival + limit.costMs;
  const excessMs = next - now - limit.toleranceMs;
  const conforms = excessMs <= limit.intervalMs * ROUNDING;
  if (conforms) generation.arrivalTimes[slot] = next;
  const used = ((conforms ? next : arrival) - now) / limit.intervalMs;
  limit.remaining = Math.max(0, Math.floor(limit.options.burst - used + ROUNDING));
  limit.resetMs = used <= ROUNDING ? 0 : (used - Math.ceil(used - 1 - ROUNDING)) * limit.intervalMs;
  return conforms ? 0 : excessMs;
}

/** Gives back what the last `takeRate` for this key took: the request was refused for another reason. */
export function returnRate(limit: RateLimit, key: string | number): void {
  const slot = limit.young.slots.get(key);
  if (slot !== undefined) limit.young.arrivalTimes[slot] -= limit.costMs;
}

function rotate(limit: RateLimit, now: number): void {
  if (limit.young.slots.size > FEW_KEYS) {
    limit.old = limit.young;
    limit.young = createGeneration();
  }
  limit.rotateAt = now + Math.max(limit.toleranceMs, limit.options.perMs);
}

/** The slot of a key that is not known, or of the older generation. */
function addKey(limit: RateLimit, generation: Generation, key: string | number): number {
  const slot = generation.slots.size;
  if (slot === generation.arrivalTimes.length) {
    const larger = new Float64Array(slot * 2);
    larger.set(generation.arrivalTimes);
    generation.arrivalTimes = larger;
  }
  const before = limit.old.slots.get(key);
  generation.slots.set(key, slot);
  generation.arrivalTimes[slot] = before === undefined ? 0 : limit.old.arrivalTimes[before];
  return slot;
}

function createGeneration(): Generation {
  return { slots: new Map(), arrivalTimes: new Float64Array(64) };
}
