// An isolate's sync: its report is applied once, what it asks for is leased, and it gets what the region
// knows. The answer may leave only when what it acknowledges is stored (`hasUnstored`).

import { answerBulkheadAsk } from "./bulkhead-book.ts";
import type { Hub } from "./hub.ts";
import { MAX_SERIES } from "./hub.ts";
import { leaseUnits, noteUse, waitsForPeers } from "./limit-book.ts";
import { answerLoadAsk, noteReportedLoad } from "./load-book.ts";
import { announceUse } from "./membership.ts";
import { overridesInForce } from "./overrides.ts";
import { NEAR_MS, arePeersNear } from "./peers.ts";
import type { LeaseAnswer, LeaseAsk, Report, Snapshot, SyncReply, SyncRequest } from "./protocol.ts";
import { isRefilling, leaseRights, takeBackRights } from "./quota-book.ts";
import { isSyncRequest } from "./report.ts";
import { countPresent, judgeBatch, noteBatch, notePresence } from "./sessions.ts";
import { openVerdicts } from "./open-circuits.ts";
import { answerUpstreamAsk, noteReportedCalls } from "./upstream-book.ts";
import type { UpstreamVerdict } from "./upstream-protocol.ts";
import { addUsage } from "./usage.ts";

/** Serves one sync. A refusal changes nothing. */
export function serveSync(hub: Hub, request: unknown, now: number): SyncReply {
  if (!isSyncRequest(request)) return refuse(hub, "malformed");
  if (request.region !== hub.region) return refuse(hub, "wrong-region");
  const { session, report, asks } = request;
  notePresence(hub, session, now);
  if (report !== null) {
    const verdict = judgeBatch(hub, session, report.seq);
    if (verdict === "unknown-session" || verdict === "full") return refuse(hub, verdict);
    announceUse(hub, now);
    if (verdict === "apply") applyReport(hub, report, now);
    else hub.tally.duplicates++;
  } else announceUse(hub, now);
  const leases = asks.map((ask) =>
    ask.terms.consistency === "capped"
      ? leaseRights(hub, ask, session, now)
      : leaseUnits(hub, ask, session, now),
  );
  const verdicts = verdictsFor(hub, session, request.upstreams, now);
  const loads = (request.loads ?? []).flatMap((ask) => answerLoadAsk(hub, session, ask, now) ?? []);
  const bulkheads = (request.bulkheads ?? []).flatMap(
    (ask) => answerBulkheadAsk(hub, session, ask, now) ?? [],
  );
  const seq = hub.sessions.get(session)?.seq ?? 0;
  return { kind: "synced", seq, leases, verdicts, loads, bulkheads, snapshot: snapshotOf(hub, now) };
}

/** What the isolate asked for, and what is open besides. */
function verdictsFor(
  hub: Hub,
  session: string,
  asked: SyncRequest["upstreams"],
  now: number,
): UpstreamVerdict[] {
  if (asked === undefined) return [];
  const answers = asked.flatMap((ask) => answerUpstreamAsk(hub, session, ask, now) ?? []);
  return [...answers, ...openVerdicts(hub, asked, now)];
}

/**
 * Whether a request waits for rights that are on their way: the first of a key, or the last of a stock. Call
 * after `takeRefills`; the answer is worth holding back until the refill has ended, then see `leaseAgain`.
 */
export function waitsForRights(hub: Hub, request: SyncRequest, reply: SyncReply, now: number): boolean {
  if (reply.kind !== "synced" || !request.urgent) return false;
  return request.asks.some(
    ({ terms }, at) =>
      terms.consistency === "capped" && reply.leases[at].units === 0 && isRefilling(hub, terms, now),
  );
}

/** Whether an answer gives a probe to an isolate, where a request may wait for it. */
export function leasesProbe(reply: SyncReply): boolean {
  return reply.kind === "synced" && (reply.verdicts ?? []).some(({ lease }) => lease !== 0);
}

/** The answer with what can be leased by now to those that got nothing. To be stored before it leaves. */
export function leaseAgain(hub: Hub, request: SyncRequest, reply: SyncReply, now: number): SyncReply {
  if (reply.kind !== "synced") return reply;
  const leases = request.asks.map((ask, at) =>
    ask.terms.consistency === "capped" && reply.leases[at].units === 0
      ? leaseRights(hub, ask, request.session, now)
      : reply.leases[at],
  );
  return { ...reply, leases };
}

/** An answer is held back for so long at most: within what the isolate waits for the hub. */
export const HOLD_MS = NEAR_MS;

/** Whether a request waits for what peers have to say of a limit that is almost used up. */
export function waitsForWord(hub: Hub, request: SyncRequest, reply: SyncReply, now: number): boolean {
  if (reply.kind !== "synced" || !request.urgent || !arePeersNear(hub, now)) return false;
  return request.asks.some((ask, at) => isWaiting(hub, ask, reply.leases[at]));
}

/** The answer with what can be leased by now to those that waited for peers, for long enough if `isOver`. */
export function leaseAfterWord(
  hub: Hub,
  request: SyncRequest,
  reply: SyncReply,
  isOver: boolean,
  now: number,
): SyncReply {
  if (reply.kind !== "synced") return reply;
  const leases = request.asks.map((ask, at) =>
    isWaiting(hub, ask, reply.leases[at])
      ? leaseUnits(hub, ask, request.session, now, isOver)
      : reply.leases[at],
  );
  return { ...reply, leases };
}

function isWaiting(hub: Hub, { terms }: LeaseAsk, { units }: LeaseAnswer): boolean {
  return terms.consistency === "global" && units === 0 && waitsForPeers(hub, terms);
}

/** What every isolate of the region gets with each answer. */
export function snapshotOf(hub: Hub, now: number): Snapshot {
  return {
    region: hub.region,
    isolates: Math.max(1, countPresent(hub, now)),
    regions: hub.peers.size + 1,
    overrides: overridesInForce(hub, now),
  };
}

function applyReport(hub: Hub, report: Report, now: number): void {
  const { session, seq, counts, uses, returns } = report;
  hub.tally.reports++;
  let isDurable = false;
  for (const { counter, key, by } of counts) {
    addUsage(hub, counter, key, by, now);
    isDurable = true;
  }
  for (const { terms, at, units } of uses) noteUse(hub, terms, session, at, units, now);
  for (const entry of report.calls ?? []) noteReportedCalls(hub, session, entry, now);
  for (const [series, by] of report.metrics ?? []) addMetric(hub, series, by);
  for (const entry of report.loads ?? []) noteReportedLoad(hub, session, entry, now);
  for (const { terms, period, units } of returns) {
    if (takeBackRights(hub, terms, period, units, now)) isDurable = true;
  }
  noteBatch(hub, session, seq, isDurable, now);
}

function addMetric({ metrics }: Hub, series: string, by: number): void {
  const before = metrics.get(series);
  if (before === undefined && metrics.size >= MAX_SERIES) return;
  metrics.set(series, (before ?? 0) + by);
}

function refuse(hub: Hub, reason: Extract<SyncReply, { kind: "refused" }>["reason"]): SyncReply {
  hub.tally.refused++;
  return { kind: "refused", reason };
}
