// What a region tells isolates of upstreams that they do not use: that a circuit is open, and for how long.
// Their first request would find out otherwise.

import { closeBreaker } from "./breaker-moves.ts";
import type { Breaker } from "./breaker-state.ts";
import type { BreakerVerdict, Regional } from "./regional-breaker.ts";
import { followVerdict } from "./regional-breaker.ts";

/**
 * Takes in that an upstream which this isolate does not use is open. Nothing will be said when it is not any
 * more, so this ends by itself, and then nothing is known (`endHearsay`).
 */
export function hearOpen(breaker: Breaker, verdict: BreakerVerdict, now: number): void {
  followVerdict(breaker, verdict, now);
  const { regional } = breaker;
  if (regional === null || regional.phase !== "open") return;
  regional.isHearsay = true;
  regional.until = now + verdict.openForMs;
}

/** Nothing is known any more: calls pass, and count as those of an isolate that has never heard anything. */
export function endHearsay(breaker: Breaker, regional: Regional, now: number): void {
  regional.isHearsay = false;
  regional.generation = 0;
  regional.phase = "closed";
  closeBreaker(breaker, now, "open-time-over");
}

/** Whether all that is known is that it was open, until a while ago. */
export function isHearsayOver({ regional }: Breaker, now: number): boolean {
  return regional !== null && regional.isHearsay && now >= regional.until;
}
