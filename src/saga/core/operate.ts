// What people and the clock do to a saga: cancel it, let its time run out, repair what is parked.

import type { SagaDefinition } from "./definition.ts";
import { advance, endAs, stepOf, stopForward } from "./progress.ts";
import type { Attempts, Direction, SagaState, StepState, Stop } from "./state.ts";
import { copyState } from "./state.ts";

export type Operation =
  | { readonly kind: "cancel"; readonly note: string | null; readonly abandon: boolean }
  | { readonly kind: "retry-compensation"; readonly note: string | null; readonly step: string | null }
  | { readonly kind: "mark-compensated"; readonly note: string | null; readonly step: string | null };

export type Operated =
  | { readonly kind: "done"; readonly state: SagaState; readonly replaceExecutor: boolean }
  /** It is so already. */
  | { readonly kind: "unchanged" }
  | { readonly kind: "refused"; readonly why: string };

/** What an operator asks for. */
export function operate(
  definition: SagaDefinition,
  before: SagaState,
  operation: Operation,
  now: number,
): Operated {
  const state = copyState(before);
  state.updatedAt = now;
  switch (operation.kind) {
    case "cancel":
      return cancel(definition, state, operation, now);
    case "retry-compensation":
      return retryParked(definition, state, operation.step, now);
    case "mark-compensated":
      return markParked(definition, state, operation.step, now);
  }
}

function cancel(
  definition: SagaDefinition,
  state: SagaState,
  { note, abandon }: Operation & { readonly kind: "cancel" },
  now: number,
): Operated {
  if (state.phase === "parked") {
    if (!abandon) {
      return { kind: "refused", why: "It is parked: repair it, or send abandon: true to give it up." };
    }
    endAs(state, "abandoned", now);
    return { kind: "done", state, replaceExecutor: false };
  }
  if (state.phase === "compensating" || state.phase === "compensated") return { kind: "unchanged" };
  if (state.phase !== "pending" && state.phase !== "running") {
    return { kind: "refused", why: `It is ${state.phase}: there is nothing to cancel.` };
  }
  if (state.stop !== null) return { kind: "unchanged" };
  if (!mayTurnRound(definition, state)) {
    return { kind: "refused", why: "Its pivot has begun: from there a saga only goes forward." };
  }
  turn(definition, state, { reason: "cancelled", step: null, note, at: now });
  return { kind: "done", state, replaceExecutor: false };
}

/** Its time is over: undone while that is possible, else only marked as late. null: nothing to do. */
export function expire(definition: SagaDefinition, before: SagaState, now: number): SagaState | null {
  const isForward = before.phase === "pending" || before.phase === "running";
  if (!isForward || before.stop !== null || now < before.timeoutAt) return null;
  const state = copyState(before);
  state.updatedAt = now;
  if (mayTurnRound(definition, state)) {
    return turn(definition, state, { reason: "timeout", step: null, note: null, at: now });
  }
  if (before.isLate) return null;
  state.isLate = true;
  return state;
}

/** Up to the pivot; a pivot that waits for its next try, and was surely not done, has not begun. */
function mayTurnRound(definition: SagaDefinition, state: SagaState): boolean {
  if (state.passedPivot) return false;
  return definition.groups.flat().every(({ id, kind }) => {
    const { forward, inDoubt } = stepOf(state, id);
    return kind === "compensatable" || forward === "pending" || (forward === "waiting" && !inDoubt);
  });
}

function turn(definition: SagaDefinition, state: SagaState, stop: Stop): SagaState {
  stopForward(state, stop);
  advance(definition, state, stop.at);
  return state;
}

function retryParked(
  definition: SagaDefinition,
  state: SagaState,
  only: string | null,
  now: number,
): Operated {
  if (state.phase !== "parked") return notParked(state);
  const stuck = stuckSteps(state, only);
  if (stuck.length === 0) return noSuchStep(only);
  for (const step of stuck) {
    if (step.undo === "failed") {
      step.undo = "pending";
      startOver(step.undoCall);
    } else {
      step.forward = "waiting";
      startOver(step.call);
      step.call.nextAt = now;
    }
  }
  const direction = stuck.some(({ undo }) => undo === "pending") ? "undo" : "forward";
  return goOn(definition, state, direction, now);
}

/** A definite no may be remembered by its key, so the next try gets another one; a doubtful one must not. */
function startOver(tries: Attempts): void {
  if (tries.refused && !tries.lost) tries.epoch++;
  tries.refused = false;
  tries.attempts = 0;
  tries.askedAfter = 0;
  tries.asks = 0;
  tries.endedAt = null;
  tries.nextAt = null;
}

function markParked(
  definition: SagaDefinition,
  state: SagaState,
  only: string | null,
  now: number,
): Operated {
  if (state.phase !== "parked") return notParked(state);
  const stuck = stuckSteps(state, only);
  if (stuck.length === 0) return noSuchStep(only);
  for (const step of stuck) {
    if (step.undo === "failed") step.undo = "manual";
    else {
      step.forward = "manual";
      step.inDoubt = false;
    }
  }
  const direction = state.steps.some(({ undo }) => undo !== "none") ? "undo" : "forward";
  return goOn(definition, state, direction, now);
}

/** What was parked is under way again, with another executor. */
function goOn(definition: SagaDefinition, state: SagaState, direction: Direction, now: number): Operated {
  state.phase = direction === "undo" ? "compensating" : "running";
  if (direction === "forward") state.stop = null;
  advance(definition, state, now);
  return { kind: "done", state, replaceExecutor: true };
}

/** What keeps a saga parked: compensations that failed, else steps behind which there is no way back. */
function stuckSteps(state: SagaState, only: string | null): StepState[] {
  const undo = state.steps.filter((step) => step.undo === "failed");
  const forward = state.steps.filter(({ forward: at }) => at === "failed" || at === "unknown");
  const isTurned = state.steps.some((step) => step.undo !== "none");
  const stuck = isTurned ? undo : forward;
  return only === null ? stuck : stuck.filter(({ id }) => id === only);
}

function notParked({ phase }: SagaState): Operated {
  return { kind: "refused", why: `It is ${phase}: only a parked saga can be repaired.` };
}

function noSuchStep(only: string | null): Operated {
  return { kind: "refused", why: only === null ? "No step is parked." : `The step ${only} is not parked.` };
}
