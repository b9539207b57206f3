// How clients see a job: where it is, what it says of itself, and the upstream's answer once there is one.

import { retryAfterSeconds } from "../http/retry-after.ts";
import type { JobResult, JobStatus, JobView } from "./core/protocol.ts";

export const JOBS_PATH = "/_gateway/jobs/";
/** When to come again where nobody knows better. */
const POLL_MS = 1_000;
const MAX_POLL_MS = 300_000;
/** Statuses whose answers have no body (RFC 9110 15.3.5, 15.3.6, 15.4.5). */
const BODILESS: ReadonlySet<number> = new Set([204, 205, 304]);

export interface JobLinks {
  readonly self: string;
  readonly result: string;
}

/** What `GET /_gateway/jobs/<id>` says; moments are ms since the epoch. */
export interface JobBody {
  readonly id: string;
  readonly status: JobStatus;
  readonly attempts: number;
  readonly nextAttemptAt: number | null;
  readonly acceptedAt: number;
  readonly endedAt: number | null;
  readonly expiresAt: number;
  readonly deferrals: number;
  readonly links: JobLinks;
}

function linksOf(id: string): JobLinks {
  return { self: `${JOBS_PATH}${id}`, result: `${JOBS_PATH}${id}/result` };
}

/** Who it belongs to and why it waits stay inside: the URL may have been handed on. */
export function describeJob(job: JobView): JobBody {
  const { id, status, attempts, nextAttemptAt, acceptedAt, endedAt, expiresAt, deferrals } = job;
  const links = linksOf(id);
  return { id, status, attempts, nextAttemptAt, acceptedAt, endedAt, expiresAt, deferrals, links };
}

/** Seconds after which a job may have changed; null: it has ended. */
export function pollSeconds(
  { endedAt, nextAttemptAt }: Pick<JobView, "endedAt" | "nextAttemptAt">,
  now: number,
): number | null {
  if (endedAt !== null) return null;
  const waitMs = nextAttemptAt === null ? POLL_MS : nextAttemptAt - now;
  return retryAfterSeconds(Math.min(Math.max(waitMs, POLL_MS), MAX_POLL_MS));
}

/** 202: the request is stored. `applied`: what `preference-applied` says; null: nothing was asked for. */
export function acceptedAnswer(id: string, status: JobStatus, applied: string | null): Response {
  const links = linksOf(id);
  const headers = new Headers({
    "content-type": "application/json",
    "cache-control": "no-store",
    location: links.self,
  });
  if (!isEnded(status)) headers.set("retry-after", String(retryAfterSeconds(POLL_MS)));
  if (applied !== null) headers.set("preference-applied", applied);
  return new Response(JSON.stringify({ id, status, links }), { status: 202, headers });
}

/** The upstream's answer as it was kept. `body`: its bytes, from wherever they stand. */
export function resultAnswer(
  { status, headers: pairs }: JobResult,
  body: Uint8Array | ReadableStream<Uint8Array> | null,
): Response {
  const headers = new Headers();
  for (const [name, value] of pairs) headers.append(name, value);
  return new Response(BODILESS.has(status) ? null : body, { status, headers });
}

function isEnded(status: JobStatus): boolean {
  return status !== "queued" && status !== "running" && status !== "deferred";
}
