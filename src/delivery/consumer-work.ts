// The jobs of a batch, claimed as they are needed: one call for as many as the queue's `batch` allows, and no
// more than a few rounds of fetches, so that jobs are not held by a consumer that has not begun with them. Of
// several queues the one with the fewest fetches under way comes next, so that a slow one leaves room.

import type { ClaimedJob, ClaimOutcome } from "./core/protocol.ts";
import type { PointerGroup } from "./consumer-batch.ts";
import { HeldLease, leaseMsFor } from "./consumer-leases.ts";
import { logFault } from "./consumer-settle.ts";
import type { Place } from "./consumer-places.ts";
import type { OutboxNamespace } from "./consumer-outboxes.ts";
import { outboxNamed } from "./consumer-outboxes.ts";

/** The platform opens so many connections at a time for one invocation. */
export const MAX_FETCHES = 6;
/** Jobs of one claim: five rounds of fetches. */
export const MAX_CLAIM_JOBS = 5 * MAX_FETCHES;

/** A job and what to do with it. */
export interface Task {
  readonly work: Work;
  readonly job: ClaimedJob;
  readonly lease: HeldLease;
}

/** The work of one group. */
export interface Work {
  readonly group: PointerGroup;
  /** null: the configuration does not know the queue. */
  readonly place: Place | null;
  readonly batch: number;
  /** Deliveries under way at one time. */
  readonly most: number;
  /** How long one delivery may take. */
  readonly deliveryMs: number;
  readonly ids: string[];
  readonly tasks: Task[];
  underWay: number;
  hasTried: boolean;
  claiming: Promise<void> | null;
}

export function createWork(group: PointerGroup, place: Place | null): Work {
  return {
    group,
    place,
    batch: Math.min(place?.batch ?? MAX_CLAIM_JOBS, MAX_CLAIM_JOBS),
    most: place?.most ?? MAX_FETCHES,
    deliveryMs: place?.deliveryMs ?? 0,
    ids: [...group.messages.keys()],
    tasks: [],
    underWay: 0,
    hasTried: false,
    claiming: null,
  };
}

export class WorkList {
  readonly #works: Work[];
  readonly #outboxes: OutboxNamespace;
  readonly #claimant: string;
  /** Messages of the batch, until an outbox was told. */
  #batch: number | undefined;
  /** What may still bring jobs. */
  readonly #pending = new Set<Promise<unknown>>();

  constructor(works: readonly Work[], outboxes: OutboxNamespace, claimant: string, batch: number) {
    this.#batch = batch;
    this.#works = [...works];
    this.#outboxes = outboxes;
    this.#claimant = claimant;
  }

  /** The next job, or null when there is none any more. It counts as under way. */
  async next(): Promise<Task | null> {
    for (;;) {
      const claims = [...this.#works.flatMap(({ claiming }) => claiming ?? []), ...this.#pending];
      const open = this.#works.filter(
        ({ ids, tasks, claiming, underWay, most }) =>
          underWay < most && (tasks.length > 0 || (ids.length > 0 && claiming === null)),
      );
      if (open.length === 0 && claims.length === 0) return null;
      if (open.length === 0) {
        await Promise.race(claims);
        continue;
      }
      const work = open.reduce((best, each) => (each.underWay < best.underWay ? each : best));
      const task = work.tasks.shift();
      if (task === undefined) {
        work.claiming = this.#claim(work).finally(() => (work.claiming = null));
        await work.claiming;
        continue;
      }
      work.underWay++;
      return task;
    }
  }

  get works(): readonly Work[] {
    return this.#works;
  }

  /** More jobs may come until this resolves. */
  expect(news: Promise<unknown>): void {
    this.#pending.add(news);
    void news.finally(() => this.#pending.delete(news));
  }

  /** Adds a job that is leased already. */
  add(work: Work, job: ClaimedJob, lease: HeldLease): void {
    if (!this.#works.includes(work)) this.#works.push(work);
    work.tasks.push({ work, job, lease });
  }

  /** The lease of a claim that was made at `askedAt`. */
  hold(outbox: string, jobs: readonly ClaimedJob[], leaseMs: number, askedAt: number): HeldLease {
    const ids = jobs.map(({ id }) => id);
    const terms = { outbox, fence: jobs[0]?.fence ?? 0, leaseMs, until: askedAt + leaseMs };
    return new HeldLease(terms, ids, (request) => outboxNamed(this.#outboxes, outbox).renew(request));
  }

  find(outbox: string, region: string): Work | undefined {
    return this.#works.find(({ group }) => group.outbox === outbox && group.region === region);
  }

  /** Nothing more is begun: jobs that are held, and messages that were not looked at. */
  stop(): { readonly held: readonly Task[]; readonly left: readonly (readonly [Work, string])[] } {
    return {
      held: this.#works.flatMap((work) => work.tasks.splice(0)),
      left: this.#works.flatMap((work) => work.ids.splice(0).map((id) => [work, id] as const)),
    };
  }

  async #claim(work: Work): Promise<void> {
    const ids = work.ids.splice(0, work.batch);
    const { group, place } = work;
    const leaseMs = leaseMsFor(work.deliveryMs);
    const askedAt = Date.now();
    const outcomes = await this.#askFor(group.outbox, ids, leaseMs);
    if (outcomes === null) {
      for (const id of ids) for (const message of group.messages.get(id) ?? []) message.retry();
      return;
    }
    const jobs = outcomes.filter((outcome) => outcome.kind === "claimed");
    const lease = this.hold(group.outbox, jobs, leaseMs, askedAt);
    for (const outcome of outcomes) {
      if (outcome.kind === "claimed") work.tasks.push({ work, job: outcome, lease });
      else acknowledge(work, outcome.id);
    }
    place?.engine.hub?.keepBegun(place.shell);
  }

  /** null: the outbox did not answer, or did not understand. */
  async #askFor(
    outbox: string,
    ids: readonly string[],
    leaseMs: number,
  ): Promise<readonly ClaimOutcome[] | null> {
    const batch = this.#batch;
    this.#batch = undefined;
    try {
      const reply = await outboxNamed(this.#outboxes, outbox).claim({
        ids,
        leaseMs,
        claimant: this.#claimant,
        batch,
      });
      if (reply.kind === "answered") return reply.outcomes;
      logFault("claim-refused", outbox, reply.field);
    } catch (error) {
      logFault("claim-failed", outbox, error);
    }
    return null;
  }
}

/** The messages of a job are done: what it needs next, its outbox brings about. */
export function acknowledge({ group }: Work, id: string): void {
  for (const message of group.messages.get(id) ?? []) message.ack();
}
