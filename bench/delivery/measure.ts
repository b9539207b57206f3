// How anything is measured that takes a job in, durably, and brings it to a receiver by HTTP: a warm-up,
// then a steady rate for the times, then a burst for the throughput. One after the other, in one run.

import { createServer } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import type { RunOptions } from "../bench.ts";
import { markdownTable } from "../markdown.ts";
import type { Batches, MeasuredQueue } from "./queues.ts";
import { jobIn } from "./queues.ts";

export const PRODUCERS = 32;
const WARM_JOBS = 200;
const GIVE_UP_MS = 60_000;
const STEADY_PER_SECOND = 100;

export interface DeliveryResult {
  readonly burstSeconds: number;
  readonly steadyPerSecond: number;
  readonly steadySeconds: number;
  readonly queues: readonly Measured[];
}

export interface Measured {
  readonly name: string;
  readonly acceptedPerSecond: number;
  /** From the first acceptance to the last arrival, all jobs of the burst. */
  readonly deliveredPerSecond: number;
  readonly lost: number;
  /** Sent to arrived, at the steady rate. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Messages per batch of a consumer, of the 100 that it may have: at the steady rate and in the burst. */
  readonly fill: { readonly steady: number; readonly burst: number } | null;
}

export interface Receiver {
  readonly url: string;
  /** When each job came for the first time. */
  readonly arrivedAt: Map<number, number>;
  stop(): void;
}

async function startReceiver(): Promise<Receiver> {
  const arrivedAt = new Map<number, number>();
  const server = createServer((request, response) => {
    let text = "";
    request.on("data", (chunk: Buffer) => (text += chunk.toString()));
    request.on("end", () => {
      const job = jobIn(JSON.parse(text));
      if (!arrivedAt.has(job)) arrivedAt.set(job, performance.now());
      response.end("done");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the receiver has no port");
  return {
    url: `http://127.0.0.1:${address.port}/jobs`,
    arrivedAt,
    stop: () => void (server.closeAllConnections(), server.close()),
  };
}

/** Starts each with a receiver's address, measures it and ends it. */
export async function measureAll(
  starts: readonly ((receiver: string) => Promise<MeasuredQueue>)[],
  { quick }: RunOptions,
): Promise<DeliveryResult> {
  const burstSeconds = quick ? 2 : 5;
  const steadySeconds = quick ? 3 : 10;
  const queues: Measured[] = [];
  for (const start of starts) {
    const receiver = await startReceiver();
    const queue = await start(receiver.url);
    try {
      queues.push(await measureQueue(queue, receiver, burstSeconds, steadySeconds));
    } finally {
      await queue.stop();
      receiver.stop();
    }
  }
  return { burstSeconds, steadyPerSecond: STEADY_PER_SECOND, steadySeconds, queues };
}

async function measureQueue(
  queue: MeasuredQueue,
  receiver: Receiver,
  burstSeconds: number,
  steadySeconds: number,
): Promise<Measured> {
  let next = 0;
  const warm = Array.from({ length: WARM_JOBS }, () => queue.send(next++));
  await Promise.all(warm);
  await arrivals(receiver, next);
  const atFirst = (await queue.readBatches?.()) ?? null;
  const sentAt = new Map<number, number>();
  const latest: Promise<void>[] = [];
  const steadyFrom = performance.now();
  for (let sent = 0; sent < steadySeconds * STEADY_PER_SECOND; sent++) {
    await pause(Math.max(0, steadyFrom + (sent * 1_000) / STEADY_PER_SECOND - performance.now()));
    const job = next++;
    sentAt.set(job, performance.now());
    latest.push(queue.send(job));
  }
  await Promise.all(latest);
  await arrivals(receiver, next);
  const tookMs = [...sentAt].map(([job, at]) => (receiver.arrivedAt.get(job) ?? Number.NaN) - at);
  const sorted = tookMs.filter((ms) => !Number.isNaN(ms)).toSorted((one, other) => one - other);
  const inBetween = (await queue.readBatches?.()) ?? null;
  const burst = await runBurst(queue, receiver, next, burstSeconds);
  const atLast = (await queue.readBatches?.()) ?? null;
  return {
    name: queue.name,
    ...burst,
    p50Ms: sorted[Math.floor(sorted.length * 0.5)] ?? Number.NaN,
    p99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN,
    fill:
      atFirst === null || inBetween === null || atLast === null
        ? null
        : { steady: meanBatch(atFirst, inBetween), burst: meanBatch(inBetween, atLast) },
  };
}

function meanBatch(from: Batches, to: Batches): number {
  return (to.batchMessages - from.batchMessages) / (to.batches - from.batches);
}

async function runBurst(queue: MeasuredQueue, receiver: Receiver, first: number, seconds: number) {
  let next = first;
  const from = performance.now();
  const producers = Array.from({ length: PRODUCERS }, async () => {
    while (performance.now() < from + seconds * 1_000) await queue.send(next++);
  });
  await Promise.all(producers);
  const acceptedMs = performance.now() - from;
  await arrivals(receiver, next);
  const lastAt = Math.max(...receiver.arrivedAt.values());
  const jobs = next - first;
  return {
    acceptedPerSecond: (jobs * 1_000) / acceptedMs,
    deliveredPerSecond: (jobs * 1_000) / (lastAt - from),
    lost: next - receiver.arrivedAt.size,
  };
}

/** Waits until so many jobs have come; gives up after a while. */
async function arrivals(receiver: Receiver, jobs: number): Promise<void> {
  const until = performance.now() + GIVE_UP_MS;
  while (receiver.arrivedAt.size < jobs && performance.now() < until) await pause(20);
}

export function deliveryTable({ queues, steadyPerSecond, burstSeconds }: DeliveryResult): string {
  const tellsBatches = queues.some(({ fill }) => fill !== null);
  const rows = queues.map((each) => [
    each.name,
    Math.round(each.acceptedPerSecond),
    Math.round(each.deliveredPerSecond),
    each.lost,
    each.p50Ms.toFixed(1),
    each.p99Ms.toFixed(1),
    ...(tellsBatches ? [fillOf(each)] : []),
  ]);
  const at = `at ${steadyPerSecond}/s, ms`;
  const headings = [
    `${PRODUCERS} producers, ${burstSeconds} s`,
    "stored per s",
    "delivered per s",
    "lost",
    `p50 ${at}`,
    `p99 ${at}`,
    ...(tellsBatches ? ["messages a batch, steady / burst"] : []),
  ];
  return markdownTable([headings, ...rows]);
}

function fillOf({ fill }: Measured): string {
  return fill === null ? "" : `${fill.steady.toFixed(1)} / ${fill.burst.toFixed(1)}`;
}
