// A retry budget: retries may be a share of the admitted originals of the last ten seconds, plus a
// floor of one a second so that little traffic can still retry (Finagle's RetryBudget: deposits expire).
//
//   retries in window < share * originals in window + 1/s * window
//
// A retry is counted when it is scheduled, its backoff included. Only originals are deposits, so the
// base does not shrink as originals turn into retries.

export const BUDGET_WINDOW_MS = 10_000;
export const FLOOR_RETRIES_PER_SECOND = 1;
const SLOTS = 10;
const SLOT_MS = BUDGET_WINDOW_MS / SLOTS;

export interface RetryBudget {
  share: number;
  readonly originals: Int32Array;
  readonly retries: Int32Array;
  originalsTotal: number;
  retriesTotal: number;
  slotIndex: number;
  slotEndsAt: number;
}

export function createRetryBudget(share: number): RetryBudget {
  return {
    share,
    originals: new Int32Array(SLOTS),
    retries: new Int32Array(SLOTS),
    originalsTotal: 0,
    retriesTotal: 0,
    slotIndex: 0,
    slotEndsAt: Number.NEGATIVE_INFINITY,
  };
}

export function depositOriginal(budget: RetryBudget, now: number): void {
  depositOriginals(budget, 1, now);
}

export function depositOriginals(budget: RetryBudget, count: number, now: number): void {
  advance(budget, now);
  budget.originals[budget.slotIndex] += count;
  budget.originalsTotal += count;
}

/** Counts retries that somebody else has scheduled. */
export function noteRetries(budget: RetryBudget, count: number, now: number): void {
  advance(budget, now);
  budget.retries[budget.slotIndex] += count;
  budget.retriesTotal += count;
}

/** Retries that may still be scheduled now. */
export function retriesLeft(budget: RetryBudget, now: number): number {
  advance(budget, now);
  const floor = (FLOOR_RETRIES_PER_SECOND * BUDGET_WINDOW_MS) / 1000;
  return Math.max(0, budget.share * budget.originalsTotal + floor - budget.retriesTotal);
}

/** Whether one more retry may be scheduled now; if so it is counted. */
export function takeRetry(budget: RetryBudget, now: number): boolean {
  if (retriesLeft(budget, now) < 1) return false;
  noteRetries(budget, 1, now);
  return true;
}

/** Full jitter (AWS architecture blog, "Exponential Backoff And Jitter"): U(0, min(cap, base * 2^retry)). */
export function backoffMs(retry: number, delayMs: number, maxDelayMs: number, random: number): number {
  return random * Math.min(maxDelayMs, delayMs * 2 ** retry);
}

function advance(budget: RetryBudget, now: number): void {
  if (now >= budget.slotEndsAt) dropPassedSlots(budget, now);
}

function dropPassedSlots(budget: RetryBudget, now: number): void {
  const passed = Math.floor((now - budget.slotEndsAt) / SLOT_MS) + 1;
  for (let step = 0; step < Math.min(passed, SLOTS); step++) {
    budget.slotIndex = (budget.slotIndex + 1) % SLOTS;
    budget.originalsTotal -= budget.originals[budget.slotIndex];
    budget.retriesTotal -= budget.retries[budget.slotIndex];
    budget.originals[budget.slotIndex] = 0;
    budget.retries[budget.slotIndex] = 0;
  }
  budget.slotEndsAt = (Math.floor(now / SLOT_MS) + 1) * SLOT_MS;
}
