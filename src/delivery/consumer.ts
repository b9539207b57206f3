// The consumer of the queue of pointers: claims the jobs of a batch, delivers at most six at a time, and
// tells the outboxes how each went.
//
//   an upstream's failure is an outcome of its job, never one of the batch
//   each message is acknowledged by itself, once its job's outcome is stored or there is nothing to do
//   what fails on the way to an outbox is retried by the queue, and filed by its dead-letter queue in the end
//   after MAX_CONSUME_MS no more jobs are begun; the sweep of their outbox publishes them again

import type { Bindings } from "../edge/bindings.ts";
import type { Engine } from "../edge/engine.ts";
import type { Shell } from "../edge/shell.ts";
import { ProbeQueue, askVerdicts, tellNews } from "./consumer-hub.ts";
import type { QueueBatch } from "./consumer-batch.ts";
import { regionIn, sortBatch } from "./consumer-batch.ts";
import { parseOutboxName } from "./core/job-id.ts";
import type { Followers } from "./consumer-settle.ts";
import { Settler, logFault } from "./consumer-settle.ts";
import type { Task, Work } from "./consumer-work.ts";
import { leaseMsFor } from "./consumer-leases.ts";
import { MAX_FETCHES, WorkList, acknowledge, createWork } from "./consumer-work.ts";
import type { Place } from "./consumer-places.ts";
import { placeOf } from "./consumer-places.ts";
import type { Delivered } from "./deliver.ts";
import type { ClaimBucket } from "./deliver-body.ts";
import type { OutboxNamespace } from "./consumer-outboxes.ts";

/** The platform ends a consumer after 15 minutes. */
export const MAX_CONSUME_MS = 12 * 60_000;
/** So long a batch goes on with the jobs that follow those of its pointers in the order of a key. */
export const MAX_FOLLOW_MS = 5_000;
/** By then all that was begun must be over: a little before the platform's end. */
const MAX_RUN_MS = 14 * 60_000;
/** Lanes that stay, however many receivers are slow. */
const MIN_LANES = 2;
/** A queue that the configuration does not know may be another version's, which comes or goes. */
export const UNKNOWN_QUEUE_MS = 10_000;

export interface ConsumerParts {
  readonly outboxes: OutboxNamespace;
  readonly bucket: ClaimBucket | null;
  /** The engine that speaks with the hub of a region. */
  engineOf(region: string): Engine;
  readonly shell: Pick<Shell, "waitUntil">;
}

/** Consumes a batch of pointers; never throws for what a job or its upstream does. */
export async function consumeBatch(batch: QueueBatch, parts: ConsumerParts): Promise<void> {
  const { groups, unread } = sortBatch(batch);
  for (const message of unread) {
    logFault("unread", "", `message ${message.id} is no pointer that this version knows`);
    message.retry();
  }
  const probes = new ProbeQueue();
  const works = groups.map((group) => createWork(group, placeOf(group, parts, probes)));
  const places = works.flatMap(({ place }) => place ?? []);
  await Promise.all(
    places.flatMap(({ engine, upstream }) =>
      upstream === null ? [] : askVerdicts(engine, upstream, parts.shell),
    ),
  );
  const list = new WorkList(works, parts.outboxes, batch.queue, batch.messages.length);
  const startedAt = Date.now();
  const settler = new Settler(parts.outboxes, {
    terms(outbox) {
      const work = works.find(({ group }) => group.outbox === outbox);
      if (consumption.isOver || work === undefined || Date.now() >= startedAt + MAX_FOLLOW_MS) return null;
      return { leaseMs: leaseMsFor(work.deliveryMs), claimant: batch.queue };
    },
    take(outbox, jobs, { leaseMs }, askedAt) {
      const lease = list.hold(outbox, consumption.isOver ? [] : jobs, leaseMs, askedAt);
      for (const { id, fence, ...job } of jobs) {
        if (consumption.isOver) {
          const { outcome } = OUT_OF_TIME;
          parts.shell.waitUntil(consumption.late.settle(outbox, { id, fence, outcome, tookMs: 0 }));
          continue;
        }
        const region = regionIn(job);
        const work = list.find(outbox, region) ?? newWork(outbox, region, parts, probes);
        list.add(work, { ...job, id, fence }, lease);
      }
    },
  });
  const late = new Settler(parts.outboxes, NOBODY_FOLLOWS);
  const { shell } = parts;
  const consumption: Consumption = {
    list,
    settler,
    late,
    startedAt,
    told: [],
    shell,
    lanes: MAX_FETCHES,
    isOver: false,
  };
  await Promise.all(Array.from({ length: MAX_FETCHES }, () => runLane(consumption)));
  consumption.isOver = true;
  release(consumption);
  await Promise.all(consumption.told);
  const engines = new Set(list.works.flatMap(({ place, hasTried }) => (hasTried && place?.engine) || []));
  await Promise.all([...engines].map((engine) => tellNews(engine, parts.shell)));
}

interface Consumption {
  readonly list: WorkList;
  readonly settler: Settler;
  readonly startedAt: number;
  readonly told: Promise<void>[];
  readonly shell: ConsumerParts["shell"];
  /** Of what ends behind the batch. */
  readonly late: Settler;
  /** Those that have not ended with a slow receiver. */
  lanes: number;
  /** Nothing is begun any more. */
  isOver: boolean;
}

const NOBODY_FOLLOWS: Followers = { terms: () => null, take: () => {} };

async function runLane(consumption: Consumption): Promise<void> {
  while (Date.now() < consumption.startedAt + MAX_CONSUME_MS) {
    const task = await consumption.list.next();
    if (task === null) return;
    const { promise: done, resolve: free } = Promise.withResolvers<void>();
    if (task.work.most < MAX_FETCHES) consumption.list.expect(done);
    const delivery = run(task, consumption.startedAt);
    const delivered = await waitFor(delivery, task.work.place);
    task.work.underWay--;
    free();
    if (delivered !== null) tell(consumption, task, delivered);
    else if (leave(consumption, task, delivery)) return;
  }
}

/** null: the others of the batch wait no longer for it. */
async function waitFor(delivery: Promise<Delivered>, place: Place | null): Promise<Delivered | null> {
  if (place === null || place.patienceMs === null) return delivery;
  const { promise: tooLong, resolve } = Promise.withResolvers<null>();
  const timer = setTimeout(() => resolve(null), place.patienceMs);
  const delivered = await Promise.race([delivery, tooLong]);
  clearTimeout(timer);
  if (delivered === null) place.noteSlow();
  return delivered;
}

/**
 * It goes on by itself: its lease is long enough, and its message has nothing more to say. True: its
 * connection was this lane's, which ends with it; the last lanes go on for all others.
 */
function leave(consumption: Consumption, task: Task, delivery: Promise<Delivered>): boolean {
  const { late, shell } = consumption;
  const { work, job, lease } = task;
  const { id, fence } = job;
  acknowledge(work, id);
  lease.done(id);
  shell.waitUntil(
    delivery.then(({ outcome, tookMs }) => late.settle(work.group.outbox, { id, fence, outcome, tookMs })),
  );
  const ends = consumption.lanes > MIN_LANES;
  if (ends) consumption.lanes -= 1;
  return ends;
}

async function run({ job, work, lease }: Task, startedAt: number): Promise<Delivered> {
  const { place, deliveryMs, group } = work;
  if (place === null) {
    const reason = `no ${group.kind} ${group.queue} is configured`;
    return { outcome: { kind: "deferred", forMs: UNKNOWN_QUEUE_MS, reason }, tookMs: 0 };
  }
  if (Date.now() + deliveryMs > startedAt + MAX_RUN_MS) return OUT_OF_TIME;
  // Whoever else gets it then must not meet it under way.
  if (!(await lease.covers(job.id, deliveryMs))) return OUT_OF_TIME;
  work.hasTried = true;
  return place.deliver(job);
}

const OUT_OF_TIME: Delivered = {
  outcome: { kind: "deferred", forMs: 0, reason: "its consumer had no time left" },
  tookMs: 0,
};

function tell(
  { list, settler, told }: Consumption,
  { work, job, lease }: Task,
  { outcome, tookMs }: Delivered,
): void {
  const { id, fence } = job;
  const settled = settler.settle(work.group.outbox, { id, fence, outcome, tookMs });
  if (job.key !== null) list.expect(settled);
  // What could not be told runs again when its lease is over: the outbox sees to that, not this message.
  told.push(
    settled.then(() => {
      lease.done(id);
      acknowledge(work, id);
    }),
  );
}

/** Gives back what was not begun. */
function release(consumption: Consumption): void {
  const { held, left } = consumption.list.stop();
  for (const task of held) tell(consumption, task, OUT_OF_TIME);
  for (const [work, id] of left) acknowledge(work, id);
}

/** Work of a region that no pointer of the batch came from. */
function newWork(outbox: string, region: string, parts: ConsumerParts, probes: ProbeQueue): Work {
  const { kind = "queue", queue = "" } = parseOutboxName(outbox) ?? {};
  const group = { outbox, kind, queue, region, messages: new Map() };
  return createWork(group, placeOf(group, parts, probes));
}

/** The bucket of bodies that are too large for a row; null where the Worker has none. */
export function bucketOf({ CLAIMS }: Bindings): ClaimBucket | null {
  return isBucket(CLAIMS) ? CLAIMS : null;
}

function isBucket(value: unknown): value is ClaimBucket {
  return typeof value === "object" && value !== null && "get" in value && "put" in value;
}
