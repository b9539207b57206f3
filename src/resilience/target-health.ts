// What is known of one target from its own results, and what can happen to it. target-ejection.ts moves it.

import type { CallWindow } from "./call-window.ts";
import { createCallWindow } from "./call-window.ts";

export const EJECT_WINDOW_MS = 10_000;

export type EjectionReason = "consecutive" | "failure-rate" | "relapse";

/** What happened to a target, with the numbers that decided. */
export type TargetMove =
  | {
      readonly kind: "ejected";
      readonly target: number;
      readonly at: number;
      readonly reason: EjectionReason;
      readonly consecutive: number;
      readonly calls: number;
      readonly failures: number;
      readonly strikes: number;
      readonly ejectedForMs: number;
    }
  | {
      readonly kind: "returned";
      readonly target: number;
      readonly at: number;
      readonly strikes: number;
      readonly ejectedForMs: number;
    };

export interface TargetHealth {
  readonly window: CallWindow;
  place: "in" | "ejected" | "returning";
  consecutive: number;
  /** How many ejections its healthy periods have not made up for yet. */
  strikes: number;
  ejectedAt: number;
  /** The end of its last ejection. What began before says nothing about it. */
  ejectedUntil: number;
  /** From here on the next healthy period counts. */
  healthyFrom: number;
  /** It has come back and has yet to show that it is well. */
  suspect: boolean;
  /** It should be ejected and may not. */
  withheld: boolean;
  /** Whether a good result has anything to change here. */
  isWatched: boolean;
  readonly tally: { ejections: number; withheld: number };
}

export function createTargetHealth(): TargetHealth {
  return {
    window: createCallWindow(EJECT_WINDOW_MS),
    place: "in",
    consecutive: 0,
    strikes: 0,
    ejectedAt: Number.NEGATIVE_INFINITY,
    ejectedUntil: Number.NEGATIVE_INFINITY,
    healthyFrom: Number.NEGATIVE_INFINITY,
    suspect: false,
    withheld: false,
    isWatched: false,
    tally: { ejections: 0, withheld: 0 },
  };
}
