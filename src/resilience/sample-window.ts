// What an isolate's concurrency limit has seen since it last decided: finished tries by what became of them,
// how long the served ones took, how many were in flight. Noting one allocates nothing.

import { createLatencyRing, keepLatency, quantileOf } from "./latency-ring.ts";

export interface SampleWindow {
  startedAt: number;
  readonly latencies: Float64Array;
  served: number;
  /** Summed over the served ones: what was in flight when they began. */
  inflightOfServed: number;
  refused: number;
  timedOut: number;
  throttled: number;
  peakInflight: number;
}

export function createSampleWindow(): SampleWindow {
  return {
    startedAt: Number.NEGATIVE_INFINITY,
    latencies: createLatencyRing(),
    served: 0,
    inflightOfServed: 0,
    refused: 0,
    timedOut: 0,
    throttled: 0,
    peakInflight: 0,
  };
}

/** The first try of all begins the first window. */
export function beginWindow(window: SampleWindow, startedAt: number, inflight: number): void {
  if (window.startedAt === Number.NEGATIVE_INFINITY) window.startedAt = startedAt;
  if (inflight > window.peakInflight) window.peakInflight = inflight;
}

export function noteServed(window: SampleWindow, latencyMs: number, inflight: number): void {
  keepLatency(window.latencies, window.served++, latencyMs);
  window.inflightOfServed += inflight;
}

export function samplesIn({ served, refused, timedOut, throttled }: SampleWindow): number {
  return served + refused + timedOut + throttled;
}

/** A quantile of what served calls took; 0: none were. */
export function latencyOf({ latencies, served }: SampleWindow, quantile: number): number {
  return served > 0 ? quantileOf(latencies, served, quantile) : 0;
}

export function servedPerMs({ served, startedAt }: SampleWindow, now: number): number {
  return served / Math.max(1, now - startedAt);
}

export function clearWindow(window: SampleWindow, now: number): void {
  window.startedAt = now;
  window.served = 0;
  window.inflightOfServed = 0;
  window.refused = 0;
  window.timedOut = 0;
  window.throttled = 0;
  window.peakInflight = 0;
}
