// What an upstream usually takes, as an isolate's concurrency limit learns it from its windows:
//
//   smooth      an eighth of each window's lower quartile. At first what the slowest answer took, and that
//               for three times as long: only the fast ones of what was sent are back
//   baseline    the least of the smoothed ones of the last 30 to 60 s: the least of noisy numbers would be
//               too small

import type { SampleWindow } from "./sample-window.ts";
import { latencyOf } from "./sample-window.ts";

const SMOOTHING = 1 / 8;
const BASELINE_MS = 30_000;
const YOUNG_TIMES = 3;

export interface UsualLatency {
  /** 0: nothing is known yet. */
  smoothMs: number;
  /** In flight while that was seen. */
  smoothInflight: number;
  baselineMs: number;
  nextBaselineMs: number;
  turnsAt: number;
  /** Until then only the fast ones of what was sent first are back. */
  youngUntil: number;
}

export function createUsualLatency(): UsualLatency {
  return {
    smoothMs: 0,
    smoothInflight: 0,
    baselineMs: Number.POSITIVE_INFINITY,
    nextBaselineMs: Number.POSITIVE_INFINITY,
    turnsAt: 0,
    youngUntil: 0,
  };
}

/** Takes in a window that has served something. True: what is older than 30 s has been forgotten. */
export function learnUsual(
  usual: UsualLatency,
  window: SampleWindow,
  latencyMs: number,
  now: number,
): boolean {
  const inflight = window.inflightOfServed / window.served;
  if (usual.smoothMs === 0) {
    usual.smoothMs = latencyOf(window, 1);
    usual.smoothInflight = inflight;
    usual.youngUntil = window.startedAt + YOUNG_TIMES * usual.smoothMs;
  }
  if (now >= usual.youngUntil) usual.smoothMs += SMOOTHING * (latencyMs - usual.smoothMs);
  usual.smoothInflight += SMOOTHING * (inflight - usual.smoothInflight);
  const turns = now >= usual.turnsAt;
  if (turns) {
    usual.baselineMs = usual.nextBaselineMs;
    usual.nextBaselineMs = Number.POSITIVE_INFINITY;
    usual.turnsAt = now + BASELINE_MS;
  }
  usual.baselineMs = Math.min(usual.baselineMs, usual.smoothMs);
  usual.nextBaselineMs = Math.min(usual.nextBaselineMs, usual.smoothMs);
  return turns;
}

/** It was not what was in flight that made it slow: as it is now, it is usual. */
export function takeAsUsual(usual: UsualLatency): void {
  usual.baselineMs = usual.smoothMs;
  usual.nextBaselineMs = usual.smoothMs;
}
