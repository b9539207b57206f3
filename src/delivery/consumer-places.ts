// Where the jobs of a group go: a queue's to its upstream, a subscription's to whoever it is for.

import type { QueuePlan } from "../config/plan.ts";
import type { Engine, Upstream } from "../edge/engine.ts";
import type { Shell } from "../edge/shell.ts";
import { traceEvent } from "../edge/trace.ts";
import type { PointerGroup } from "./consumer-batch.ts";
import type { ProbeQueue } from "./consumer-hub.ts";
import { MAX_CLAIM_JOBS, MAX_FETCHES } from "./consumer-work.ts";
import type { ClaimedJob } from "./core/protocol.ts";
import type { ClaimBucket } from "./deliver-body.ts";
import { asEventOutcome, asRequest, eventDelivery } from "./deliver-event.ts";
import { RESULT_BODY_MS } from "./deliver-result.ts";
import type { Delivered } from "./deliver.ts";
import { deliver } from "./deliver.ts";
import { asReactionOutcome, reactTo } from "./react.ts";

/** A subscription's events go out one by one, so few of them wait behind each other in a claim. */
const EVENT_BATCH = 12;
/** What one receiver takes of a consumer: half of it, so that a slow one leaves the other half. */
const EVENT_LANES = MAX_FETCHES / 2;

export interface Place {
  readonly engine: Engine;
  readonly shell: Pick<Shell, "waitUntil">;
  /** Jobs of one claim. */
  readonly batch: number;
  /** Deliveries under way at one time. */
  readonly most: number;
  /** How long one delivery may take. */
  readonly deliveryMs: number;
  /** How long the others of its batch wait for a delivery; it goes on behind them. null: until it is over. */
  readonly patienceMs: number | null;
  /** Hears of a delivery that took longer. */
  readonly noteSlow: () => void;
  /** null: it goes past the gateway's upstreams. */
  readonly upstream: Upstream | null;
  readonly deliver: (job: ClaimedJob) => Promise<Delivered>;
}

export interface PlaceParts {
  readonly bucket: ClaimBucket | null;
  engineOf(region: string): Engine;
  readonly shell: Pick<Shell, "waitUntil">;
}

/** Null: the configuration does not know it. */
export function placeOf(group: PointerGroup, parts: PlaceParts, probes: ProbeQueue): Place | null {
  const engine = parts.engineOf(group.region);
  if (group.kind === "queue") {
    const queue = engine.plan.queues.find(({ name }) => name === group.queue);
    return queue === undefined ? null : queuePlace(queue, engine, parts, probes);
  }
  const subscription = engine.subscriptions.find(({ plan }) => plan.name === group.queue);
  if (group.kind !== "subscription" || subscription === undefined) return null;
  const { deliver: to, terms } = subscription.plan;
  if (to.kind === "pull") return null;
  if (to.kind !== "upstream") {
    const { shell } = parts;
    const { deliveryMs, patienceMs, noteSlow, run } = eventDelivery(subscription, engine);
    return {
      engine,
      shell,
      batch: EVENT_BATCH,
      most: EVENT_LANES,
      deliveryMs,
      patienceMs,
      noteSlow,
      upstream: null,
      deliver: (job) => traced(engine, shell, subscription.plan.name, job, run),
    };
  }
  const queue = { ...to, index: -1, name: subscription.plan.name, rewrite: null, orderBy: null } as const;
  const place = queuePlace(
    { ...queue, batch: MAX_CLAIM_JOBS, idempotencyKey: "optional", terms },
    engine,
    parts,
    probes,
  );
  const { request } = to;
  if (request !== null) {
    return {
      ...place,
      async deliver(job) {
        const reacted = reactTo(job, subscription.plan, request, subscription.headers);
        if (reacted.kind !== "request") return { outcome: reacted, tookMs: 0 };
        return asReactionOutcome(await place.deliver(reacted.job), request.method);
      },
    };
  }
  return {
    ...place,
    deliver: async (job) => asEventOutcome(await place.deliver(await asRequest(job, to.path))),
  };
}

/** Its delivery goes past the pipeline, which tells of all others. */
async function traced(
  engine: Engine,
  shell: PlaceParts["shell"],
  subscription: string,
  job: ClaimedJob,
  run: Place["deliver"],
): Promise<Delivered> {
  const startedAt = Date.now();
  const delivered = await run(job);
  const { kind } = delivered.outcome;
  const times = { startedAt, now: Date.now(), error: kind === "succeeded" ? null : kind };
  traceEvent(engine, job, subscription, times, (work) => shell.waitUntil(work));
  return delivered;
}

function queuePlace(queue: QueuePlan, engine: Engine, parts: PlaceParts, probes: ProbeQueue): Place {
  const { bucket, shell } = parts;
  const upstream = engine.upstreams[queue.upstream];
  const { timeoutMs, concurrency } = upstream.plan;
  const deliveryMs = Math.min(timeoutMs + concurrency.maxWaitMs, queue.delivery.deadlineMs) + RESULT_BODY_MS;
  const place = { engine, queue, bucket, shell, waitForProbe: () => probes.wait(engine, upstream, shell) };
  return {
    engine,
    shell,
    batch: queue.batch,
    most: MAX_FETCHES,
    deliveryMs,
    patienceMs: null,
    noteSlow: () => {},
    upstream,
    async deliver({ target, ...job }) {
      if (target.kind === "request") return deliver({ ...job, target }, place);
      return { outcome: { kind: "poison", error: "an event stands in a queue of requests" }, tookMs: 0 };
    },
  };
}
