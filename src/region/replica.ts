// The isolate's replica of its hub: what the hub must be told, as frozen batches that it takes once, and what
// the hub has said. Pure: hub-link.ts sends, and asks again.
//
//   one batch on its way at a time, sent again byte for byte until it is acknowledged
//   at most one sync in SYNC_MS, behind a response
//   no answer: the isolate goes on alone with what it knows, and nothing that waits is lost

import type {
  LeaseAsk,
  LimitTerms,
  OverrideTerms,
  Report,
  Snapshot,
  SyncReply,
  SyncRequest,
} from "../hub/protocol.ts";
import { MAX_REPORT_ENTRIES } from "../hub/protocol.ts";
import { SESSION_RENEW_MS } from "../hub/sessions.ts";
import type { LimitView } from "./limit-view.ts";
import type { AskMark } from "./limit-asks.ts";
import { acceptAnswer, askFor, isOvertaken, isRenewable, markAsk } from "./limit-asks.ts";
import { createLimitView, isForgettable } from "./limit-view.ts";
import { freezeReport } from "./report-batch.ts";
import type { UpstreamSource } from "./upstream-source.ts";

/** An isolate speaks to its hub at most this often, but for leases near a limit. */
export const SYNC_MS = 1_000;
/** A runtime may drop what a request began when its client hangs up. */
const SYNC_LOST_MS = 6_000;
/** Keys of limits that one isolate keeps at most. */
export const MAX_VIEWS = 20_000;
/** Until the hub has said how many isolates there are. */
const ASSUMED_ISOLATES = 32;

export interface Replica {
  readonly region: string;
  /** Hash of the configuration that the isolate runs under. */
  config: string;
  session: string;
  seq: number;
  frozen: Report | null;
  /** When it was frozen. */
  frozenAt: number;
  readonly counts: Map<string, { counter: string; key: string; by: number }>;
  readonly views: Map<string, LimitView>;
  snapshot: Snapshot | null;
  snapshotAt: number;
  syncing: boolean;
  /** When the last sync was sent, acknowledged, and how many failed since. */
  sentAt: number;
  ackedAt: number;
  failures: number;
  /** What the last sync asked for. */
  readonly renewed: Map<LimitView, AskMark>;
  /** Units of batches of which it is not known whether they were counted. */
  ambiguous: number;
}

export function createReplica(region: string, session: string, config: string, now: number): Replica {
  return {
    region,
    config,
    session,
    seq: 0,
    frozen: null,
    frozenAt: now,
    counts: new Map(),
    views: new Map(),
    snapshot: null,
    snapshotAt: Number.NEGATIVE_INFINITY,
    syncing: false,
    sentAt: Number.NEGATIVE_INFINITY,
    ackedAt: now,
    failures: 0,
    renewed: new Map(),
    ambiguous: 0,
  };
}

/** The view of a limit for a key. Null when there are too many keys to follow. */
export function limitViewOf(replica: Replica, terms: LimitTerms, now: number): LimitView | null {
  const id = `${terms.limit}\n${terms.key}`;
  const known = replica.views.get(id);
  if (known !== undefined && sameWindow(known.terms, terms)) {
    // Of another configuration it may be: what is leased and what is not reported yet stay what they are.
    known.terms = terms;
    return known;
  }
  if (known === undefined && replica.views.size >= MAX_VIEWS) {
    forgetViews(replica, now);
    if (replica.views.size >= MAX_VIEWS) return null;
  }
  const view = createLimitView(terms, now);
  replica.views.set(id, view);
  return view;
}

/** How many isolates in the world share a limit, as far as is known. */
export function isolatesSharing(replica: Replica, terms: LimitTerms): number {
  const { snapshot } = replica;
  if (snapshot === null) return ASSUMED_ISOLATES;
  return snapshot.isolates * (terms.consistency === "regional" ? 1 : snapshot.regions);
}

/** Whether the hub has not answered the last time. */
export function isAlone(replica: Replica): boolean {
  return replica.failures > 0 || replica.snapshot === null;
}

/** What an operator has forced on an upstream, or null. */
export function overrideOf(replica: Replica, upstream: string, now: number): OverrideTerms | null {
  const terms = replica.snapshot?.overrides[upstream];
  return terms !== undefined && terms.until > now ? terms : null;
}

/** Whether there is anything that the hub has not got. */
export function hasPending(replica: Replica): boolean {
  if (replica.frozen !== null || replica.counts.size > 0) return true;
  for (const view of replica.views.values()) if (view.pending.length > 0) return true;
  return false;
}

/** Whether a sync may start now. One whose answer never came, not even as a failure, is given up. */
export function isSyncDue(replica: Replica, now: number): boolean {
  // The other way round, the clock was set back.
  const passedMs = Math.abs(now - replica.sentAt);
  if (replica.syncing && passedMs >= SYNC_LOST_MS) failSync(replica);
  return !replica.syncing && passedMs >= SYNC_MS;
}

/** The next sync: the batch that is on its way, or a new one with all that waits. */
export function beginSync(
  replica: Replica,
  newSession: string,
  now: number,
  upstreams: UpstreamSource | null = null,
): SyncRequest {
  replica.syncing = true;
  replica.sentAt = now;
  const { frozen: waiting } = replica;
  // A hub that has forgotten the session cannot tell its first batch from a new one; the others it refuses.
  if (waiting?.seq === 1 && now - replica.frozenAt > SESSION_RENEW_MS) giveUpFrozen(replica, newSession);
  if (replica.frozen === null) {
    // The hub forgets sessions that are silent for long; a batch of a forgotten one could not be placed.
    if (now - replica.ackedAt > SESSION_RENEW_MS) startSession(replica, newSession);
    const calls = upstreams?.takeCalls(now) ?? [];
    const loads = upstreams?.takeLoads(now) ?? [];
    replica.frozen = freezeReport(replica, calls, loads, upstreams?.takeMetrics() ?? [], now);
    replica.frozenAt = now;
  }
  const { region, session, frozen } = replica;
  const asks = renewals(replica, now);
  const asked = {
    upstreams: upstreams?.asks(now) ?? [],
    loads: upstreams?.loadAsks(now) ?? [],
    bulkheads: upstreams?.bulkheadAsks() ?? [],
  };
  return { region, session, report: frozen, asks, ...asked, urgent: false };
}

/** An ask that a request waits for, or that spares one from waiting. */
export function beginAsk(
  replica: Replica,
  view: LimitView,
  need: number,
  now: number,
  waiting = need,
): SyncRequest {
  view.asking = true;
  view.askedAt = now;
  const { region, session } = replica;
  return {
    region,
    session,
    report: null,
    asks: [askFor(view, need, now, replica.seq, waiting)],
    urgent: true,
  };
}

/** Takes the answer to the sync of `askedAt` in; a later sync's batch may be the same one. */
export function endSync(
  replica: Replica,
  reply: SyncReply,
  askedAt: number,
  now: number,
  newSession = `${replica.session.slice(0, 40)}-${now}`,
): void {
  if (askedAt !== replica.sentAt) return;
  if (reply.kind === "refused" && reply.reason === "full") {
    failSync(replica, askedAt);
    return;
  }
  replica.syncing = false;
  replica.failures = 0;
  replica.ackedAt = now;
  const { frozen } = replica;
  if (reply.kind === "refused") {
    giveUpFrozen(replica, newSession);
    return;
  }
  if (frozen !== null && reply.seq >= frozen.seq) settleFrozen(replica);
  takeReply(replica, reply, askedAt, now, (view) => replica.renewed.get(view));
}

/** Takes the answer to the ask in that was sent at `askedAt`, with this mark. */
export function endAsk(
  replica: Replica,
  view: LimitView,
  reply: SyncReply,
  askedAt: number,
  now: number,
  mark: AskMark = markAsk(view),
): void {
  view.asking = false;
  if (reply.kind !== "synced") return;
  const isLate = isOvertaken(view, mark);
  takeReply(replica, reply, askedAt, now, () => mark);
  if (isLate) return;
  // What is in flight was counted in what the hub says is used: it must not be added to that.
  const isCounted = replica.frozen !== null && replica.frozen.seq <= reply.seq;
  if (isCounted) view.base = Math.max(0, view.base - view.inFlight);
}

/** A sync has failed: what was sent may have arrived or not, and is sent again. */
export function failSync(replica: Replica, askedAt = replica.sentAt): void {
  if (askedAt !== replica.sentAt) return;
  replica.syncing = false;
  replica.failures++;
}

function takeReply(
  replica: Replica,
  reply: Extract<SyncReply, { kind: "synced" }>,
  askedAt: number,
  now: number,
  markOf: (view: LimitView) => AskMark | undefined,
): void {
  replica.snapshot = reply.snapshot;
  replica.snapshotAt = now;
  for (const answer of reply.leases) {
    const view = replica.views.get(`${answer.limit}\n${answer.key}`);
    if (view !== undefined) acceptAnswer(view, answer, askedAt, now, markOf(view));
  }
}

/** Leases that are worth renewing along with a sync: of keys that are in use and not held back. */
function renewals(replica: Replica, now: number): LeaseAsk[] {
  const asks: LeaseAsk[] = [];
  replica.renewed.clear();
  for (const view of replica.views.values()) {
    if (asks.length >= MAX_REPORT_ENTRIES) break;
    if (!isRenewable(view, now)) continue;
    replica.renewed.set(view, markAsk(view));
    asks.push(askFor(view, 1, now));
  }
  return asks;
}

function settleFrozen(replica: Replica): void {
  replica.frozen = null;
  for (const view of replica.views.values()) {
    view.base += view.inFlight;
    view.inFlight = 0;
  }
}

/** A batch that the hub cannot place must neither block what comes after it nor count twice. */
function giveUpFrozen(replica: Replica, newSession: string): void {
  for (const { by } of replica.frozen?.counts ?? []) replica.ambiguous += by;
  for (const { units } of replica.frozen?.uses ?? []) replica.ambiguous += units;
  settleFrozen(replica);
  startSession(replica, newSession);
}

function startSession(replica: Replica, session: string): void {
  replica.session = session;
  replica.seq = 0;
}

function forgetViews(replica: Replica, now: number): void {
  for (const [id, view] of replica.views) if (isForgettable(view, now)) replica.views.delete(id);
}

function sameWindow(left: LimitTerms, right: LimitTerms): boolean {
  return left.windowMs === right.windowMs && left.consistency === right.consistency;
}
