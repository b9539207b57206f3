// What an outbox holds in memory: an index of its live jobs. The rows are the truth; a boot builds the same
// book from them. Operations change the book and say what must be written; whoever cannot store that gives
// the book up.
//
// A live job that may run is in one of these places, and a sweep finds those that fell between them:
//
//   ready       to be published next             waiting    until `nextAt`
//   published   its pointer is on its way        leased     a consumer has it

import { HEALTHY, type EndpointHealth, type HealthNotice } from "../webhooks/core/endpoint-health.ts";
import { NO_ALERT, observeLag, type LagAlert } from "./alert.ts";
import { nextRefusing } from "./backpressure.ts";
import { addDrained, type DrainRate } from "./drain-rate.ts";
import type { Gate } from "./gates.ts";
import type { OutboxName } from "./job-id.ts";
import { createLanes, headOf, isFirst, joinLane, leaveLane, type Lanes } from "./lanes.ts";
import type { Pace } from "./pace.ts";
import { NO_COUNTS, type OutboxCounts, type QueueTerms } from "./protocol.ts";
import type { EndStatus, OutboxRow, ReplayRun, Trial, Write } from "./storage.ts";

/** A job that was published and not claimed for so long is published again. */
export const VISIBILITY_MS = 5 * 60_000;

export interface LiveJob {
  readonly seq: number;
  readonly key: string | null;
  readonly acceptedAt: number;
  readonly expiresAt: number;
  readonly terms: QueueTerms;
  /** Null: nothing has gone wrong with it. */
  trial: Trial | null;
  /** Of its newest claim that has not been settled; 0: there is none. */
  fence: number;
  /** 0: nobody has it. */
  leaseUntil: number;
  isReady: boolean;
  /** When its pointer was sent; 0: never, or since then it has run. */
  publishedAt: number;
  /** Pointers since it was last due for the first time. */
  pointers: number;
}

export type OpenClaim = { readonly slot: number; until: number; open: number };

/** Who publishes. The fence grows with each relay; a relay whose fence is not the newest changes nothing. */
export interface Relay {
  fence: number;
  /** 0: nobody does. */
  leaseUntil: number;
  /** What is being sent. */
  inFlight: readonly number[];
  /** Not before this, after a failure. */
  notBefore: number;
  failures: number;
}

export type Counts = { -readonly [Name in keyof OutboxCounts]: number };

export interface Book {
  readonly name: OutboxName;
  readonly live: Map<number, LiveJob>;
  readonly lanes: Lanes;
  /** To be published, first come first served. */
  ready: number[];
  /** Live jobs with a `nextAt`, and a lower bound of the earliest. */
  readonly waiting: Set<number>;
  nextDueAt: number;
  lastSeq: number;
  /** The newest claim. */
  lastFence: number;
  /** Claims of which some jobs (`open`) are not settled, by their fences, and the row of each. */
  readonly claims: Map<number, OpenClaim>;
  /** Rows whose claims are over, to be taken by new ones; and how many there are in all. */
  readonly freeSlots: number[];
  slots: number;
  readonly gates: Map<string, Gate>;
  readonly relay: Relay;
  /** How many jobs go out per second after a circuit was open; null: as many as there are. */
  pace: Pace | null;
  wentWellAt: number;
  cursor: number;
  floor: number;
  readonly counts: Counts;
  drain: DrainRate;
  alert: LagAlert;
  /** The newest terms' threshold; 0: none was seen since the boot. */
  alertAt: number;
  deadRows: number;
  replay: ReplayRun | null;
  /** Since when the replay may take the next row. */
  replayedAt: number;
  sweptAt: number;
  /** The newest moment that was seen, by the clock as it is set now. */
  seenAt: number;
  /** All retries that were due by then have been published, once nothing is ready any more. */
  takenUntil: number;
  publishedUntil: number;
  republishedAt: number;
  /** A lower bound of when the next job expires. */
  nextExpiryAt: number;
  /** When to look for rows to delete (infinite: there are none), and after which one. */
  collectAt: number;
  collectAfter: number;
  /** Rows that go once their bodies are gone from the bucket, and what those are called there. */
  readonly bodies: Map<number, string>;
  /** Events from here on are kept for a subscription that is behind, or for a replay; infinite: none is. */
  keptFrom: number;
  replayFrom: number;
  /** The newest terms', see `QueueTerms`; null: a queue's. */
  delivery: QueueTerms["delivery"] | null;
  endpoint: EndpointHealth;
  /** What has changed with the endpoint and was not told yet. */
  readonly notices: HealthNotice[];
  /** Events that a reaction has brought about: the newest, how many nobody has yet; see sequel-relay.ts. */
  readonly sequels: { last: number; waiting: number; areMany: boolean };
  /** Of the events: the subscriptions that the newest configuration names; null: none was told of. */
  told: readonly string[] | null;
  /** Whether the outbox's own row is older than what is known. */
  isRowStale: boolean;
}

export function createBook(name: OutboxName, now: number): Book {
  return {
    name,
    live: new Map(),
    lanes: createLanes(),
    ready: [],
    waiting: new Set(),
    nextDueAt: Number.POSITIVE_INFINITY,
    lastSeq: 0,
    lastFence: 0,
    claims: new Map(),
    freeSlots: [],
    slots: 0,
    gates: new Map(),
    relay: { fence: 0, leaseUntil: 0, inFlight: [], notBefore: 0, failures: 0 },
    pace: null,
    wentWellAt: Number.NEGATIVE_INFINITY,
    cursor: 0,
    floor: 1,
    counts: { ...NO_COUNTS },
    drain: { perSecond: 0, at: now },
    alert: NO_ALERT,
    alertAt: 0,
    deadRows: 0,
    replay: null,
    replayedAt: now,
    sweptAt: 0,
    seenAt: 0,
    takenUntil: 0,
    publishedUntil: 0,
    republishedAt: 0,
    nextExpiryAt: Number.POSITIVE_INFINITY,
    collectAt: Number.POSITIVE_INFINITY,
    collectAfter: 0,
    bodies: new Map(),
    keptFrom: Number.POSITIVE_INFINITY,
    replayFrom: Number.POSITIVE_INFINITY,
    delivery: null,
    endpoint: HEALTHY,
    notices: [],
    sequels: { last: 0, waiting: 0, areMany: false },
    told: null,
    isRowStale: false,
  };
}

/** Jobs accepted and not ended. */
export const depthOf = (book: Book): number => book.live.size;

export function isLeased(job: Pick<LiveJob, "leaseUntil">, now: number): boolean {
  return job.leaseUntil > now;
}

/** Whether a job may be published: nobody has it, it is due, and it is the first of its key. */
export function isRunnable(book: Book, job: LiveJob, now: number): boolean {
  return job.leaseUntil === 0 && (job.trial?.nextAt ?? 0) <= now && isFirst(book.lanes, job.key, job.seq);
}

/** Takes up a job that lives. */
export function addLive(book: Book, job: LiveJob): void {
  book.live.set(job.seq, job);
  book.nextExpiryAt = Math.min(book.nextExpiryAt, job.expiresAt);
  if (job.key !== null) joinLane(book.lanes, job.key, job.seq);
}

/** What a job is that nobody has touched. */
export const UNTOUCHED = {
  trial: null,
  fence: 0,
  leaseUntil: 0,
  isReady: false,
  publishedAt: 0,
  pointers: 0,
} as const;

/** Retries whose time has come become ready. */
export function wakeDue(book: Book, now: number): void {
  if (now < book.nextDueAt) return;
  let next = Number.POSITIVE_INFINITY;
  for (const seq of book.waiting) {
    const job = book.live.get(seq);
    const nextAt = job?.trial?.nextAt ?? 0;
    if (job !== undefined && nextAt > now) {
      next = Math.min(next, nextAt);
      continue;
    }
    book.waiting.delete(seq);
    if (job !== undefined) makeReady(book, job, now);
  }
  book.nextDueAt = next;
}

/** Puts a job that may run where the relay takes it from; no other. */
export function makeReady(book: Book, job: LiveJob, now: number): void {
  if (job.isReady || !isRunnable(book, job, now)) return;
  job.isReady = true;
  book.waiting.delete(job.seq);
  book.ready.push(job.seq);
}

/** A job goes on at its `nextAt`. */
export function goOn(book: Book, job: LiveJob, now: number): void {
  const nextAt = job.trial?.nextAt ?? 0;
  job.publishedAt = 0;
  job.pointers = 0;
  if (nextAt > now) {
    book.waiting.add(job.seq);
    book.nextDueAt = Math.min(book.nextDueAt, nextAt);
  } else makeReady(book, job, now);
}

/** The first of a key may run now, if it can. */
export function releaseKey(book: Book, key: string | null, now: number): void {
  const head = key === null ? null : headOf(book.lanes, key);
  const job = head === null ? undefined : book.live.get(head);
  if (job !== undefined) makeReady(book, job, now);
}

/** Forgets a live job. One that stays dead at the head of its key keeps its place there. */
export function endJob(book: Book, job: LiveJob, status: EndStatus, now: number): void {
  book.live.delete(job.seq);
  book.waiting.delete(job.seq);
  if (job.key !== null && !(status === "dead" && job.terms.onDeadHead === "block")) {
    leaveLane(book.lanes, job.key, job.seq);
  }
  releaseKey(book, job.key, now);
  if (status === "dead") book.deadRows += 1;
  book.counts[countOf(status)] += 1;
  book.drain = addDrained(book.drain, 1, now);
  book.isRowStale = true;
}

function countOf(status: EndStatus): "delivered" | "dead" | "cancelled" | "expired" {
  return status === "succeeded" || status === "failed" ? "delivered" : status;
}

/** After the depth has changed: what changes its mind, to be written. */
export function watchDepth(book: Book, now: number): Write[] {
  const depth = depthOf(book);
  const writes: Write[] = [];
  for (const [name, gate] of book.gates) {
    const refusing = nextRefusing(gate.refusing, depth, gate.terms);
    if (refusing !== gate.refusing) writes.push({ kind: "gate", name, refusing });
    gate.refusing = refusing;
  }
  if (book.alertAt > 0) {
    const alert = observeLag(book.alert, depth, book.alertAt, now);
    if (alert !== book.alert) book.isRowStale = true;
    book.alert = alert;
  }
  return writes;
}

/** The outbox's own row as it is now. */
export function outboxRow(book: Book): OutboxRow {
  while (book.floor <= book.lastSeq && !book.live.has(book.floor)) book.floor += 1;
  return {
    cursor: book.cursor,
    fence: book.relay.fence,
    floor: book.floor,
    counts: { ...book.counts },
    drainPerSecond: book.drain.perSecond,
    drainedAt: book.drain.at,
    overSince: book.alert.overSince,
    alert: book.alert.raised,
    replay: book.replay,
    publishedUntil: book.publishedUntil,
    republishedAt: book.republishedAt,
    collectAt: Number.isFinite(book.collectAt) ? book.collectAt : null,
    endpoint: book.endpoint,
    ...(book.told === null ? {} : { told: book.told }),
  };
}
