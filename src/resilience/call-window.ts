// A sliding window of calls: `slotCount` time slots of `slotMs` each. It moves with the clock that it
// is given, so a gap of any length leaves it empty, and a clock that steps back changes nothing.
// Recording allocates nothing. Slow calls are counted besides their outcome.

import { Outcome } from "./outcome.ts";

export const WINDOW_SLOTS = 10;
const FIELDS = 4;
const SLOW = 3;

export interface CallWindow {
  readonly slotMs: number;
  /** Slot-major: ok, failRemote, failLocal, slow. */
  readonly counts: Int32Array;
  readonly totals: Int32Array;
  slotEndsAt: number;
  slotIndex: number;
}

/** An empty window over the last `windowMs`, in steps of a tenth of it. */
export function createCallWindow(windowMs: number): CallWindow {
  return {
    slotMs: windowMs / WINDOW_SLOTS,
    counts: new Int32Array(WINDOW_SLOTS * FIELDS),
    totals: new Int32Array(FIELDS),
    slotEndsAt: Number.NEGATIVE_INFINITY,
    slotIndex: 0,
  };
}

/** Drops the slots that `now` has left behind. */
export function advanceWindow(window: CallWindow, now: number): void {
  if (now >= window.slotEndsAt) dropPassedSlots(window, now);
}

function dropPassedSlots(window: CallWindow, now: number): void {
  const { slotMs } = window;
  const slotsPassed = Math.floor((now - window.slotEndsAt) / slotMs) + 1;
  const cleared = Math.min(slotsPassed, WINDOW_SLOTS);
  for (let step = 0; step < cleared; step++) {
    window.slotIndex = (window.slotIndex + 1) % WINDOW_SLOTS;
    clearSlot(window, window.slotIndex);
  }
  window.slotEndsAt = (Math.floor(now / slotMs) + 1) * slotMs;
}

/** Counts one call. An ignored call leaves no trace. */
export function recordCall(window: CallWindow, outcome: Outcome, slow: boolean, now: number): void {
  if (outcome === Outcome.ignored) return;
  advanceWindow(window, now);
  const base = window.slotIndex * FIELDS;
  window.counts[base + outcome]++;
  window.totals[outcome]++;
  if (slow) {
    window.counts[base + SLOW]++;
    window.totals[SLOW]++;
  }
}

/** Calls by outcome, slow ones besides; for what comes added up. */
export interface CallSums {
  readonly ok: number;
  readonly failRemote: number;
  readonly failLocal: number;
  readonly slow: number;
}

/** Counts many calls at once. */
export function recordCalls(window: CallWindow, sums: CallSums, now: number): void {
  advanceWindow(window, now);
  const base = window.slotIndex * FIELDS;
  for (const [field, count] of [sums.ok, sums.failRemote, sums.failLocal, sums.slow].entries()) {
    window.counts[base + field] += count;
    window.totals[field] += count;
  }
}

export function resetWindow(window: CallWindow): void {
  window.counts.fill(0);
  window.totals.fill(0);
}

export function okCount(window: CallWindow): number {
  return window.totals[Outcome.ok];
}

export function remoteFailureCount(window: CallWindow): number {
  return window.totals[Outcome.failRemote];
}

export function localFailureCount(window: CallWindow): number {
  return window.totals[Outcome.failLocal];
}

export function slowCount(window: CallWindow): number {
  return window.totals[SLOW];
}

export function callCount(window: CallWindow): number {
  return window.totals[Outcome.ok] + window.totals[Outcome.failRemote] + window.totals[Outcome.failLocal];
}

/** Calls of the last `recentMs`, in whole slots: of the running one, too. */
export function recentCalls(window: CallWindow, recentMs: number, now: number): number {
  const failures = recentFailures(window, recentMs, now);
  return failures + recentOf(window, Outcome.ok, recentMs);
}

export function recentFailures(window: CallWindow, recentMs: number, now: number): number {
  advanceWindow(window, now);
  return recentOf(window, Outcome.failRemote, recentMs) + recentOf(window, Outcome.failLocal, recentMs);
}

export function recentSlow(window: CallWindow, recentMs: number, now: number): number {
  advanceWindow(window, now);
  return recentOf(window, SLOW, recentMs);
}

function recentOf({ counts, slotIndex, slotMs }: CallWindow, field: number, recentMs: number): number {
  const slots = Math.min(WINDOW_SLOTS, Math.max(1, Math.ceil(recentMs / slotMs)));
  let sum = 0;
  for (let back = 0; back < slots; back++) {
    sum += counts[((slotIndex + WINDOW_SLOTS - back) % WINDOW_SLOTS) * FIELDS + field];
  }
  return sum;
}

function clearSlot(window: CallWindow, slot: number): void {
  for (let field = 0; field < FIELDS; field++) {
    window.totals[field] -= window.counts[slot * FIELDS + field];
    window.counts[slot * FIELDS + field] = 0;
  }
}
