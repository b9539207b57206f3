// The isolate's way to the outboxes of its queues: calls with a deadline each, and what it takes in as
// batches.

import type { Plan, QueuePlan } from "../config/plan.ts";
import type { Namespace } from "../region/object-calls.ts";
import { answerWithin, isNamespace } from "../region/object-calls.ts";
import type { BatchPorts, Submitted } from "./accept-batches.ts";
import { AcceptBatches } from "./accept-batches.ts";
import type { ClaimStore } from "./accept-body.ts";
import { isClaimStore } from "./accept-body.ts";
import type { OutboxName } from "./core/job-id.ts";
import { EVENTS_OUTBOX, outboxName, parseJobId } from "./core/job-id.ts";
import type { AcceptItem, AcceptRequest, OutboxCalls } from "./core/protocol.ts";

/** Longest call of accept. Who waits for it has given up earlier; this ends the bookkeeping. */
const SEND_TIMEOUT_MS = 20_000;
/** Deadline of what clients and operators ask of jobs. */
export const ASK_TIMEOUT_MS = 5_000;
/** All of a queue's jobs are in its first outbox. */
const SHARD = 0;

export interface OutboxBindings {
  readonly outboxes: Namespace<OutboxCalls>;
  /** Where larger bodies are stored; null: nowhere. */
  readonly claims: ClaimStore | null;
}

/** What a Worker's bindings have for queues; null where there are no outboxes, as in a plain process. */
export function outboxBindingsOf(bindings: Readonly<Record<string, unknown>>): OutboxBindings | null {
  const { OUTBOX, CLAIMS } = bindings;
  if (!isNamespace<OutboxCalls>(OUTBOX)) return null;
  return { outboxes: OUTBOX, claims: isClaimStore(CLAIMS) ? CLAIMS : null };
}

export class Outboxes {
  readonly claims: ClaimStore | null;
  readonly #outboxes: Namespace<OutboxCalls>;
  readonly #region: string;
  /** By the queue as it is configured: another configuration has other terms. */
  readonly #batches = new WeakMap<QueuePlan, AcceptBatches>();
  /** By the configuration that says who has subscribed. */
  readonly #events = new WeakMap<Plan, AcceptBatches>();

  constructor({ outboxes, claims }: OutboxBindings, region: string) {
    this.#outboxes = outboxes;
    this.#region = region;
    this.claims = claims;
  }

  /** What this isolate takes in for a queue; `config` is the hash of the configuration that it stands in. */
  batches(queue: QueuePlan, config: string): AcceptBatches {
    let batches = this.#batches.get(queue);
    if (batches === undefined) {
      const { name, terms } = queue;
      const of: OutboxName = { kind: "queue", queue: name, shard: SHARD };
      batches = new AcceptBatches(this.#batchPorts(of, { terms, config }));
      this.#batches.set(queue, batches);
    }
    return batches;
  }

  /** What this isolate publishes. */
  events(plan: Plan): AcceptBatches {
    let batches = this.#events.get(plan);
    if (batches === undefined) {
      batches = new AcceptBatches(this.#batchPorts(EVENTS_OUTBOX, toldOfEvents(plan)));
      this.#events.set(plan, batches);
    }
    return batches;
  }

  /** Publishes at most `MAX_BATCH_JOBS` events in one call; what became of each. */
  async acceptEvents(
    plan: Plan,
    items: readonly AcceptItem[],
    timeoutMs: number,
  ): Promise<readonly Submitted[]> {
    const request = { ...toldOfEvents(plan), region: this.#region, items, refused: 0 };
    const reply = await this.#ask(EVENTS_OUTBOX, (outbox) => outbox.accept(request), timeoutMs);
    if (reply?.kind === "answered") return reply.outcomes;
    return items.map(() => reply ?? { kind: "unanswered" });
  }

  /** Asks the outbox of a subscription; null when it fails or does not answer in time. */
  askSubscription<Answer>(
    queue: string,
    call: (outbox: OutboxCalls) => Promise<Answer>,
    timeoutMs = ASK_TIMEOUT_MS,
  ): Promise<Answer | null> {
    return this.#ask({ kind: "subscription", queue, shard: SHARD }, call, timeoutMs);
  }

  /** Asks the outbox of the events; null when it fails or does not answer in time. */
  askEvents<Answer>(
    call: (outbox: OutboxCalls) => Promise<Answer>,
    timeoutMs = ASK_TIMEOUT_MS,
  ): Promise<Answer | null> {
    return this.#ask(EVENTS_OUTBOX, call, timeoutMs);
  }

  /** Asks the outbox of a queue; null when it fails or does not answer in time. */
  askQueue<Answer>(
    queue: string,
    call: (outbox: OutboxCalls) => Promise<Answer>,
    timeoutMs = ASK_TIMEOUT_MS,
  ): Promise<Answer | null> {
    return this.#ask({ kind: "queue", queue, shard: SHARD }, call, timeoutMs);
  }

  /** Asks the outbox that a job's id names; null also for what is no id. */
  askJob<Answer>(
    id: string,
    call: (outbox: OutboxCalls) => Promise<Answer>,
    timeoutMs = ASK_TIMEOUT_MS,
  ): Promise<Answer | null> {
    const name = parseJobId(id);
    return name === null ? Promise.resolve(null) : this.#ask(name, call, timeoutMs);
  }

  #ask<Answer>(
    name: OutboxName,
    call: (outbox: OutboxCalls) => Promise<Answer>,
    timeoutMs: number,
  ): Promise<Answer | null> {
    return answerWithin(timeoutMs, call(this.#stub(name)));
  }

  /** A stub for each use: one that has failed stays broken. */
  #stub(name: OutboxName): OutboxCalls {
    return this.#outboxes.get(this.#outboxes.idFromName(outboxName(name)));
  }

  #batchPorts(name: OutboxName, told: Told): BatchPorts {
    const region = this.#region;
    return {
      now: () => Date.now(),
      startTimer(ms, fire) {
        const timer = setTimeout(fire, ms);
        return () => clearTimeout(timer);
      },
      send: (items, refused, lookups = []) => {
        const request = { ...told, region, items, refused, lookups };
        return this.#ask(name, (outbox) => outbox.accept(request), SEND_TIMEOUT_MS);
      },
      withdraw: (id) => this.askJob(id, (outbox) => outbox.cancel({ id, by: "client" })),
    };
  }
}

type Told = Pick<AcceptRequest, "terms" | "config" | "subscriptions">;

/** What the outbox of the events is told with every batch. */
function toldOfEvents({ eventTerms: terms, hash: config, subscriptions }: Plan): Told {
  const routes = subscriptions.map(({ name, events, ordered, terms: own }) => {
    return { name, events, ordered, terms: own };
  });
  return { terms, config, subscriptions: routes };
}
