// From which step a saga goes on, and when it turns round. These functions change the state they are given;
// machine.ts hands them a copy.

import type { SagaDefinition, StepDefinition } from "./definition.ts";
import { readsOutput, stepNamed } from "./definition.ts";
import type { SagaState, StepState, Stop, Work } from "./state.ts";
import type { Json } from "./template.ts";

/** The work that an executor can begin now. Undoing goes one by one, backwards in the order of beginning. */
export function pendingWork(definition: SagaDefinition, state: SagaState): readonly Work[] {
  if (state.phase === "pending" || state.phase === "running") {
    return currentGroup(definition, state)
      .filter(({ id }) => !isSettled(stepOf(state, id)))
      .map(({ id }) => ({ step: id, direction: "forward" }));
  }
  if (state.phase !== "compensating") return [];
  const last = state.steps
    .filter(({ undo }) => undo === "pending" || undo === "inflight" || undo === "waiting")
    .toSorted((one, other) => (other.order ?? 0) - (one.order ?? 0))[0];
  return last === undefined ? [] : [{ step: last.id, direction: "undo" }];
}

/** What the executor of one piece of work goes on with: nothing while others of its group are under way. */
export function workAfter(definition: SagaDefinition, state: SagaState, done: Work): readonly Work[] {
  const next = pendingWork(definition, state);
  if (done.direction === "undo" || next[0]?.direction !== "forward") return next;
  const isSibling = currentGroup(definition, state).some(({ id }) => id === done.step);
  return isSibling ? [] : next;
}

export function stepOf(state: SagaState, id: string): StepState {
  const step = state.steps.find((candidate) => candidate.id === id);
  if (step === undefined) throw new Error(`no state for step ${id}`);
  return step;
}

/** The first group that is not done. */
function currentGroup(definition: SagaDefinition, state: SagaState): readonly StepDefinition[] {
  return definition.groups.find((group) => !group.every(({ id }) => isDone(stepOf(state, id)))) ?? [];
}

function isDone({ forward }: StepState): boolean {
  return forward === "succeeded" || forward === "manual";
}

function isSettled(step: StepState): boolean {
  return isDone(step) || step.forward === "failed" || step.forward === "unknown";
}

/**
 * Bytes of all answers that an instance keeps. With 1 MiB that it was started with they stand in one row, of
 * which the platform stores 2 MB.
 */
export const MAX_KEPT_BYTES = 768 * 1024;

/** Keeps what a step has answered; what there is no room for is as if it had said nothing. */
export function keepOutput(state: SagaState, step: StepState, body: Json): void {
  const others = state.steps.filter((other) => other !== step && other.hasOutput);
  const bytes = others.reduce((sum, { output }) => sum + sizeOf(output), sizeOf(body));
  step.output = bytes <= MAX_KEPT_BYTES ? body : null;
  step.hasOutput = true;
}

function sizeOf(value: Json): number {
  return new TextEncoder().encode(JSON.stringify(value)).byteLength;
}

/** Stops going forward; the first reason counts. Steps that wait for another try are not tried again. */
export function stopForward(state: SagaState, stop: Stop): void {
  state.stop ??= stop;
  for (const step of state.steps) {
    if (step.forward !== "waiting") continue;
    concludeFailure(step, stop.at);
    state.hasSleeper = true;
  }
}

/** Whether there is something else to do now than what an executor sleeps over: another has to take over. */
export function needsNewExecutor(before: SagaState, after: SagaState): boolean {
  return after.hasSleeper && before.phase !== after.phase && after.phase === "compensating";
}

/** A step that is not tried again: it failed, or nobody knows. */
export function concludeFailure(step: StepState, now: number): void {
  step.forward = step.inDoubt ? "unknown" : "failed";
  step.call.endedAt = now;
  step.call.leaseUntil = null;
  step.call.nextAt = null;
}

/** After a step has settled: the next group, the end, the way back, or a halt. */
export function advance(definition: SagaDefinition, state: SagaState, now: number): void {
  if (state.phase === "compensating") {
    advanceUndo(state, now);
    return;
  }
  if (state.phase !== "running" && state.phase !== "pending") return;
  const group = currentGroup(definition, state);
  const steps = group.map(({ id }) => stepOf(state, id));
  if (steps.some(({ forward }) => forward === "inflight" || forward === "waiting")) return;
  if (state.stop !== null) {
    turnRound(definition, state, now);
    return;
  }
  state.passedPivot ||= hasPassedPivot(definition, state);
  if (steps.length === 0) endAs(state, "completed", now);
  else if (steps.every((step) => isSettled(step))) state.phase = "parked";
}

/** The pivot is done, or a retriable step has begun. */
function hasPassedPivot(definition: SagaDefinition, state: SagaState): boolean {
  return definition.groups.flat().some(({ id, kind }) => {
    const step = stepOf(state, id);
    if (kind === "retriable") return step.order !== null;
    return kind === "pivot" && isDone(step);
  });
}

/** Decides what has to be undone. A pivot that may be done halts everything: both ways may be wrong. */
function turnRound(definition: SagaDefinition, state: SagaState, now: number): void {
  const doubtful = definition.groups
    .flat()
    .find((step) => step.kind === "pivot" && stepOf(state, step.id).forward === "unknown");
  if (doubtful !== undefined && doubtful.compensation.kind === "none") {
    state.phase = "parked";
    return;
  }
  for (const step of state.steps) step.undo = undoFor(stepNamed(definition, step.id), step);
  state.phase = "compensating";
  advanceUndo(state, now);
}

function undoFor({ compensation }: StepDefinition, step: StepState): StepState["undo"] {
  const mayBeDone = isDone(step) || step.forward === "unknown";
  if (compensation.kind === "none") return mayBeDone ? "skipped" : "none";
  if (mayBeDone) return "pending";
  // "Not there" may have been said too early: a request that is still on its way can arrive after that.
  const mayComeLate = step.forward === "failed" && step.wasInDoubt;
  return mayComeLate && !readsOutput(compensation.call) ? "pending" : "none";
}

function advanceUndo(state: SagaState, now: number): void {
  const isOpen = state.steps.some(
    ({ undo }) => undo === "pending" || undo === "inflight" || undo === "waiting",
  );
  if (isOpen) return;
  if (state.steps.some(({ undo }) => undo === "failed")) state.phase = "parked";
  else endAs(state, "compensated", now);
}

export function endAs(state: SagaState, phase: SagaState["phase"], now: number): void {
  state.phase = phase;
  state.endedAt = now;
}
