// When an outbox refuses more work, and for how long it tells producers to wait.
//
//   depth >= watermark          P1, P2 and P3 are refused
//   depth >= 1.25 * watermark   P0 too
//   depth <= resume * watermark nothing is refused any more
//
// Between the bounds it stays as it was. So from one change of mind to the next the depth has crossed the
// whole band between resume and watermark: it cannot flap.
//
//   wait = (depth - resume * watermark) / drain rate,  between 1 and 300 s

import type { TrafficClass } from "../../resilience/level.ts";
import type { Pressure, QueueTerms } from "./protocol.ts";

/** P0 has this much more room than the others. */
export const CRITICAL_ROOM = 1.25;
export const MIN_WAIT_MS = 1_000;
export const MAX_WAIT_MS = 300_000;

/** Nothing is refused; all but P0; everything. */
export type Refusing = "nothing" | "ordinary" | "everything";

export type GateTerms = Pick<QueueTerms, "highWatermark" | "resumeAt">;

/** What is refused at this depth, by what was refused before. */
export function nextRefusing(before: Refusing, depth: number, terms: GateTerms): Refusing {
  const { highWatermark, resumeAt } = terms;
  if (depth >= CRITICAL_ROOM * highWatermark) return "everything";
  if (depth <= resumeAt * highWatermark) return "nothing";
  if (before === "nothing" && depth >= highWatermark) return "ordinary";
  return before;
}

/** Whether a job of this class is taken in. */
export function admits(refusing: Refusing, priority: TrafficClass): boolean {
  return refusing === "nothing" || (refusing === "ordinary" && priority === 0);
}

/** Ms after which a refused producer shall come again. */
export function refusalWaitMs(depth: number, terms: GateTerms, drainPerSecond: number): number {
  const excess = Math.max(0, depth - terms.resumeAt * terms.highWatermark);
  // Nothing drains: 0/0 must not become "at once".
  const waitMs = drainPerSecond > 0 ? (excess / drainPerSecond) * 1_000 : MAX_WAIT_MS;
  return Math.ceil(Math.min(Math.max(waitMs, MIN_WAIT_MS), MAX_WAIT_MS));
}

/** What producers are told. */
export function pressureOf(
  refusing: Refusing,
  depth: number,
  terms: GateTerms,
  drainPerSecond: number,
): Pressure {
  return {
    depth,
    watermark: terms.highWatermark,
    rejecting: refusing !== "nothing",
    rejectingCritical: refusing === "everything",
    retryAfterMs: refusing === "nothing" ? 0 : refusalWaitMs(depth, terms, drainPerSecond),
  };
}
