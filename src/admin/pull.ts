// `POST /_gateway/subscriptions/<name>/pull` and `/ack`: events that are fetched. Each comes with a lease;
// what is acknowledged before its lease is over is done, what is not comes again.

import type { SubscriptionPlan } from "../config/plan.ts";
import type { Exchange } from "../edge/exchange.ts";
import { MIN_PULL_LEASE_MS, MAX_PULL_LEASE_MS } from "../delivery/core/event-protocol.ts";
import type { ClaimedJob, Settlement } from "../delivery/core/protocol.ts";
import { MAX_BATCH_JOBS } from "../delivery/core/protocol.ts";
import { writeStructured } from "../delivery/events/json-format.ts";
import { problem, readJson } from "./answers.ts";
import { notAnswered } from "./jobs.ts";

export const DEFAULT_PULL_EVENTS = 10;
export const DEFAULT_PULL_LEASE_MS = 30_000;
/** Leases of one acknowledgement. */
export const MAX_ACKNOWLEDGED = 1_000;

const PULL_RULE =
  `Send \`max\` as a whole number from 1 on, and \`leaseMs\` as ms ` +
  `from ${MIN_PULL_LEASE_MS} to ${MAX_PULL_LEASE_MS}.`;
const ACK_RULE = `Send \`leaseIds\` as a list of at most ${MAX_ACKNOWLEDGED} lease ids.`;
const LEASE = /^([1-9a-z][0-9a-z]{0,10})\.(.{1,128})$/;

export async function pullEvents(x: Exchange, name: string, request: Request): Promise<Response> {
  const subscription = pulledBy(x, name);
  if (subscription instanceof Response) return subscription;
  const asked = await readPull(request);
  if (asked === null) return problem(x, "bad_request", PULL_RULE);
  const { outboxes } = x.engine;
  const [reply, log] = await Promise.all([
    outboxes?.askSubscription(name, (outbox) => outbox.pull(asked)),
    outboxes?.askEvents((outbox) => outbox.pending(name)),
  ]);
  if (reply === null || reply === undefined) return notAnswered(x);
  if (reply.kind === "malformed") return problem(x, "bad_request", PULL_RULE);
  const behind = log ?? { count: 0, oldestAgeMs: 0 };
  const lag = reply.lag + behind.count;
  const oldestAgeMs = Math.max(reply.oldestAgeMs, behind.oldestAgeMs);
  const events = reply.jobs.map(leaseText).join(",");
  const body = `{"events":[${events}],"lag":${lag},"oldestAgeMs":${oldestAgeMs}}`;
  return new Response(body, { headers: { "content-type": "application/json", "cache-control": "no-store" } });
}

export async function acknowledgeEvents(x: Exchange, name: string, request: Request): Promise<Response> {
  const subscription = pulledBy(x, name);
  if (subscription instanceof Response) return subscription;
  const body = await readJson(request);
  const leaseIds = typeof body === "object" && body !== null && "leaseIds" in body ? body.leaseIds : null;
  if (!isTexts(leaseIds) || leaseIds.length > MAX_ACKNOWLEDGED) return problem(x, "bad_request", ACK_RULE);
  const acked = new Set<string>();
  const parsed = [...new Set(leaseIds)].flatMap(parseLease);
  for (let at = 0; at < parsed.length; at += MAX_BATCH_JOBS) {
    const page = parsed.slice(at, at + MAX_BATCH_JOBS);
    const settlements = page.map(({ settlement }) => settlement);
    const reply = await x.engine.outboxes?.askSubscription(name, (outbox) => outbox.settle({ settlements }));
    if (reply?.kind !== "answered") return notAnswered(x);
    for (const [index, { kind }] of reply.outcomes.entries()) {
      if (kind === "settled") acked.add(page[index].leaseId);
    }
  }
  const isAcked = (id: string): boolean => acked.has(id);
  return Response.json({ acked: leaseIds.filter(isAcked), expired: leaseIds.filter((id) => !isAcked(id)) });
}

function pulledBy(x: Exchange, name: string): SubscriptionPlan | Response {
  const { subscriptions } = x.engine.plan;
  const found = subscriptions.find((subscription) => subscription.name === name);
  if (found?.deliver.kind === "pull") return found;
  if (found !== undefined) {
    return problem(
      x,
      "bad_request",
      `The events of ${name} are delivered (${found.deliver.kind}), not pulled.`,
    );
  }
  const pulled = subscriptions.flatMap(({ name: other, deliver }) => (deliver.kind === "pull" ? other : []));
  return problem(
    x,
    "route_not_found",
    `There is no subscription of this name; to pull there are: ${pulled.join(", ") || "none"}.`,
  );
}

async function readPull(request: Request): Promise<{ max: number; leaseMs: number } | null> {
  const text = await request.clone().text();
  const body = text.trim() === "" ? {} : await readJson(request);
  if (typeof body !== "object" || body === null || Array.isArray(body)) return null;
  const { max = DEFAULT_PULL_EVENTS, leaseMs = DEFAULT_PULL_LEASE_MS } = { ...body } as Record<
    string,
    unknown
  >;
  if (typeof max !== "number" || typeof leaseMs !== "number") return null;
  // Whoever would take more gets what one answer holds, and the lag says that there is more.
  return { max: Number.isSafeInteger(max) ? Math.min(max, MAX_BATCH_JOBS) : max, leaseMs };
}

/** An event's JSON keeps the text of its data. */
function leaseText({ id, fence, attempt, target }: ClaimedJob): string {
  if (target.kind !== "event") throw new Error("a request stands among events");
  const leaseId = JSON.stringify(`${fence.toString(36)}.${id}`);
  return `{"leaseId":${leaseId},"attempt":${attempt},"event":${writeStructured(target.event)}}`;
}

function parseLease(leaseId: string): { leaseId: string; settlement: Settlement }[] {
  const match = LEASE.exec(leaseId);
  const fence = match === null ? Number.NaN : Number.parseInt(match[1], 36);
  if (match === null || !Number.isSafeInteger(fence) || !leaseId.isWellFormed()) return [];
  const outcome = { kind: "succeeded" as const, result: { status: 200, headers: [], body: null } };
  return [{ leaseId, settlement: { id: match[2], fence, outcome, tookMs: 0 } }];
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === "string");
}
