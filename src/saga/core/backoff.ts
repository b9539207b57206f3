// How long to wait between the tries of one step. Exponential, the upper half of it by chance, so that
// instances that failed together do not come back together:
//   min(maxDelay, delay * 2^(tries - 1)) * (1/2 + chance / 2)

import type { RetryTerms } from "./definition.ts";

/** An upstream that names a longer time than this is asked earlier. */
export const MAX_RETRY_AFTER_MS = 3_600_000;
/** Between attempts to send at all. */
export const DEFER_TERMS: RetryTerms = { attempts: 0, delayMs: 500, maxDelayMs: 15_000 };

/** Ms until the next try after `tries` of them; `chance` is at least 0 and below 1. */
export function retryDelayMs(
  terms: RetryTerms,
  tries: number,
  retryAfterMs: number | null,
  chance: number,
): number {
  const doubled = terms.delayMs * 2 ** Math.min(30, Math.max(0, tries - 1));
  const jittered = Math.min(terms.maxDelayMs, doubled) * (0.5 + chance / 2);
  return Math.round(Math.max(jittered, Math.min(retryAfterMs ?? 0, MAX_RETRY_AFTER_MS)));
}
