// What is known of a region's concurrency limit: the limit itself, what is borne, what was tried and when.
// region-limit.ts moves it.

import { START_LIMIT } from "./concurrency-limit.ts";
import type { LimitWindow } from "./limit-window.ts";
import { createLimitWindow } from "./limit-window.ts";

export const SHORTEST_HOLD_MS = 5_000;

export interface Trial {
  readonly limit: number;
  readonly servedPerMs: number;
}

/** What the isolates of a region have in flight and serve, all together, and how many they are. */
export interface RegionSums {
  readonly inflight: number;
  readonly servedPerMs: number;
  readonly isolates: number;
  /** Permits that they go by: what they were given, or less where they have found out more. */
  readonly goneBy: number;
}

export interface Window extends RegionSums {
  readonly tailMs: number;
}

export interface RegionLimit {
  max: number;
  exact: number;
  smoothTailMs: number;
  baselineMs: number;
  nextBaselineMs: number;
  baselineTurnsAt: number;
  /** Most in flight of the last one to two minutes. */
  peak: number;
  nextPeak: number;
  peakTurnsAt: number;
  holdUntil: number;
  holdMs: number;
  /** When it was last cut for calls that were refused. */
  refusedAt: number;
  /** Whether calls were refused in the window before. */
  wasRefused: boolean;
  gentleUntil: number;
  /** After a recovery it grows only while hardly anything waits at the upstream. */
  steadyUntil: number;
  /** Nothing has been cut yet. */
  isUntried: boolean;
  /** Up to here it has been good before. */
  ceiling: number;
  /** Windows that begin earlier hold calls from before the last cut. */
  judgedFrom: number;
  trial: Trial | null;
  nextTrialAt: number;
  /** What was served before the first of the trials that followed each other, and until when it counts. */
  heldPerMs: number;
  heldUntil: number;
  readonly window: LimitWindow;
  /** Windows that ended: in flight and served per ms, the oldest first. */
  readonly seen: Window[];
}

export function createRegionLimit(max: number): RegionLimit {
  return {
    max,
    exact: Math.min(max, START_LIMIT),
    smoothTailMs: 0,
    baselineMs: Number.POSITIVE_INFINITY,
    nextBaselineMs: Number.POSITIVE_INFINITY,
    baselineTurnsAt: Number.NEGATIVE_INFINITY,
    peak: 0,
    nextPeak: 0,
    peakTurnsAt: Number.NEGATIVE_INFINITY,
    holdUntil: 0,
    refusedAt: Number.NEGATIVE_INFINITY,
    wasRefused: false,
    holdMs: SHORTEST_HOLD_MS,
    gentleUntil: 0,
    steadyUntil: 0,
    ceiling: 0,
    isUntried: true,
    judgedFrom: Number.NEGATIVE_INFINITY,
    trial: null,
    nextTrialAt: 0,
    heldPerMs: 0,
    heldUntil: 0,
    window: createLimitWindow(),
    seen: [],
  };
}
