// When a webhook that failed is tried again: 10 tries over 75 hours (Standard Webhooks' recommendation).
//
//   wait(n) = max(base(n) * (0.8 .. 1.2), least, min(Retry-After, 24 h))        n = tries made, from 1
//   least   = 60 s after 429 and after a timeout, else 0

import { parseRetryAfterMs } from "../../../http/retry-after.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** Between the first try and the second, the second and the third, and so on. */
export const RETRY_WAITS_MS: readonly number[] = [
  5 * SECOND,
  5 * MINUTE,
  30 * MINUTE,
  2 * HOUR,
  5 * HOUR,
  10 * HOUR,
  14 * HOUR,
  20 * HOUR,
  24 * HOUR,
];
export const MAX_TRIES = RETRY_WAITS_MS.length + 1;
/** Part of a wait by which it is shortened or lengthened at most. */
export const RETRY_JITTER = 0.2;
/** A receiver that is overloaded gets at least so long. */
export const MIN_OVERLOAD_WAIT_MS = MINUTE;
/** A receiver may ask for so long at most. */
export const MAX_RETRY_AFTER_MS = 24 * HOUR;

export interface FailedTry {
  /** Tries made so far, this one included. */
  readonly attempt: number;
  readonly isOverload: boolean;
  readonly retryAfterMs: number | null;
}

/** Ms until the next try, or null: that was the last. `random` is in [0, 1). */
export function nextTryInMs(failed: FailedTry, random: number, waitsMs = RETRY_WAITS_MS): number | null {
  const base = waitsMs[failed.attempt - 1];
  if (base === undefined) return null;
  const spread = Math.round(base * (1 - RETRY_JITTER + 2 * RETRY_JITTER * random));
  const least = failed.isOverload ? MIN_OVERLOAD_WAIT_MS : 0;
  const asked = Math.min(failed.retryAfterMs ?? 0, MAX_RETRY_AFTER_MS);
  return Math.ceil(Math.max(spread, least, asked));
}

/** What `Retry-After` asks for, in ms, fractions of a second counting up; null for what is no value. */
export function readRetryAfterMs(value: string | null, nowMs: number): number | null {
  if (value === null) return null;
  const text = value.trim();
  if (/^\d{1,12}\.\d{1,12}$/.test(text)) return Math.ceil(Number(text)) * SECOND;
  return parseRetryAfterMs(text, nowMs);
}
