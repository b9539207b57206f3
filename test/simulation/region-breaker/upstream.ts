// Upstreams that a region's breakers are tried on: what a call at some time comes to, and how long it takes.
// Times are elapsed ms of the run.

import type { RandomSource } from "../../../src/resilience/random.ts";
import { nextRandom } from "../../../src/resilience/random.ts";

export interface Answer {
  readonly isGood: boolean;
  readonly latencyMs: number;
  /** How long the upstream asks to be left alone; 0: it does not. */
  readonly retryAfterMs: number;
}

export type Upstream = (elapsedMs: number, random: RandomSource) => Answer;

/** Answers in 5 to 25 ms; `errorRate` of its answers are errors. */
export function failingAt(errorRate: number): Upstream {
  return (_elapsedMs, random) => ({
    isGood: nextRandom(random) >= errorRate,
    latencyMs: 5 + 20 * nextRandom(random),
    retryAfterMs: 0,
  });
}

/** Like `failingAt(0)`, but for calls between two times: those fail after `failMs`. */
export function downBetween(fromMs: number, untilMs: number, failMs = 10, retryAfterMs = 0): Upstream {
  const healthy = failingAt(0);
  return (elapsedMs, random) =>
    elapsedMs >= fromMs && elapsedMs < untilMs
      ? { isGood: false, latencyMs: failMs, retryAfterMs }
      : healthy(elapsedMs, random);
}

/** Up for `upMs`, down for `downMs`, and so on. */
export function flapping(upMs: number, downMs: number): Upstream {
  const healthy = failingAt(0);
  return (elapsedMs, random) =>
    elapsedMs % (upMs + downMs) < upMs
      ? healthy(elapsedMs, random)
      : { isGood: false, latencyMs: 10, retryAfterMs: 0 };
}

/** Every answer takes `latencyMs`, between two times. */
export function slowBetween(fromMs: number, untilMs: number, latencyMs: number): Upstream {
  const healthy = failingAt(0);
  return (elapsedMs, random) =>
    elapsedMs >= fromMs && elapsedMs < untilMs
      ? { isGood: true, latencyMs, retryAfterMs: 0 }
      : healthy(elapsedMs, random);
}

/** Refuses what goes beyond `perSecond` calls in a tenth of a second, from the start or after an outage. */
export function limitedTo(perSecond: number, within: Upstream): Upstream {
  let tenth = -1;
  let calls = 0;
  return (elapsedMs, random) => {
    if (Math.floor(elapsedMs / 100) !== tenth) {
      tenth = Math.floor(elapsedMs / 100);
      calls = 0;
    }
    calls++;
    if (calls > perSecond / 10) return { isGood: false, latencyMs: 5, retryAfterMs: 0 };
    return within(elapsedMs, random);
  };
}
