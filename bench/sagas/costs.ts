// What a million sagas of five steps cost at list price, beside the requests that start them. What is counted
// is counted in test/workers/saga-costs.test.ts, with a saga that nothing disturbs.

import { OBJECT_REQUESTS, ROWS_WRITTEN, WORKER_REQUESTS } from "../region-costs/prices.ts";

/** One million steps of workflows ($0.80 per 100,000): page "Pricing" of Workflows, from 2026-08-10 on. */
const WORKFLOW_STEPS = 8;
/** One million CPU ms of Workers. */
const CPU_MS = 0.02;

export const STEPS = 5;
/** Steps of the workflow: those of the saga, and the one that asks where to begin. */
export const WORKFLOW_STEPS_PER_SAGA = STEPS + 1;
/** Calls of the ledger: the start, where to begin, two for each step, one alarm. */
export const LEDGER_CALLS_PER_SAGA = 2 + 2 * STEPS + 1;
/** Rows of the ledger, the setting of its alarm included. */
export const ROWS_PER_SAGA = 29;

export interface CostRow {
  readonly what: string;
  readonly perSaga: number;
  readonly dollarsPerMillion: number;
}

/** `cpuMs`: of one saga, all that runs in the Worker's process. */
export function sagaCosts(cpuMs: number): readonly CostRow[] {
  return [
    row("steps of the workflow", WORKFLOW_STEPS_PER_SAGA, WORKFLOW_STEPS),
    row("rows written by the ledger", ROWS_PER_SAGA, ROWS_WRITTEN),
    row("calls of the ledger", LEDGER_CALLS_PER_SAGA, OBJECT_REQUESTS),
    row("requests of the workflow", 1, WORKER_REQUESTS),
    row("CPU, ms", cpuMs, CPU_MS),
  ];
}

function row(what: string, perSaga: number, price: number): CostRow {
  return { what, perSaga, dollarsPerMillion: perSaga * price };
}
