// Where one instance of a saga stands. Plain data that JSON can carry: it is stored whole after each event.

import type { SagaDefinition } from "./definition.ts";
import { stepsOf } from "./definition.ts";
import type { Json } from "./template.ts";

export const PHASES = [
  "pending",
  "running",
  "completed",
  "compensating",
  "compensated",
  "parked",
  "abandoned",
] as const;
export type SagaPhase = (typeof PHASES)[number];

export type Direction = "forward" | "undo";

/** `unknown`: it may have been done, and nobody can tell. `manual`: a person did it. */
export type ForwardState = "pending" | "inflight" | "waiting" | "succeeded" | "failed" | "unknown" | "manual";
/** `none`: never asked for. `skipped`: there is nothing to undo. `failed`: for good, until a person comes. */
export type UndoState =
  | "none"
  | "pending"
  | "inflight"
  | "waiting"
  | "done"
  | "failed"
  | "skipped"
  | "manual";

/** The tries of one step in one direction. */
export interface Attempts {
  /** Rises when the upstream is asked anew after a definite no: it may remember its answer by the key. */
  epoch: number;
  /** Calls that may have reached the upstream. */
  attempts: number;
  /** Times that a call could not even be sent, e.g. because a circuit was open. */
  deferrals: number;
  /** How often `outcome` was asked without an answer that says anything. */
  asks: number;
  /** The number of calls that there had been when `outcome` was asked last. */
  askedAfter: number;
  startedAt: number | null;
  endedAt: number | null;
  /** What is under way: the call itself, or the question whether an earlier one was done. */
  purpose: "call" | "outcome";
  /** Until then what is under way counts as alive. */
  leaseUntil: number | null;
  /** When the next try is due. */
  nextAt: number | null;
  /** The upstream's last answer. */
  status: number | null;
  error: string | null;
  /** Whether the upstream's last answer was a definite no. */
  refused: boolean;
  /** Whether a call under this key may have been done without an answer. */
  lost: boolean;
}

export interface StepState {
  readonly id: string;
  forward: ForwardState;
  undo: UndoState;
  /** Position in the order in which steps began. */
  order: number | null;
  /** A call whose answer never came: the step may have been done. */
  inDoubt: boolean;
  /** Whether it was ever in doubt. A late request may still arrive. */
  wasInDoubt: boolean;
  output: Json | null;
  hasOutput: boolean;
  readonly call: Attempts;
  readonly undoCall: Attempts;
}

/** Why a saga stopped going forward. */
export interface Stop {
  readonly reason: "failed" | "timeout" | "cancelled";
  /** The step that failed. */
  readonly step: string | null;
  readonly note: string | null;
  readonly at: number;
}

export interface SagaState {
  phase: SagaPhase;
  /** The number of the executor that may act; those before it are fenced off. */
  run: number;
  stop: Stop | null;
  /** After the pivot there is only forward. */
  passedPivot: boolean;
  /** Whether the time is over though nothing may be undone any more. */
  isLate: boolean;
  /** Whether an executor may sleep over a try that was called off. */
  hasSleeper: boolean;
  readonly createdAt: number;
  readonly timeoutAt: number;
  updatedAt: number;
  endedAt: number | null;
  nextOrder: number;
  readonly steps: StepState[];
}

/** What an executor can do: one step in one direction. */
export interface Work {
  readonly step: string;
  readonly direction: Direction;
}

export function createState(definition: SagaDefinition, now: number): SagaState {
  return {
    phase: "pending",
    run: 1,
    stop: null,
    passedPivot: false,
    isLate: false,
    hasSleeper: false,
    createdAt: now,
    timeoutAt: now + definition.timeoutMs,
    updatedAt: now,
    endedAt: null,
    nextOrder: 1,
    steps: stepsOf(definition).map(({ id }) => ({
      id,
      forward: "pending",
      undo: "none",
      order: null,
      inDoubt: false,
      wasInDoubt: false,
      output: null,
      hasOutput: false,
      call: createAttempts(),
      undoCall: createAttempts(),
    })),
  };
}

function createAttempts(): Attempts {
  return {
    epoch: 1,
    attempts: 0,
    deferrals: 0,
    asks: 0,
    askedAfter: 0,
    startedAt: null,
    endedAt: null,
    purpose: "call",
    leaseUntil: null,
    nextAt: null,
    status: null,
    error: null,
    refused: false,
    lost: false,
  };
}

/** Whether nothing will happen any more unless a person comes. */
export function isOver({ phase }: SagaState): boolean {
  return phase === "completed" || phase === "compensated" || phase === "abandoned";
}

/** Whether an executor has something to do. */
export function isActive({ phase }: Pick<SagaState, "phase">): boolean {
  return phase === "pending" || phase === "running" || phase === "compensating";
}

export function attemptsOf(step: StepState, direction: Direction): Attempts {
  return direction === "forward" ? step.call : step.undoCall;
}

/** A state that can be changed without the one before noticing. */
export function copyState(state: SagaState): SagaState {
  return structuredClone(state);
}
