// How the values of the core stand in columns: texts and blobs beside each other, JSON for what is only read
// as a whole.

import type {
  Body,
  BodyClaim,
  EventTarget,
  HeaderPairs,
  JobResult,
  JobTarget,
} from "../../src/delivery/core/protocol.ts";
import type { JobRow, OutboxRow, Trial } from "../../src/delivery/core/storage.ts";
import { dataBytes, type CloudEvent, type EventData } from "../../src/delivery/events/cloud-event.ts";

export type TrialColumns = {
  seq: number;
  attempts: number;
  deferrals: number;
  deaths: number;
  strikes: number;
  nextAt: number;
  fence: number;
  reason: string | null;
  diedAt: number | null;
  passed: number;
};

/** The columns of `TrialColumns`, for a SELECT from `trials`. */
export const TRIAL_COLUMNS =
  "trials.seq, attempts, deferrals, deaths, strikes, nextAt, fence, trials.reason, diedAt, passed";

export function trialOf(columns: TrialColumns): Trial {
  const { attempts, deferrals, deaths, strikes, nextAt, fence, reason, diedAt } = columns;
  const passed = columns.passed === 1;
  return { attempts, deferrals, deaths, strikes, nextAt, fence, reason, diedAt, passed };
}

/** Where a job came from and what it is: read as a whole. */
export type Origin = Pick<
  JobRow,
  "priority" | "consumer" | "tenant" | "route" | "traceparent" | "requestId" | "region"
>;

export type JobColumns = {
  seq: number;
  status: JobRow["status"];
  acceptedAt: number;
  expiresAt: number;
  endedAt: number | null;
  secret: string;
  key: string | null;
  reason: string | null;
  terms: string;
  origin: string;
  hasResult: number;
};

/** The columns of `JobColumns`, for a SELECT from `jobs`. */
export const JOB_COLUMNS =
  "jobs.seq, status, acceptedAt, expiresAt, endedAt, secret, key, jobs.reason, terms, origin, " +
  "resultHead IS NOT NULL AS hasResult";

export function jobOf({ terms, origin, hasResult, ...columns }: JobColumns): JobRow {
  const parsed: Origin = JSON.parse(origin);
  const queueTerms: JobRow["terms"] = JSON.parse(terms);
  return { ...columns, ...parsed, terms: queueTerms, hasResult: hasResult === 1 };
}

export function originOf(job: JobRow): string {
  const { priority, consumer, tenant, route, traceparent, requestId, region } = job;
  const origin: Origin = { priority, consumer, tenant, route, traceparent, requestId, region };
  return JSON.stringify(origin);
}

/** A body's bytes have a column of their own; a claim stands with the head. */
interface Head {
  readonly headers: HeaderPairs;
  readonly claim?: BodyClaim;
}

/** What a body is called in the bucket, as an SQL expression over `jobs`; NULL: it is not there. */
export const BODY_REF = "target ->> '$.claim.ref'";

type RequestHead = Head & { readonly kind: "request"; readonly method: string; readonly path: string };
/** `data`: what the bytes beside it are. */
type EventHead = Omit<EventTarget, "event"> & {
  readonly event: Omit<CloudEvent, "data">;
  readonly data: EventData["kind"];
};
type ResultHead = Head & { readonly status: number };

export function splitTarget(target: JobTarget): { head: string; bytes: Uint8Array | null } {
  if (target.kind === "event") return splitEvent(target);
  const { kind, request } = target;
  const { method, path, headers, body } = request;
  const { claim, bytes } = splitBody(body);
  const head: RequestHead = { kind, method, path, headers, claim };
  return { head: JSON.stringify(head), bytes };
}

export function joinTarget(head: string, bytes: ArrayBuffer | null): JobTarget {
  const parsed: RequestHead | EventHead = JSON.parse(head);
  if (parsed.kind === "event") return joinEvent(parsed, bytes);
  const { kind, claim, ...request } = parsed;
  return { kind, request: { ...request, body: joinBody(claim, bytes) } };
}

function splitEvent({ kind, event, recipients }: EventTarget): { head: string; bytes: Uint8Array | null } {
  const { data, ...attributes } = event;
  const head: EventHead = { kind, event: attributes, data: data.kind, recipients };
  return { head: JSON.stringify(head), bytes: data.kind === "none" ? null : dataBytes(data) };
}

function joinEvent({ kind, event, data, recipients }: EventHead, bytes: ArrayBuffer | null): EventTarget {
  const target = {
    kind,
    event: { ...event, data: joinData(data, bytes === null ? new Uint8Array() : new Uint8Array(bytes)) },
  };
  return recipients === undefined ? target : { ...target, recipients };
}

function joinData(kind: EventData["kind"], bytes: Uint8Array): EventData {
  if (kind === "none") return { kind };
  return kind === "json" ? { kind, text: new TextDecoder().decode(bytes) } : { kind, bytes };
}

export function splitResult({ status, headers, body }: JobResult): {
  head: string;
  bytes: Uint8Array | null;
} {
  const { claim, bytes } = splitBody(body);
  const head: ResultHead = { status, headers, claim };
  return { head: JSON.stringify(head), bytes };
}

export function joinResult(head: string, bytes: ArrayBuffer | null): JobResult {
  const { claim, ...parsed }: ResultHead = JSON.parse(head);
  return { ...parsed, body: joinBody(claim, bytes) };
}

function splitBody(body: Body): { claim?: BodyClaim; bytes: Uint8Array | null } {
  if (body === null || body instanceof Uint8Array) return { bytes: body };
  return { claim: body, bytes: null };
}

function joinBody(claim: BodyClaim | undefined, bytes: ArrayBuffer | null): Body {
  if (claim !== undefined) return claim;
  return bytes === null ? null : new Uint8Array(bytes);
}

export function readOutboxRow(sql: SqlStorage): OutboxRow | null {
  const [row] = sql
    .exec<{ cursor: number; fence: number; floor: number; rest: string }>(
      "SELECT cursor, fence, floor, rest FROM relay",
    )
    .toArray();
  if (row === undefined) return null;
  const { cursor, fence, floor } = row;
  const rest: Omit<OutboxRow, "cursor" | "fence" | "floor"> = JSON.parse(row.rest);
  return { ...rest, cursor, fence, floor };
}
