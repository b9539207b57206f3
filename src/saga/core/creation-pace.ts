// How fast executors are created. The platform creates 100 a second for one workflow
// (https://developers.cloudflare.com/workflows/reference/limits/) and refuses what is more; other ledgers may
// use the same allowance. So a bucket holds this ledger to it, and a refusal makes the next call later and
// smaller:
//
//   tokens = min(BATCH, tokens + elapsed * PER_SECOND)           a call takes as many as it creates
//   pause  = min(MAX_PAUSE, max(MIN_PAUSE, 2 * pause)) * (1/2 + chance / 2)     after a refusal
//   size   = size / 2 after a refusal, 2 * size after a success, 1 to BATCH

/** Instances in one call at most. */
export const BATCH = 100;
export const CREATED_PER_SECOND = 100;
/** While more wait than that, a call is not made for fewer. */
const WORTHWHILE = 25;
export const MIN_PAUSE_MS = 1_000;
export const MAX_PAUSE_MS = 30_000;

export interface CreationPace {
  readonly tokens: number;
  readonly size: number;
  readonly pauseMs: number;
  /** Nothing is created before. */
  readonly notBefore: number;
  readonly at: number;
}

export const FRESH_PACE: CreationPace = { tokens: BATCH, size: BATCH, pauseMs: 0, notBefore: 0, at: 0 };

/** How many of those that wait to create now; 0: look again after `waitMs`. */
export function creatable(
  pace: CreationPace,
  waiting: number,
  now: number,
): { readonly count: number; readonly waitMs: number } {
  if (now < pace.notBefore) return { count: 0, waitMs: pace.notBefore - now };
  const tokens = tokensAt(pace, now);
  const wanted = Math.min(waiting, WORTHWHILE, pace.size);
  if (tokens < wanted) {
    return { count: 0, waitMs: Math.ceil(((wanted - tokens) * 1_000) / CREATED_PER_SECOND) };
  }
  return { count: Math.min(waiting, pace.size, Math.floor(tokens)), waitMs: 0 };
}

export function afterCreation(pace: CreationPace, count: number, now: number): CreationPace {
  const tokens = tokensAt(pace, now) - count;
  return { tokens, size: Math.min(BATCH, pace.size * 2), pauseMs: 0, notBefore: 0, at: now };
}

/** `chance` is at least 0 and below 1. */
export function afterRefusal(pace: CreationPace, now: number, chance: number): CreationPace {
  const pauseMs = Math.min(MAX_PAUSE_MS, Math.max(MIN_PAUSE_MS, pace.pauseMs * 2));
  const notBefore = now + Math.round(pauseMs * (0.5 + chance / 2));
  const size = Math.max(1, Math.floor(pace.size / 2));
  return { tokens: tokensAt(pace, now), size, pauseMs, notBefore, at: now };
}

function tokensAt({ tokens, at }: CreationPace, now: number): number {
  return Math.min(BATCH, tokens + (Math.max(0, now - at) * CREATED_PER_SECOND) / 1_000);
}
