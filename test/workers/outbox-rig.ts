// What the tests of the outbox share: an outbox of its own for each test, jobs, a queue that is a list.

import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { vi } from "vitest";
import type { Outbox } from "../../durable-objects/outbox.ts";
import type { PointerQueue } from "../../durable-objects/outbox/publisher.ts";
import type {
  AcceptItem,
  AcceptOutcome,
  ClaimedJob,
  ClaimReply,
  ClaimOutcome,
  DeliveryOutcome,
  JobRequest,
  JobView,
  Pointer,
  QueueTerms,
} from "../../src/delivery/core/protocol.ts";

export const TERMS: QueueTerms = {
  highWatermark: 20_000,
  resumeAt: 0.7,
  alertAt: 10_000,
  maxAgeMs: 24 * 3600 * 1000,
  retry: { attempts: 3, delayMs: 1_000, maxDelayMs: 60_000 },
  onDeadHead: "block",
};

export const OK: DeliveryOutcome = {
  kind: "succeeded",
  result: { status: 200, headers: [["content-type", "text/plain"]], body: new TextEncoder().encode("done") },
};

export const UNAVAILABLE: Extract<DeliveryOutcome, { kind: "failed" }> = {
  kind: "failed",
  status: 503,
  error: null,
  retryAfterMs: null,
  result: null,
};

let outboxes = 0;

export type Stub = ReturnType<typeof env.OUTBOX.getByName>;

/** An outbox that no other test has; without a queue unless it is given one. */
export async function newOutbox(queue?: PointerQueue): Promise<Stub> {
  const stub = env.OUTBOX.getByName(`queue.q${(outboxes += 1)}.0`);
  await bind(stub, { DELIVERY: queue, TIDEGATE_LOCAL: "1" });
  return stub;
}

/** The same outbox after it has been killed: a stub of a broken object stays broken. */
export async function again(stub: Stub, queue?: PointerQueue): Promise<Stub> {
  const fresh = env.OUTBOX.getByName(stub.name ?? "");
  await bind(fresh, { DELIVERY: queue, TIDEGATE_LOCAL: "1" });
  return fresh;
}

/** The environment of this one instance. */
export function bind(stub: Stub, bindings: Record<string, unknown>): Promise<void> {
  return runInDurableObject(stub, (instance: Outbox) => {
    const own: unknown = Reflect.get(instance, "env");
    Reflect.set(instance, "env", { ...Object(own), ...bindings });
  });
}

export function item(changes: Partial<AcceptItem> & { path?: string; body?: Uint8Array } = {}): AcceptItem {
  const { path = "/orders", body = null, ...rest } = changes;
  return {
    target: { kind: "request", request: { method: "POST", path, headers: [["x-a", "1"]], body } },
    priority: 1,
    consumer: "acme",
    tenant: "acme",
    route: "orders",
    key: null,
    idempotency: null,
    traceparent: null,
    requestId: null,
    maxAgeMs: null,
    ...rest,
  };
}

export function items(count: number, changes: Parameters<typeof item>[0] = {}): AcceptItem[] {
  return Array.from({ length: count }, () => item(changes));
}

export async function accept(
  stub: Stub,
  batch: readonly AcceptItem[],
  terms: Partial<QueueTerms> = {},
): Promise<readonly AcceptOutcome[]> {
  const request = { region: "weur", config: "c", terms: { ...TERMS, ...terms }, items: batch, refused: 0 };
  const reply = await stub.accept(request);
  if (reply.kind !== "answered") throw new Error(`accept answered ${JSON.stringify(reply)}`);
  return reply.outcomes;
}

/** Ids of the jobs of a batch, all of which must be accepted. */
export async function acceptAll(...args: Parameters<typeof accept>): Promise<string[]> {
  return (await accept(...args)).map((outcome) => {
    if (outcome.kind !== "accepted") throw new Error(`not accepted: ${JSON.stringify(outcome)}`);
    return outcome.id;
  });
}

export async function claim(
  stub: Stub,
  ids: readonly string[],
  leaseMs = 30_000,
): Promise<readonly ClaimOutcome[]> {
  // A stub's type knows no pairs, only lists.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the same answer, with its own type
  const reply = (await stub.claim({ ids, leaseMs, claimant: "test" })) as ClaimReply;
  if (reply.kind !== "answered") throw new Error(`claim answered ${JSON.stringify(reply)}`);
  return reply.outcomes;
}

/** For each id the job, or why it was not given. */
export async function claimKinds(stub: Stub, ids: readonly string[]): Promise<string[]> {
  return (await claim(stub, ids)).map((each) => (each.kind === "claimed" ? "claimed" : each.reason));
}

export async function claimOne(stub: Stub, id: string, leaseMs?: number): Promise<ClaimedJob> {
  const [job] = await claim(stub, [id], leaseMs);
  if (job.kind !== "claimed") throw new Error(`not claimed: ${job.reason}`);
  return job;
}

export function requestOf({ target }: ClaimedJob): JobRequest {
  if (target.kind !== "request") throw new Error(`no request: ${target.kind}`);
  return target.request;
}

export async function settle(
  stub: Stub,
  jobs: readonly { readonly id: string; readonly fence: number }[],
  outcome: DeliveryOutcome,
): Promise<string[]> {
  const settlements = jobs.map(({ id, fence }) => ({ id, fence, outcome, tookMs: 5 }));
  const reply = await stub.settle({ settlements });
  if (reply.kind !== "answered") throw new Error(`settle answered ${JSON.stringify(reply)}`);
  return reply.outcomes.map((each) => (each.kind === "settled" ? each.job.status : each.kind));
}

/** Claims and settles one job. */
export async function run(stub: Stub, id: string, outcome: DeliveryOutcome): Promise<string> {
  const [status] = await settle(stub, [await claimOne(stub, id)], outcome);
  return status;
}

export async function viewOf(stub: Stub, id: string): Promise<JobView> {
  const reply = await stub.status(id);
  if (reply.kind !== "job") throw new Error(`unknown: ${id}`);
  return reply.job;
}

export function sql(stub: Stub, query: string): Promise<Record<string, SqlStorageValue>[]> {
  return runInDurableObject(stub, (_, { storage }) => storage.sql.exec(query).toArray());
}

export function alarmOf(stub: Stub): Promise<number | null> {
  return runInDurableObject(stub, (_, { storage }) => storage.getAlarm());
}

/** Runs what the alarm would do, whether it is due or not. */
export async function runAlarm(stub: Stub): Promise<void> {
  if (!(await runDurableObjectAlarm(stub))) throw new Error("no alarm is set");
}

/** A queue that keeps what it is sent; `before` may stop or break a send. */
export function listQueue(before: () => Promise<void> | void = () => {}): PointerQueue & {
  readonly sent: Pointer[];
} {
  const sent: Pointer[] = [];
  return {
    sent,
    async sendBatch(messages) {
      await before();
      sent.push(...messages.map(({ body }) => body));
    },
  };
}

/** A clock that stands still until it is moved. The runtime's own alarms do not follow it. */
export function stopClock(): { advance(ms: number): void; restore(): void } {
  let now = Date.now();
  const spy = vi.spyOn(Date, "now").mockImplementation(() => now);
  return { advance: (ms) => (now += ms), restore: () => spy.mockRestore() };
}

/** Rows and alarms that an outbox writes while `work` runs, by what each statement says of itself. */
export async function written(
  stub: Stub,
  work: () => Promise<unknown>,
): Promise<{ rows: number; alarms: number }> {
  const cursors: { readonly rowsWritten: number }[] = [];
  const spies = await runInDurableObject(stub, (_, { storage }) => {
    const own = storage.sql;
    const prototype: SqlStorage = Object.getPrototypeOf(own);
    const { exec } = prototype;
    const rows = vi.spyOn(prototype, "exec").mockImplementation(function count(
      this: SqlStorage,
      query,
      ...bindings
    ) {
      const cursor = exec.call(this, query, ...bindings);
      if (this === own) cursors.push(cursor);
      return cursor;
    });
    return { rows, alarms: vi.spyOn(storage, "setAlarm") };
  });
  await work();
  const alarms = spies.alarms.mock.calls.length;
  spies.rows.mockRestore();
  spies.alarms.mockRestore();
  const rows = await runInDurableObject(stub, () =>
    cursors.reduce((sum, cursor) => sum + cursor.rowsWritten, 0),
  );
  return { rows, alarms };
}
