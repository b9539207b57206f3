// What follows from a reaction: its request has ended, and an event tells of it. The event is stored in the
// transaction that ends the job, so there is always one, and never two.
//
//   succeeded                              `ok`
//   refused, out of tries, cancelled       `failed`
//   its time is over                       `deadline`, else `failed`
//
// Its data is that of the event that caused it, and under the reaction's name what the upstream answered;
// of what went wrong also `error`. Each member keeps its text, see json-spans.ts.

import {
  MAX_DATA_BYTES,
  NO_DATA,
  dataBytes,
  isJsonType,
  type CloudEvent,
  type EventData,
} from "../events/cloud-event.ts";
import { followingAttributes, hopsOf, MAX_HOPS } from "../events/correlation.ts";
import { decodeText, isRecord, parseJson } from "../events/json-format.ts";
import { memberTexts } from "../events/json-spans.ts";
import type { Book, LiveJob } from "./book.ts";
import type { ReactionTerms } from "./event-protocol.ts";
import type { JobResult } from "./protocol.ts";
import type { EndStatus, JobRow, OutboxReads, Sequel, SequelKind, Write } from "./storage.ts";

/** Says that not all of the data fits into an event, or that the answer was not read to its end. */
export const TRUNCATED_EXTENSION = "truncated";
/** An answer that was cut says so in its header fields. */
const CUT_ANSWER = "x-tidegate-truncated";

/** How a job ended. */
export interface Ending {
  readonly status: EndStatus;
  readonly reason: string | null;
  readonly result: JobResult | null;
  readonly attempts: number;
  /** Of the newest try; null: there was no answer, or no try. */
  readonly upstreamStatus: number | null;
}

/** The type of the event that tells of an ending; null: none does. */
export function sequelType(
  { ok, failed, deadline }: ReactionTerms,
  status: EndStatus,
): { readonly kind: SequelKind; readonly type: string } | null {
  const kind = status === "succeeded" ? "ok" : status === "expired" ? "deadline" : "failed";
  const type = kind === "ok" ? ok : kind === "deadline" ? (deadline ?? failed) : failed;
  return type === null ? null : { kind, type };
}

/** The event that tells how a reaction's job has ended, to be written; nothing for any other job. */
export function followUp(book: Book, job: LiveJob, ending: Ending, reads: OutboxReads, now: number): Write[] {
  const { reaction } = job.terms;
  const told = reaction === undefined ? null : sequelType(reaction, ending.status);
  if (reaction === undefined || told === null) return [];
  const target = reads.target(job.seq);
  const row = reads.job(job.seq);
  if (row === null || target?.kind !== "event" || hopsOf(target.event) >= MAX_HOPS) return [];
  const name = book.name.queue;
  const event = sequelEvent(target.event, { name, source: reaction.source, type: told.type }, ending, now);
  book.sequels.last += 1;
  book.sequels.waiting += 1;
  return [
    { kind: "sequel", sequel: { ...originOf(row), ...event, seq: book.sequels.last, kind: told.kind } },
  ];
}

function originOf({
  priority,
  traceparent,
  requestId,
  region,
}: JobRow): Omit<Sequel, "seq" | "kind" | "cause" | "event"> {
  return { priority, traceparent, requestId, region };
}

function sequelEvent(
  cause: CloudEvent,
  { name, source, type }: { readonly name: string; readonly source: string; readonly type: string },
  ending: Ending,
  now: number,
): Pick<Sequel, "cause" | "event"> {
  const { result } = ending;
  const isWhole = result === null || result.headers.every(([field]) => field !== CUT_ANSWER);
  const answer = isWhole ? jsonOf(result) : null;
  const error = ending.status === "succeeded" ? null : errorText(name, ending);
  const { data, isCut } = sequelData(cause.data, { name, answer, error });
  const truncated: CloudEvent["extensions"] = isCut || !isWhole ? { [TRUNCATED_EXTENSION]: true } : {};
  return {
    cause: { source: cause.source, id: cause.id },
    event: {
      source,
      type,
      subject: cause.subject,
      time: new Date(now).toISOString(),
      dataContentType: data.kind === "none" ? null : "application/json",
      dataSchema: null,
      extensions: { ...followingAttributes(cause), ...truncated },
      data,
    },
  };
}

function errorText(reaction: string, { reason, upstreamStatus, attempts }: Ending): string {
  return JSON.stringify({ reaction, reason: reason ?? "", status: upstreamStatus, attempts });
}

/** The text of an answer that is JSON. */
function jsonOf(result: JobResult | null): string | null {
  if (!(result?.body instanceof Uint8Array)) return null;
  const type = result.headers.find(([field]) => field.toLowerCase() === "content-type")?.[1] ?? null;
  const text = isJsonType(type) ? decodeText(result.body) : null;
  return text === null || parseJson(text) === undefined ? null : text.trim();
}

/** As much as fits: the cause's data is worth more than the answer, and what went wrong more than both. */
function sequelData(
  cause: EventData,
  {
    name,
    answer,
    error,
  }: { readonly name: string; readonly answer: string | null; readonly error: string | null },
): { readonly data: EventData; readonly isCut: boolean } {
  const isObject = cause.kind === "json" && isRecord(parseJson(cause.text));
  const known = isObject ? [...memberTexts(cause.text)] : [];
  const answered: [string, string][] = answer === null ? [] : [[name, answer]];
  const failed: [string, string][] = error === null ? [] : [["error", error]];
  for (const members of [
    [...known, ...answered, ...failed],
    [...known, ...failed],
  ]) {
    const data = objectOf(members);
    if (dataBytes(data).byteLength <= MAX_DATA_BYTES) {
      return { data, isCut: members.length < known.length + answered.length + failed.length };
    }
  }
  return { data: objectOf(failed), isCut: true };
}

/** The last member of a name counts. */
function objectOf(members: readonly (readonly [name: string, text: string])[]): EventData {
  const texts = [...new Map(members)].map(([name, text]) => `${JSON.stringify(name)}:${text}`);
  return texts.length === 0 ? NO_DATA : { kind: "json", text: `{${texts.join(",")}}` };
}
