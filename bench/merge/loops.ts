// Measures one task in a process of its own (what one teaches the compiler must not slow the next) and prints
// ns per operation of each batch as JSON: `loops.ts <implementation> <work> <size>`.
import { IMPLEMENTATIONS } from "./implementations.ts";
import type { Task } from "./task.ts";
import { WORKS } from "./task.ts";

const WARM_UP_MS = 400;
const BATCH_MS = 25;
const BATCHES = 9;
const FEWEST_OPERATIONS = 10;
/** What is prepared for a batch stays below this. */
const MOST_OPERATIONS = 2_000_000;
const MOST_PREPARED = 20_000;

let checksum = 0;

function timeBatch(task: Task, operations: number): number {
  task.prepare?.(operations);
  const startedAt = performance.now();
  checksum += task.run(operations);
  return performance.now() - startedAt;
}

function nanosOf(task: Task): readonly number[] {
  const most = task.prepare === undefined ? MOST_OPERATIONS : MOST_PREPARED;
  let operations = FEWEST_OPERATIONS;
  for (let warmMs = 0; warmMs < WARM_UP_MS;) {
    const tookMs = timeBatch(task, operations);
    warmMs += tookMs;
    const fitting = Math.ceil((operations * BATCH_MS) / Math.max(tookMs, 0.01));
    operations = Math.min(most, Math.max(FEWEST_OPERATIONS, fitting));
  }
  return Array.from({ length: BATCHES }, () => (timeBatch(task, operations) * 1e6) / operations);
}

const [implementation, work, size] = process.argv.slice(2);
const known = WORKS.find((candidate) => candidate === work);
const task = known === undefined ? null : IMPLEMENTATIONS[implementation]?.(known, Number(size));
if (task === null || task === undefined) throw new Error(`nothing to measure: ${implementation} ${work}`);
const nanos = nanosOf(task);
if (!Number.isFinite(checksum) || checksum <= 0) throw new Error(`nothing was added up: ${checksum}`);
process.stdout.write(JSON.stringify(nanos));
process.exit(0);
