// What is written down of each change of an instance, for whoever watches it.

import type { Command, Told } from "./calls.ts";
import type { SagaEvent } from "./protocol.ts";
import type { SagaState, Work } from "./state.ts";

/** An event before it is numbered. */
export type NewEvent = Omit<SagaEvent, "n" | "at">;

/** What an executor's word has changed, in order. */
export function eventsOfStep(
  before: SagaState,
  after: SagaState,
  { step, direction }: Work,
  told: Told | null,
  command: Command,
): NewEvent[] {
  const events: NewEvent[] = [];
  if (told !== null) events.push({ kind: "answer", step, direction, ...describeTold(told) });
  if (command.kind === "call") {
    const { purpose, attempt } = command;
    events.push({ kind: "call", step, direction, purpose, attempt });
  }
  return [...events, ...eventsOfState(before, after)];
}

export function eventsOfState(before: SagaState, after: SagaState): NewEvent[] {
  const events: NewEvent[] = [];
  if (after.isLate && !before.isLate) events.push({ kind: "late" });
  if (after.phase === before.phase) return events;
  // It turned round and came to an end in one move.
  if (after.phase === "compensated" && before.phase !== "compensating") {
    events.push({ kind: "state", state: "compensating" });
  }
  return [...events, { kind: "state", state: after.phase }];
}

function describeTold({ purpose, attempt, result }: Told): Partial<NewEvent> {
  if (result.kind === "answered") return { purpose, attempt, status: result.status };
  return { purpose, attempt, error: result.reason };
}
