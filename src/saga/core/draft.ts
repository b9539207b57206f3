// One event on its way through the state machine: a copy of the state that may be changed, and what the rules
// need to know beside it.

import type { RetryTerms, SagaDefinition, StepDefinition } from "./definition.ts";
import { stepNamed } from "./definition.ts";
import { stepOf, workAfter } from "./progress.ts";
import type { Attempts, Direction, SagaState, StepState, Work } from "./state.ts";
import { attemptsOf, copyState } from "./state.ts";

/** Added to a call's timeout: so long an executor may take to tell what became of it. */
export const LEASE_SLACK_MS = 5_000;
/** Times that `outcome` is asked without a clear answer, before it is given up. */
export const MAX_ASKS = 5;

export type Instruction =
  | { readonly kind: "call"; readonly purpose: Attempts["purpose"]; readonly attempt: number }
  | { readonly kind: "later"; readonly waitMs: number }
  | { readonly kind: "settled"; readonly next: readonly Work[] };

export interface Decision {
  readonly state: SagaState;
  readonly instruction: Instruction;
}

/** Work on a copy of the state. */
export interface Draft {
  readonly definition: SagaDefinition;
  readonly state: SagaState;
  readonly step: StepState;
  readonly terms: StepDefinition;
  readonly direction: Direction;
  readonly tries: Attempts;
  readonly now: number;
  readonly chance: number;
}

export function openDraft(
  definition: SagaDefinition,
  before: SagaState,
  work: Work,
  now: number,
  chance: number,
): Draft {
  const state = copyState(before);
  state.updatedAt = now;
  const step = stepOf(state, work.step);
  const tries = attemptsOf(step, work.direction);
  const terms = stepNamed(definition, work.step);
  const { direction } = work;
  return { definition, state, step, terms, direction, tries, now, chance };
}

/** Ms that one call may take. */
export function timeoutOf(step: StepDefinition, direction: Direction, purpose: Attempts["purpose"]): number {
  if (direction === "forward" || purpose === "outcome" || step.compensation.kind === "none") {
    return step.timeoutMs;
  }
  return step.compensation.timeoutMs;
}

export function retryOf({ terms, direction }: Draft): RetryTerms {
  return direction === "undo" && terms.compensation.kind === "call" ? terms.compensation.retry : terms.retry;
}

export function decide({ state }: Draft, instruction: Instruction): Decision {
  return { state, instruction };
}

export function settled({ definition, state, step, direction }: Draft): Instruction {
  return { kind: "settled", next: workAfter(definition, state, { step: step.id, direction }) };
}
