// Takes jobs in. Each item of a batch is decided by itself and in its order:
//
//   a known idempotency key    answered by what is known, also while more work is refused
//   over the watermark         refused, nothing is stored
//   else                       a job with the next number, its key's record, and its place behind its key
//
// The same key within a batch is in flight: the first one's answer has not left yet.

import { MIN_WAIT_MS, admits, pressureOf, refusalWaitMs } from "./backpressure.ts";
import type { Book, LiveJob } from "./book.ts";
import { UNTOUCHED, addLive, depthOf, makeReady, watchDepth } from "./book.ts";
import { followClock } from "./clock.ts";
import { COLLECT_PAUSE_MS } from "./collect.ts";
import { drainPerSecond } from "./drain-rate.ts";
import { gateOf } from "./gates.ts";
import { formatJobId } from "./job-id.ts";
import type {
  AcceptItem,
  AcceptOutcome,
  AcceptReply,
  KeyLookup,
  KeyOutcome,
  QueueTerms,
} from "./protocol.ts";
import type { CheckedAccept, CheckedItem } from "./requests.ts";
import type { NewJob, OutboxReads, Write } from "./storage.ts";
import { viewOf } from "./views.ts";

/** For how long an idempotency key stands for its job. */
export const IDEMPOTENCY_TTL_MS = 24 * 3600 * 1000;

export interface Acceptance {
  readonly reply: Extract<AcceptReply, { kind: "answered" }>;
  readonly writes: readonly Write[];
}

/** What an acceptance needs beside the book. */
export interface AcceptContext {
  readonly reads: OutboxReads;
  readonly now: number;
  /** 32 fresh random hex digits. */
  readonly makeSecret: () => string;
  /** False: the storage is nearly full, so nothing more is taken in. */
  readonly hasRoom: boolean;
}

/** Decides a batch; see `AcceptOutcome` for each item's answer. */
export function acceptBatch(book: Book, batch: CheckedAccept, context: AcceptContext): Acceptance {
  const { terms } = batch;
  const { now, hasRoom } = context;
  followClock(book, now);
  const gate = gateOf(book.gates, terms);
  book.alertAt = terms.alertAt;
  book.delivery = terms.delivery ?? null;
  const writes = watchDepth(book, now);
  const seen = new Map<string, { id: string; fingerprint: string }>();
  const progress = { context, writes, seen };
  const known = batch.lookups.map((lookup) => lookUp(book, batch, lookup, progress));
  const outcomes = batch.items.map((checked) => acceptOne(book, batch, checked, progress));
  const refused = [...outcomes, ...known].filter(isRefusal).length + batch.refused;
  if (refused > 0) book.isRowStale = true;
  book.counts.rejected += refused;
  const pressure = pressureOf(
    hasRoom ? gate.refusing : "everything",
    depthOf(book),
    terms,
    hasRoom ? drainPerSecond(book.drain, now) : 0,
  );
  return { reply: { kind: "answered", outcomes, pressure, known }, writes };
}

function isRefusal({ kind }: AcceptOutcome): boolean {
  return kind === "backlog-full";
}

/** What a key stands for; a new one is refused, whether there is room by now or not. */
function lookUp(book: Book, { terms }: CheckedAccept, lookup: KeyLookup, progress: Progress): KeyOutcome {
  const known = knownKey(book, scopeOf(lookup), lookup.idempotency.fingerprint, progress);
  if (known !== null && known.kind !== "in-flight") return known;
  const { now, hasRoom } = progress.context;
  const { refusing } = gateOf(book.gates, terms);
  if (refusing === "nothing" && hasRoom) return { kind: "backlog-full", retryAfterMs: MIN_WAIT_MS };
  return { kind: "backlog-full", retryAfterMs: waitMs(book, terms, hasRoom ? now : null) };
}

/** `now` null: nothing drains. */
function waitMs(book: Book, terms: QueueTerms, now: number | null): number {
  return refusalWaitMs(depthOf(book), terms, now === null ? 0 : drainPerSecond(book.drain, now));
}

interface Progress {
  readonly context: AcceptContext;
  readonly writes: Write[];
  /** Idempotency keys of jobs that this batch has brought. */
  readonly seen: Map<string, { id: string; fingerprint: string }>;
}

function acceptOne(
  book: Book,
  batch: CheckedAccept,
  checked: CheckedItem,
  progress: Progress,
): AcceptOutcome {
  if (checked.kind !== "item") return checked;
  const { item } = checked;
  const { context, writes, seen } = progress;
  const { idempotency } = item;
  const scope = idempotency === null ? null : scopeOf({ ...item, idempotency });
  if (idempotency !== null && scope !== null) {
    const known = knownKey(book, scope, idempotency.fingerprint, progress);
    if (known !== null) return known;
  }
  const gate = gateOf(book.gates, batch.terms);
  if (!context.hasRoom || !admits(gate.refusing, item.priority)) {
    return {
      kind: "backlog-full",
      retryAfterMs: waitMs(book, batch.terms, context.hasRoom ? context.now : null),
    };
  }
  const job = newJob(book, batch, item, scope, context);
  writes.push({ kind: "insert", job }, ...watchDepth(book, context.now));
  const id = formatJobId({ ...book.name, secret: job.secret, seq: job.seq });
  if (scope !== null && job.fingerprint !== null) seen.set(scope, { id, fingerprint: job.fingerprint });
  return { kind: "accepted", id, status: "queued" };
}

/** The answer for an idempotency key that stands for a job; null: it is a new one. */
function knownKey(
  book: Book,
  scope: string,
  fingerprint: string,
  { context, writes, seen }: Progress,
): Extract<AcceptOutcome, { kind: "replayed" | "conflict" | "in-flight" }> | null {
  const { reads, now } = context;
  const inBatch = seen.get(scope);
  if (inBatch !== undefined) {
    book.counts.duplicates += 1;
    return inBatch.fingerprint === fingerprint ? { kind: "in-flight", id: inBatch.id } : { kind: "conflict" };
  }
  const record = reads.idempotent(scope);
  if (record === null) return null;
  const row = now - record.acceptedAt < IDEMPOTENCY_TTL_MS ? reads.job(record.seq) : null;
  if (row === null) {
    writes.push({ kind: "free-key", seq: record.seq });
    return null;
  }
  book.counts.duplicates += 1;
  if (record.fingerprint !== fingerprint) return { kind: "conflict" };
  const job = viewOf(book, row, reads.trial(row.seq), now);
  return { kind: "replayed", id: job.id, job };
}

/** Where an idempotency key counts: within a tenant (a consumer that has none: within itself) and a route. */
function scopeOf({ idempotency, tenant, consumer, route }: KeyLookup): string {
  return JSON.stringify([tenant, tenant ?? consumer, route, idempotency.key]);
}

function newJob(
  book: Book,
  { terms, region }: CheckedAccept,
  item: AcceptItem,
  scope: string | null,
  { now, makeSecret }: AcceptContext,
): NewJob {
  const { target, priority, consumer, tenant, route, key, traceparent, requestId } = item;
  const seq = (book.lastSeq += 1);
  const expiresAt = now + Math.min(terms.maxAgeMs, item.maxAgeMs ?? terms.maxAgeMs);
  const live: LiveJob = { ...UNTOUCHED, seq, key, acceptedAt: now, expiresAt, terms };
  addLive(book, live);
  book.collectAt = Math.min(book.collectAt, now + COLLECT_PAUSE_MS);
  makeReady(book, live, now);
  book.counts.accepted += 1;
  book.isRowStale = true;
  return {
    seq,
    secret: makeSecret(),
    status: "live",
    acceptedAt: now,
    expiresAt,
    endedAt: null,
    reason: null,
    terms,
    priority,
    consumer,
    tenant,
    route,
    key,
    traceparent,
    requestId,
    region,
    hasResult: false,
    target,
    scope,
    fingerprint: item.idempotency?.fingerprint ?? null,
  };
}
