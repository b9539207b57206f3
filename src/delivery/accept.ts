// Takes a request in: it is answered with 202 once its queue's outbox has stored it, and with a problem when
// it has not. In order, what costs least first:
//
//   fields -> known pressure -> body -> bucket, if it is large -> outbox -> result, if it is waited for
//
// A full queue still answers for what it has accepted before: while it is known to be full, a request with
// an idempotency key is looked up, all others are refused. What was refused leaves nothing behind. A client
// that was told `not_accepted` may send the same again: with an idempotency key that is safe whatever
// happened; without one, what was stored too late is withdrawn.

import type { QueuePlan } from "../config/plan.ts";
import { consumerAt } from "../edge/engine.ts";
import type { Exchange } from "../edge/exchange.ts";
import { storedFields, upstreamPath } from "../edge/outbound-request.ts";
import { storedTraceparent } from "../edge/trace.ts";
import { Verdict } from "../edge/verdict.ts";
import { rewritePath } from "../http/paths.ts";
import type { Submitted } from "./accept-batches.ts";
import { digestOf, readBody, release, storeBody } from "./accept-body.ts";
import type { AcceptTerms } from "./accept-terms.ts";
import { appliedPreferences, readTerms } from "./accept-terms.ts";
import type { AcceptItem, Body, JobRequest, JobStatus } from "./core/protocol.ts";
import { MAX_HEADER_CHARS, MAX_PATH_CHARS } from "./core/protocol.ts";
import { loadBody } from "./deliver-body.ts";
import { noteIntake, refuse, refuseBody, refuseFull, refuseSubmitted } from "./intake.ts";
import { acceptedAnswer, resultAnswer } from "./job-answers.ts";
import type { Outboxes } from "./outboxes.ts";

/** Longest wait for an outbox to store a request. */
export const ACCEPT_TIMEOUT_MS = 5_000;
/** What a call takes beyond the time that the outbox waits for a job to end. */
const CALL_SLACK_MS = 1_000;

/** Stores a request; on `admit` the exchange holds the answer. */
export async function acceptJob(x: Exchange, queue: QueuePlan): Promise<Verdict> {
  const { outboxes } = x.engine;
  if (outboxes === null) return refuse(x, Verdict.notAccepted, "This gateway cannot store requests.");
  const read = readTerms(queue, {
    idempotencyKey: x.inbound.idempotencyKey,
    prefer: x.inbound.prefer,
    orderKey: queue.orderBy === null ? null : x.request.headers.get(queue.orderBy),
  });
  if (read.kind === "key-required") return noteIntake(x, Verdict.idempotencyKeyRequired);
  if (read.kind === "malformed") return refuse(x, Verdict.badRequest, read.detail);
  const request = storedRequest(x, queue);
  const tooLong = checkSize(x, request);
  if (tooLong !== Verdict.admit) return tooLong;
  const isKeyed = read.idempotencyKey !== null;
  const retryAfterMs = outboxes.batches(queue, x.engine.plan.hash).refusal(x.trafficClass, isKeyed);
  if (retryAfterMs !== null && !isKeyed) return refuseFull(x, retryAfterMs);
  const body = await readBody(x.request.body, x.inbound.contentLength, {
    limitBytes: x.route?.bodyLimitBytes ?? 0,
    hasBucket: outboxes.claims !== null,
    waitMs: x.deadlineAt - Date.now(),
  });
  if (body.kind !== "read") return refuseBody(x, body, boundOf);
  const submitted = await (
    retryAfterMs === null
      ? store(x, queue, outboxes, read, request, body.body)
      : lookUp(x, queue, outboxes, read, body.body)
  ).finally(() => release(body.body));
  return answer(x, outboxes, read, submitted);
}

/** What the key of a request stands for, in a queue that is full. */
function lookUp(
  x: Exchange,
  queue: QueuePlan,
  outboxes: Outboxes,
  terms: AcceptTerms,
  bytes: Uint8Array | null,
): Promise<Submitted> {
  const { consumer, tenant, route, idempotency } = originOf(x, terms, bytes);
  if (idempotency === null) throw new Error("a request without a key was looked up");
  return outboxes
    .batches(queue, x.engine.plan.hash)
    .lookUp({ consumer, tenant, route, idempotency }, waitMsOf(x), (work) => x.shell.waitUntil(work));
}

function waitMsOf(x: Exchange): number {
  return Math.min(ACCEPT_TIMEOUT_MS, Math.max(1, x.deadlineAt - Date.now()));
}

/** Stores body and request, in this order; what was not taken leaves no body behind. */
async function store(
  x: Exchange,
  queue: QueuePlan,
  outboxes: Outboxes,
  terms: AcceptTerms,
  head: Omit<JobRequest, "body">,
  bytes: Uint8Array | null,
): Promise<Submitted> {
  let body: Body;
  try {
    body = await storeBody(bytes, queue.name, outboxes.claims);
  } catch (error) {
    x.failure = error instanceof Error ? error.message : String(error);
    return { kind: "unanswered" };
  }
  const item = itemOf(x, terms, { ...head, body }, bytes);
  const submitted = await outboxes
    .batches(queue, x.engine.plan.hash)
    .submit(item, waitMsOf(x), (work) => x.shell.waitUntil(work));
  const isUnused = submitted.kind !== "accepted" && submitted.kind !== "unanswered";
  if (isUnused && body !== null && !(body instanceof Uint8Array) && outboxes.claims !== null) {
    x.shell.waitUntil(outboxes.claims.delete(body.ref).catch(() => {}));
  }
  return submitted;
}

/** The request as it will be sent, but for what each delivery adds: see `JobRequest`. */
function storedRequest(x: Exchange, queue: QueuePlan): Omit<JobRequest, "body"> {
  const [path, ...rest] = upstreamPath(x).split("?");
  const rewritten = queue.rewrite === null ? path : rewritePath(queue.rewrite, path);
  return {
    method: x.request.method,
    path: [rewritten, ...rest].join("?"),
    headers: [...storedFields(x)].map(([name, value]) => [name, value.toWellFormed()]),
  };
}

function checkSize(x: Exchange, { path, headers }: Omit<JobRequest, "body">): Verdict {
  if (path.length > MAX_PATH_CHARS) {
    return refuse(x, Verdict.badRequest, `Send a path and query of at most ${MAX_PATH_CHARS} characters.`);
  }
  const chars = headers.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
  return chars > MAX_HEADER_CHARS ? noteIntake(x, Verdict.headersTooLarge) : Verdict.admit;
}

function originOf(
  x: Exchange,
  { idempotencyKey }: AcceptTerms,
  bytes: Uint8Array | null,
): Pick<AcceptItem, "consumer" | "tenant" | "route" | "idempotency"> {
  const { engine, route, tenant } = x;
  return {
    consumer: consumerAt(engine, x.consumer)?.name ?? null,
    tenant: tenant < 0 ? null : engine.plan.tenants[tenant].name,
    route: route?.name ?? "",
    idempotency:
      idempotencyKey === null ? null : { key: idempotencyKey, fingerprint: fingerprintOf(x, bytes) },
  };
}

function itemOf(x: Exchange, terms: AcceptTerms, request: JobRequest, bytes: Uint8Array | null): AcceptItem {
  const { requestId } = x;
  return {
    ...originOf(x, terms, bytes),
    target: { kind: "request", request },
    priority: x.trafficClass,
    key: terms.key,
    traceparent: storedTraceparent(x, x.queue?.name ?? ""),
    requestId,
    maxAgeMs: null,
  };
}

/** Of what the client sent: method, path with its query, and body. */
function fingerprintOf(x: Exchange, bytes: Uint8Array | null): string {
  const text = `${x.request.method}\n${x.rawPath}${x.query}\n${digestOf(bytes)}`;
  return digestOf(new TextEncoder().encode(text));
}

async function answer(
  x: Exchange,
  outboxes: Outboxes,
  terms: AcceptTerms,
  submitted: Submitted,
): Promise<Verdict> {
  noteIntake(x, Verdict.admit, submitted.kind);
  switch (submitted.kind) {
    case "accepted":
      x.sent = true;
      x.trace?.stored(Date.now(), submitted.id);
      return answerJob(x, outboxes, terms, submitted.id, submitted.status);
    case "replayed":
      return answerJob(x, outboxes, terms, submitted.id, submitted.job.status);
    default:
      return refuseSubmitted(x, submitted, Verdict.headersTooLarge);
  }
}

/** 202, or the upstream's answer where the client waits for it and it is there in time. */
async function answerJob(
  x: Exchange,
  outboxes: Outboxes,
  terms: AcceptTerms,
  id: string,
  accepted: JobStatus,
): Promise<Verdict> {
  let status = accepted;
  const waitMs = Math.min(terms.waitMs ?? 0, x.deadlineAt - Date.now());
  if (waitMs > 0) {
    const reply = await outboxes.askJob(
      id,
      (outbox) => outbox.result({ id, waitMs }),
      waitMs + CALL_SLACK_MS,
    );
    if (reply?.kind === "result") {
      const loaded = await loadBody(reply.result.body, null);
      if (loaded.kind === "loaded") {
        x.response = resultAnswer(reply.result, loaded.body);
        const applied = appliedPreferences(terms, "with-result");
        if (applied !== null) x.response.headers.set("preference-applied", applied);
        return Verdict.admit;
      }
    }
    if (reply?.kind === "none") status = reply.job.status;
  }
  x.response = acceptedAnswer(id, status, appliedPreferences(terms, "with-job"));
  return Verdict.admit;
}

/** What bounds a body that is too large; null: its route. */
function boundOf({ why, limitBytes }: { readonly why: string; readonly limitBytes: number }): string | null {
  switch (why) {
    case "no-bucket":
      return `Send at most ${limitBytes} bytes: this gateway has no bucket (CLAIMS) for larger bodies of queued requests.`;
    case "storage":
      return `Send at most ${limitBytes} bytes: a queued request is stored whole, and larger bodies are not.`;
    default:
      return null;
  }
}
