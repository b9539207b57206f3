// When a ledger takes no more sagas in, and for how long it tells producers to wait. Two things can be too
// many, each with the bounds of src/delivery/core/backpressure.ts (all but P0 are refused from its watermark
// on, P0 from 1.25 of it, nobody any more below 0.7 of it):
//
//   under way    instances that have not ended and are not parked; they drain as instances end
//   uncreated    instances whose executor the platform has yet to create, since it creates only so many a
//                second; they drain as executors are created

import type { GateTerms, Refusing } from "../../src/delivery/core/backpressure.ts";
import { admits, nextRefusing, refusalWaitMs } from "../../src/delivery/core/backpressure.ts";
import type { SagaOrigin } from "../../src/saga/core/protocol.ts";

/** Instances under way; more are refused until some have ended. */
export const ACTIVE_TERMS: GateTerms = { highWatermark: 20_000, resumeAt: 0.7 };
/** Half a minute of what the platform creates for one workflow. */
export const UNCREATED_TERMS: GateTerms = { highWatermark: 3_000, resumeAt: 0.7 };

export interface StartGate {
  readonly active: Refusing;
  readonly uncreated: Refusing;
}

export const OPEN_GATE: StartGate = { active: "nothing", uncreated: "nothing" };

/** Depths, and how many of each go per second. */
export interface StartLoad {
  readonly active: number;
  readonly endedPerSecond: number;
  readonly uncreated: number;
  readonly createdPerSecond: number;
}

/** The gate at this load, by what it was before. */
export function nextGate(before: StartGate, load: StartLoad): StartGate {
  return {
    active: nextRefusing(before.active, load.active, ACTIVE_TERMS),
    uncreated: nextRefusing(before.uncreated, load.uncreated, UNCREATED_TERMS),
  };
}

/** Ms after which a saga of this class that is refused may come again; null: it is taken in. */
export function refusalOf(
  gate: StartGate,
  load: StartLoad,
  priority: SagaOrigin["trafficClass"],
): number | null {
  const { active, endedPerSecond, uncreated, createdPerSecond } = load;
  const waits = [
    admits(gate.active, priority) ? 0 : refusalWaitMs(active, ACTIVE_TERMS, endedPerSecond),
    admits(gate.uncreated, priority) ? 0 : refusalWaitMs(uncreated, UNCREATED_TERMS, createdPerSecond),
  ];
  const waitMs = Math.max(...waits);
  return waitMs === 0 ? null : waitMs;
}
