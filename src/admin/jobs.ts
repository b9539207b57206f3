// `/_gateway/jobs/<id>`: a stored request, for whoever knows its id. An id has 128 random bits, so knowing it
// is enough; on a route with `auth` the consumer that sent the request must ask. The admin token may always.

import type { RoutePlan } from "../config/plan.ts";
import { makeProblem, sign } from "../edge/answer.ts";
import { consumerOfKey, equalSecrets, hashKey } from "../edge/api-keys.ts";
import { consumerAt } from "../edge/engine.ts";
import type { Exchange } from "../edge/exchange.ts";
import { parseJobId } from "../delivery/core/job-id.ts";
import type { JobView, OutboxCalls } from "../delivery/core/protocol.ts";
import { loadBody } from "../delivery/deliver-body.ts";
import { describeJob, pollSeconds, resultAnswer } from "../delivery/job-answers.ts";
import { problem } from "./answers.ts";

/** Hex digits of a SHA-256 that stand for a status: 96 bits. */
const ETAG_CHARS = 24;

/** `GET /_gateway/jobs/<id>`. */
export async function readJob(x: Exchange, id: string): Promise<Response> {
  const found = await findJob(x, id);
  if (found instanceof Response) return found;
  const body = JSON.stringify(describeJob(found));
  const etag = `"${hashKey(body).slice(0, ETAG_CHARS)}"`;
  const headers = new Headers({
    etag,
    "cache-control": "private, no-cache",
    "content-type": "application/json",
  });
  addPoll(headers, found);
  const known = x.request.headers.get("if-none-match");
  if (known === null || !namesEtag(known, etag)) return new Response(body, { headers });
  headers.delete("content-type");
  return new Response(null, { status: 304, headers });
}

/** `GET /_gateway/jobs/<id>/result`: the upstream's answer as it was, once there is one. */
export async function readJobResult(x: Exchange, id: string): Promise<Response> {
  const found = await findJob(x, id);
  if (found instanceof Response) return found;
  const reply = found.hasResult
    ? await ask(x, id, (outbox) => outbox.result({ id, waitMs: 0 }))
    : ({ kind: "none", job: found } as const);
  if (reply === null) return notAnswered(x);
  if (reply.kind === "result") {
    const loaded = await loadBody(reply.result.body, null);
    return loaded.kind === "loaded" ? resultAnswer(reply.result, loaded.body) : notAnswered(x);
  }
  const headers = new Headers();
  const seconds = addPoll(headers, found);
  const detail =
    seconds === null
      ? `The request ended as ${found.status} without an answer of its upstream.`
      : `The request is ${found.status} and has no result yet: ask again.`;
  const extra = { detail, jobStatus: found.status, ...(seconds === null ? {} : { retryAfter: seconds }) };
  return makeProblem(x, "route_not_found", extra, headers);
}

/**
 * `DELETE /_gateway/jobs/<id>`: cancels a request that was not tried yet, an operator one that does not run.
 */
export async function cancelJob(x: Exchange, id: string): Promise<Response> {
  const found = await findJob(x, id);
  if (found instanceof Response) return found;
  const by = isOperator(x) ? "operator" : "client";
  const reply = await ask(x, id, (outbox) => outbox.cancel({ id, by }));
  if (reply === null) return notAnswered(x);
  if (reply.kind === "unknown" || reply.kind === "malformed") return unknownJob(x);
  const { job } = reply;
  if (reply.kind === "started" && job.status !== "cancelled") {
    const detail = `The request is ${job.status}, so it can no longer be cancelled.`;
    return makeProblem(x, "job_started", { detail, jobStatus: job.status }, new Headers());
  }
  return Response.json(describeJob(job));
}

/** The job, or the answer to somebody who may not see it. */
async function findJob(x: Exchange, id: string): Promise<JobView | Response> {
  const name = parseJobId(id);
  const { plan, outboxes } = x.engine;
  // Asking an object that does not exist would create it.
  const isConfigured =
    name?.kind === "queue" && name.shard === 0 && plan.queues.some((queue) => queue.name === name.queue);
  if (!isConfigured || outboxes === null) return unknownJob(x);
  const reply = await ask(x, id, (outbox) => outbox.status(id));
  if (reply === null) return notAnswered(x);
  if (reply.kind !== "job") return unknownJob(x);
  return refuseStranger(x, reply.job) ?? reply.job;
}

/** null when the caller may see the job. */
function refuseStranger(x: Exchange, { route: name, consumer }: JobView): Response | null {
  const { plan, keys } = x.engine;
  const route: RoutePlan | undefined = plan.routes.find((other) => other.name === name);
  // Of a route that is gone only the job itself tells whether somebody had to be known.
  const needsConsumer = route === undefined ? consumer !== null : route.auth !== null;
  if (!needsConsumer || isOperator(x)) return null;
  const { apiKey } = x.inbound;
  const asking = apiKey === null ? null : consumerAt(x.engine, consumerOfKey(keys, apiKey));
  if (asking !== null && asking.name === consumer) return null;
  if (asking !== null) return makeProblem(x, "forbidden", {}, new Headers());
  const headers = new Headers({ "www-authenticate": `ApiKey realm="${plan.name}"` });
  return makeProblem(x, "unauthorized", {}, headers);
}

function isOperator(x: Exchange): boolean {
  const { adminToken } = x.engine;
  const given = x.request.headers.get("authorization")?.match(/^Bearer +(.+)$/i)?.[1] ?? "";
  return adminToken !== null && equalSecrets(given, adminToken);
}

function ask<Answer>(
  x: Exchange,
  id: string,
  call: (outbox: OutboxCalls) => Promise<Answer>,
): Promise<Answer | null> {
  return x.engine.outboxes?.askJob(id, call) ?? Promise.resolve(null);
}

function addPoll(headers: Headers, job: JobView): number | null {
  const seconds = pollSeconds(job, Date.now());
  if (seconds !== null) headers.set("retry-after", String(seconds));
  return seconds;
}

/** Weak comparison over the list (RFC 9110 13.1.2). */
function namesEtag(field: string, etag: string): boolean {
  if (field.trim() === "*") return true;
  return field.split(",").some((member) => member.trim().replace(/^W\//, "") === etag);
}

function unknownJob(x: Exchange): Response {
  return problem(x, "route_not_found", "There is no stored request of this id, or not any more.");
}

/** The outbox did not answer, so nothing is known. */
export function notAnswered(x: Exchange): Response {
  const headers = new Headers({ "retry-after": "1" });
  const detail = "The queue's outbox did not answer: try again in a second.";
  return sign(x, makeProblem(x, "not_accepted", { detail, retryAfter: 1 }, headers));
}
