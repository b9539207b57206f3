// The gateway's defaults with a few numbers changed, for rows that show what a number does.

import type { BreakerOptions } from "../../../src/resilience/breaker.ts";
import type { TidegateOptions } from "../harness/tidegate-options.ts";
import { DEFAULT_OPTIONS } from "../harness/tidegate-options.ts";

const { upstream } = DEFAULT_OPTIONS;

export function withBreaker(
  changed: Partial<BreakerOptions>,
  timeoutMs = upstream.timeoutMs,
): TidegateOptions {
  const breaker = upstream.breaker && { ...upstream.breaker, ...changed };
  return { ...DEFAULT_OPTIONS, upstream: { ...upstream, timeoutMs, breaker } };
}

/** `concurrency.max`, of a region; of an isolate that has no hub. */
export function withMax(max: number): TidegateOptions {
  return { ...DEFAULT_OPTIONS, upstream: { ...upstream, concurrency: { ...upstream.concurrency, max } } };
}

/** How a row speaks of a region. */
export function regionOf(isolates: number): string {
  return `a region of ${isolates === 1 ? "one isolate" : `${isolates} isolates`}`;
}
