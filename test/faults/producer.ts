// Producers of jobs that do not give up: half of the jobs have an order, each key with a client that sends
// them one after the other and repeats one with its own Idempotency-Key until it is accepted. The others are
// sent once.
import { setTimeout as pause } from "node:timers/promises";
import type { Order } from "./receiver.ts";

const AGAIN_MS = 250;

export interface Accepted {
  readonly order: Order;
  /** Path of the job. */
  readonly location: string;
}

export interface Produced {
  readonly accepted: Accepted[];
  /** Sent once, and the answer was lost: they may have been accepted. */
  readonly unanswered: Set<number>;
  /** Answers that asked to come again. */
  refused: number;
}

export interface Load {
  readonly jobs: number;
  readonly perKey: number;
  /** Over all producers. */
  readonly jobsPerSecond: number;
  /** Origin of the gateway, another one after a restart. */
  readonly url: () => string;
}

export async function produce(load: Load, produced: Produced): Promise<void> {
  const ordered = Math.floor(load.jobs / 2);
  const keys = Math.ceil(ordered / load.perKey);
  const startedAt = Date.now();
  const dueAt = (job: number): number => startedAt + (job / load.jobsPerSecond) * 1_000;
  const lines = Array.from({ length: keys }, async (_, key) => {
    for (let place = 0; place < load.perKey; place++) {
      // Keys take turns, so that each is busy all the time.
      const job = place * keys + key;
      if (job >= ordered) return;
      await pause(Math.max(0, dueAt(job * 2) - Date.now()));
      await sendUntilAccepted(load, produced, { job, key: `key-${key}`, place });
    }
  });
  const loose = Array.from({ length: load.jobs - ordered }, async (_, index) => {
    const job = ordered + index;
    await pause(Math.max(0, dueAt(index * 2) - Date.now()));
    await sendOnce(load, produced, { job, key: null, place: 0 });
  });
  await Promise.all([...lines, ...loose]);
}

async function sendUntilAccepted(load: Load, produced: Produced, order: Order): Promise<void> {
  for (;;) {
    const headers = { "x-order-id": String(order.key), "idempotency-key": `"client-${order.job}"` };
    const outcome = await send(load.url(), order, headers);
    if (typeof outcome === "string") {
      produced.accepted.push({ order, location: outcome });
      return;
    }
    produced.refused++;
    await pause(AGAIN_MS);
  }
}

async function sendOnce(load: Load, produced: Produced, order: Order): Promise<void> {
  for (;;) {
    const outcome = await send(load.url(), order, {});
    if (typeof outcome === "string") {
      produced.accepted.push({ order, location: outcome });
      return;
    }
    if (outcome === null) {
      produced.unanswered.add(order.job);
      return;
    }
    produced.refused++;
    await pause(AGAIN_MS);
  }
}

/** The job's path; the status of a refusal, 0 where nobody listens; null: the answer was lost. */
async function send(
  url: string,
  order: Order,
  headers: Record<string, string>,
): Promise<string | number | null> {
  try {
    const response = await fetch(`${url}/v1/orders`, {
      method: "POST",
      body: JSON.stringify(order),
      headers: { "content-type": "application/json", ...headers },
    });
    await response.arrayBuffer();
    return response.status === 202 ? (response.headers.get("location") ?? "") : response.status;
  } catch (error) {
    return isRefused(error) ? 0 : null;
  }
}

function isRefused(error: unknown): boolean {
  const cause: unknown = error instanceof Error ? error.cause : null;
  return cause instanceof Error && "code" in cause && cause.code === "ECONNREFUSED";
}
