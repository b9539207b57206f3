// Advice on sagas: what is valid, and may leave somebody with work to do by hand.

import type { SagaDefinition } from "../saga/core/definition.ts";
import { callsOf, readsOutput, stepsOf } from "../saga/core/definition.ts";

/** One line for each thing that is odd about a saga. */
export function adviseSaga(saga: SagaDefinition): string[] {
  const upstreams = new Set(stepsOf(saga).flatMap((step) => callsOf(step).map(({ upstream }) => upstream)));
  const advice: string[] = [];
  if (upstreams.size === 1) {
    advice.push(
      `sagas.${saga.name}: all steps call one upstream, which may do them in one transaction of its own`,
    );
  }
  for (const { id, kind, outcome, compensation } of stepsOf(saga)) {
    const where = `sagas.${saga.name}.${id}`;
    if (outcome !== null) continue;
    if (kind === "pivot") {
      advice.push(
        `${where}: without outcome, a pivot whose answer is lost parks the saga for a person to decide`,
      );
    }
    if (compensation.kind === "call" && readsOutput(compensation.call)) {
      advice.push(
        `${where}.compensate: reads the step's output, so a lost answer parks it; ` +
          "add outcome, or undo by {idempotencyKey}",
      );
    }
  }
  return advice;
}
