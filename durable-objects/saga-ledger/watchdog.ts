// Looks after the instances of a ledger that should have moved by now. It never throws, and waits for nothing
// longer than for a status.

import { eventsOfState } from "../../src/saga/core/event-log.ts";
import { expire } from "../../src/saga/core/operate.ts";
import { ALIVE_STALL_MS, MAX_STALL_MS, dueAt, patientUntil, rescueFor } from "../../src/saga/core/watch.ts";
import { executorOf } from "./descriptions.ts";
import type { Keeper } from "./keeper.ts";
import type { SagaRow } from "./rows.ts";

/** Ended instances are kept so long. */
export const RETENTION_MS = 90 * 24 * 3600 * 1000;
/** Instances looked at, and forgotten, in one run. */
const WATCH_BATCH = 50;
const PRUNE_BATCH = 200;

/** Moves what does not move, ends what is late, forgets what is old. */
export async function watchOver(keeper: Keeper): Promise<void> {
  keeper.alarm.rings();
  try {
    const now = Date.now();
    await Promise.all(keeper.rows.due(now, WATCH_BATCH).map((seq) => watchSafely(keeper, seq, now)));
    keeper.rows.prune(now - RETENTION_MS, PRUNE_BATCH);
  } catch (error) {
    console.error("saga: the watchdog failed", error);
  }
  await keeper.arm();
}

/** One instance that cannot be looked at must not keep the others waiting. */
async function watchSafely(keeper: Keeper, seq: number, now: number): Promise<void> {
  try {
    const row = keeper.rows.read(seq);
    if (row !== null) await watch(keeper, row, now);
  } catch (error) {
    console.error(`saga: the watchdog failed on row ${seq}`, error);
    keeper.rows.postpone(seq, now + MAX_STALL_MS);
  }
}

async function watch(keeper: Keeper, row: SagaRow, now: number): Promise<void> {
  const { seq, state, rescues } = row;
  const late = expire(row.definition, state, now);
  if (late !== null) {
    await keeper.store(row, { state: late, events: eventsOfState(state, late) });
    return;
  }
  const due = stuckAt(keeper, row, now);
  if (due > now) {
    keeper.rows.postpone(seq, due);
    return;
  }
  keeper.heard.delete(seq);
  const status = await keeper.executors.statusOf(executorOf(row));
  // While the status was asked for it may have moved.
  const again = keeper.rows.read(seq);
  if (again === null || again.state.updatedAt !== state.updatedAt) return;
  const rescue = rescueFor(status, rescues);
  keeper.countUp("rescued-total");
  await keeper.store(again, {
    state: again.state,
    events: [{ kind: "watchdog", note: `${rescue}: the executor was ${status}` }],
    replaceExecutor: rescue === "replace",
    rescues: rescues + 1,
  });
}

/** When it counts as stuck: what is due after an attempt to move it is due as it was stored. */
function stuckAt({ executors, heard, rows }: Keeper, row: SagaRow, now: number): number {
  const { seq, state, rescues } = row;
  const active = rows.activeCount();
  if (executors.isWaiting(executorOf(row))) {
    return Math.min(now + ALIVE_STALL_MS, state.timeoutAt > now ? state.timeoutAt : Number.POSITIVE_INFINITY);
  }
  if (heard.has(seq)) return patientUntil(state, active);
  return rescues === 0 ? (dueAt(state, 0, 0, active) ?? now) : now;
}
