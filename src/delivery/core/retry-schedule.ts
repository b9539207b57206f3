// When a failed try is made again. Exponential from `delay`, spread by a fifth either way so that what failed
// together does not come back together, never later than `maxDelay` and never before what the upstream asked
// for, as far as `maxDelay` allows (Standard Webhooks; Svix's schedule has the same spread).
//
//   base(n) = min(delay * 2^(n-1), maxDelay)                      n = tries made, from 1
//   wait(n) = min(max(base(n) * (0.8 .. 1.2), Retry-After), maxDelay)

/** Part of a wait by which it is shortened or lengthened at most. */
export const RETRY_JITTER = 0.2;
/** What was put off for a time comes back within this part of it later. */
const DEFERRAL_JITTER = 0.2;

export interface RetryTerms {
  readonly delayMs: number;
  readonly maxDelayMs: number;
}

/** Ms until the next try after `attempts` (from 1) failed ones; `random` is in [0, 1). */
export function retryWaitMs(
  terms: RetryTerms,
  attempts: number,
  retryAfterMs: number | null,
  random: number,
): number {
  const baseMs = Math.min(terms.delayMs * 2 ** (attempts - 1), terms.maxDelayMs);
  const spreadMs = baseMs * (1 - RETRY_JITTER + 2 * RETRY_JITTER * random);
  return Math.ceil(Math.min(Math.max(spreadMs, retryAfterMs ?? 0), terms.maxDelayMs));
}

/** Ms for which a job is put off: never less than asked for, spread upwards. */
export function deferralMs(forMs: number, random: number): number {
  return Math.ceil(forMs * (1 + DEFERRAL_JITTER * random));
}
