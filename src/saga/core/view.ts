// What people see of an instance: its state, and how far each step got, forward and back. Neither what it was
// started with nor what its upstreams answered: the page is open to whoever has its address.

import { idempotencyKey } from "./calls.ts";
import type { SagaDefinition, StepDefinition } from "./definition.ts";
import { stepNamed } from "./definition.ts";
import type { Attempts, SagaPhase, SagaState, StepState, Stop } from "./state.ts";

export interface AttemptsView {
  readonly state: string;
  readonly attempts: number;
  readonly deferrals: number;
  readonly key: string;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
  readonly nextAttemptAt: string | null;
  readonly status: number | null;
  readonly error: string | null;
}

export interface StepView {
  readonly id: string;
  readonly kind: StepDefinition["kind"];
  readonly inDoubt: boolean;
  readonly forward: AttemptsView;
  readonly compensation: AttemptsView;
}

export interface SagaView {
  readonly id: string;
  readonly saga: string;
  readonly key: string;
  readonly version: string;
  readonly state: SagaPhase;
  /** Why it does not go forward any more; null: it does. */
  readonly stop: (Omit<Stop, "at"> & { readonly at: string }) | null;
  readonly late: boolean;
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly endedAt: string | null;
  readonly timeoutAt: string;
  readonly run: number;
  readonly steps: readonly StepView[];
}

export interface Viewed {
  readonly id: string;
  readonly key: string;
  readonly seed: string;
  readonly definition: SagaDefinition;
  readonly state: SagaState;
}

export function viewSaga({ id, key, seed, definition, state }: Viewed): SagaView {
  return {
    id,
    saga: definition.name,
    key,
    version: definition.version,
    state: state.phase,
    stop: state.stop === null ? null : { ...state.stop, at: iso(state.stop.at) },
    late: state.isLate,
    createdAt: iso(state.createdAt),
    updatedAt: iso(state.updatedAt),
    endedAt: isoOrNull(state.endedAt),
    timeoutAt: iso(state.timeoutAt),
    run: state.run,
    steps: state.steps.map((step) => viewStep(seed, step, stepNamed(definition, step.id))),
  };
}

function viewStep(seed: string, step: StepState, { kind }: StepDefinition): StepView {
  return {
    id: step.id,
    kind,
    inDoubt: step.inDoubt,
    forward: viewAttempts(step.forward, step.call, idempotencyKey(seed, step, "forward")),
    compensation: viewAttempts(step.undo, step.undoCall, idempotencyKey(seed, step, "undo")),
  };
}

function viewAttempts(state: string, tries: Attempts, key: string): AttemptsView {
  return {
    state,
    attempts: tries.attempts,
    deferrals: tries.deferrals,
    key,
    startedAt: isoOrNull(tries.startedAt),
    endedAt: isoOrNull(tries.endedAt),
    nextAttemptAt: isoOrNull(tries.nextAt),
    status: tries.status,
    error: tries.error,
  };
}

function iso(at: number): string {
  return new Date(at).toISOString();
}

function isoOrNull(at: number | null): string | null {
  return at === null ? null : iso(at);
}
