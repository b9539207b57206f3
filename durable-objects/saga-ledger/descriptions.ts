// What is told of an instance, to people, to lists, to the log, and what it is called.

import type { SagaSummary, ViewReply } from "../../src/saga/core/protocol.ts";
import { executorId, formatSagaId } from "../../src/saga/core/saga-id.ts";
import type { SagaState } from "../../src/saga/core/state.ts";
import { isOver } from "../../src/saga/core/state.ts";
import type { SagaView } from "../../src/saga/core/view.ts";
import { viewSaga } from "../../src/saga/core/view.ts";
import type { ListedRow, SagaRow } from "./rows.ts";

export function viewRow(row: SagaRow): SagaView {
  return viewSaga({ ...row, seed: row.identity.seed });
}

export function describeRow(row: SagaRow): ViewReply {
  return { kind: "found", view: viewRow(row), owner: row.owner, isOver: isOver(row.state) };
}

/** The executor that may act for an instance. */
export function executorOf({ hex, seq, definition, state }: SagaRow): string {
  return executorId({ hex, seq, saga: definition.name }, state.run);
}

/** A line of a list. */
export function summarizeRow(saga: string, { seq, hex, key, state }: ListedRow, now: number): SagaSummary {
  const undo = state.steps.filter((step) => step.undo === "failed");
  const forward = state.steps.filter((step) => step.forward === "failed" || step.forward === "unknown");
  const stuck = undo.length > 0 ? undo : forward;
  return {
    id: formatSagaId({ hex, seq, saga }),
    saga,
    key,
    state: state.phase,
    createdAt: new Date(state.createdAt).toISOString(),
    updatedAt: new Date(state.updatedAt).toISOString(),
    ageMs: now - state.createdAt,
    stuck: state.phase === "parked" ? stuck.map(({ id }) => id) : [],
  };
}

/** One line of the log for each instance that needs a person. */
export function alertParked({ id, key }: SagaRow, state: SagaState): void {
  const stuck = state.steps.filter(({ undo }) => undo === "failed").map((step) => step.id);
  const time = new Date().toISOString();
  console.error(
    JSON.stringify({ time, level: "error", event: "saga_parked", id, key, compensations: stuck }),
  );
}

/** 128 bits of chance. */
export function randomHex(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}
