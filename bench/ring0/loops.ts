// Measures one subject in a process of its own (what one teaches the compiler must not slow the next) and
// prints the batches as JSON. `time`: ns per operation, under Node's own settings. `bytes`: what an
// operation leaves on the heap, with a nursery so large that nothing is collected in between
// (`--min-semi-space-size`, `--expose-gc`), so that a single boxed number (16 bytes) shows. How many batches
// of these there are may be said.
import { getHeapStatistics } from "node:v8";
import { createPeers } from "./peers.ts";
import { SUBJECTS } from "./subjects.ts";

type Loop = (operations: number) => number | Promise<number>;

const WARM_UP_MS = 600;
const BATCH_MS = 40;
const BATCHES = 25;
const BYTES_BATCHES = 9;
/** Allocated per batch at most: well below the nursery. */
const BATCH_BYTES = 16 * 1024 * 1024;
const MOST_OPERATIONS = 1_000_000;

let sink = 0;

async function loopOf(name: string): Promise<Loop> {
  const own = SUBJECTS.find((subject) => subject.name === name);
  if (own !== undefined) return synchronousLoop(own.run);
  const peer = (await createPeers()).find((subject) => subject.name === name);
  if (peer === undefined) throw new Error(`nothing to measure is called ${name}`);
  return asynchronousLoop(peer.run);
}

function synchronousLoop(run: () => number): Loop {
  return (operations) => {
    let sum = 0;
    for (let operation = 0; operation < operations; operation++) sum += run();
    return sum;
  };
}

function asynchronousLoop(run: () => Promise<unknown>): Loop {
  return async (operations) => {
    for (let operation = 0; operation < operations; operation++) await run();
    return operations;
  };
}

async function timePerOperation(loop: Loop): Promise<readonly number[]> {
  let operations = 100;
  for (const endsAt = performance.now() + WARM_UP_MS; performance.now() < endsAt;) {
    const startedAt = performance.now();
    sink += await loop(operations);
    const tookMs = performance.now() - startedAt;
    operations = Math.max(100, Math.ceil((operations * BATCH_MS) / Math.max(tookMs, 0.01)));
  }
  const nanos: number[] = [];
  for (let batch = 0; batch < BATCHES; batch++) {
    const startedAt = performance.now();
    sink += await loop(operations);
    nanos.push(((performance.now() - startedAt) * 1e6) / operations);
  }
  return nanos;
}

async function bytesPerOperation(loop: Loop, wanted = BYTES_BATCHES): Promise<readonly number[]> {
  for (const endsAt = performance.now() + WARM_UP_MS; performance.now() < endsAt;) sink += await loop(1000);
  const roughly = await bytesOf(loop, 1000);
  const operations = Math.floor(Math.min(MOST_OPERATIONS, BATCH_BYTES / Math.max(roughly, 1)));
  const bytes: number[] = [];
  for (let batch = 0; batch < wanted; batch++) bytes.push(await bytesOf(loop, operations));
  return bytes;
}

async function bytesOf(loop: Loop, operations: number): Promise<number> {
  globalThis.gc?.();
  // A full collection throws some compiled code away: until it is back, numbers are boxed.
  sink += await loop(Math.ceil(operations / 2));
  const before = getHeapStatistics().used_heap_size;
  sink += await loop(operations);
  return (getHeapStatistics().used_heap_size - before) / operations;
}

const [what, name, wanted] = process.argv.slice(2);
const loop = await loopOf(name);
const count = wanted === undefined ? undefined : Number(wanted);
const batches = what === "bytes" ? await bytesPerOperation(loop, count) : await timePerOperation(loop);
process.stdout.write(`${JSON.stringify({ batches, sink: Number.isNaN(sink) })}\n`);
process.exit(0);
