// The small shapes that the validators of this folder are made of. Nothing here believes its argument.

import { isKey } from "../../hub/names.ts";
import { isFields, isWhole, type Fields } from "../../hub/shapes.ts";
import type { TrafficClass } from "../../resilience/level.ts";
import { MAX_ATTRIBUTE_CHARS, type CloudEvent, type EventData } from "../events/cloud-event.ts";
import type { ReactionTerms } from "./event-protocol.ts";
import {
  MAX_DURATION_MS,
  MAX_HEADER_CHARS,
  MAX_INLINE_BODY_BYTES,
  MAX_METHOD_CHARS,
  MAX_PATH_CHARS,
  MAX_REASON_CHARS,
  type Body,
  type BodyClaim,
  type HeaderPairs,
  type JobRequest,
  type JobResult,
} from "./protocol.ts";

export { isFields, isWhole, type Fields };

const HEX_64 = /^[0-9a-f]{64}$/;
const MAX_REF_CHARS = 1024;

/** Ms, also with a fraction. */
export function isDuration(value: unknown, mostMs = MAX_DURATION_MS): value is number {
  return typeof value === "number" && value >= 0 && value <= mostMs;
}

export function isHex64(value: unknown): value is string {
  return typeof value === "string" && HEX_64.test(value);
}

/** A text that can be stored and comes back the same. */
export function isText(value: unknown, mostChars: number): value is string {
  return typeof value === "string" && value.length <= mostChars && value.isWellFormed();
}

export function isTextOrNull(value: unknown, mostChars = MAX_REASON_CHARS): value is string | null {
  return value === null || isText(value, mostChars);
}

export function isKeyOrNull(value: unknown): value is string | null {
  return value === null || isKey(value);
}

export function isListOf<Item>(
  value: unknown,
  most: number,
  isItem: (item: unknown) => item is Item,
): value is readonly Item[] {
  return Array.isArray(value) && value.length <= most && value.every((item) => isItem(item));
}

function isHeaderPairs(value: unknown): value is HeaderPairs {
  return (
    Array.isArray(value) &&
    value.every((pair) => {
      if (!Array.isArray(pair) || pair.length !== 2) return false;
      const [name, text]: unknown[] = pair;
      return isText(name, MAX_HEADER_CHARS) && name !== "" && isText(text, Number.MAX_SAFE_INTEGER);
    })
  );
}

function isTextOrAbsent(value: unknown): boolean {
  return value === null || typeof value === "string";
}

/** An event by its shape; what it holds is `checkEvent`'s to judge. */
export function isCloudEvent(value: unknown): value is CloudEvent {
  if (!isFields(value) || !isFields(value.extensions) || !isEventData(value.data)) return false;
  return (
    [value.id, value.source, value.type].every((text) => typeof text === "string") &&
    [value.subject, value.time, value.dataContentType, value.dataSchema].every(isTextOrAbsent) &&
    Object.values(value.extensions).every((each) => ["string", "number", "boolean"].includes(typeof each))
  );
}

function isEventData(value: unknown): value is EventData {
  if (!isFields(value)) return false;
  if (value.kind === "none") return true;
  return value.kind === "json" ? typeof value.text === "string" : value.bytes instanceof Uint8Array;
}

function isBodyClaim(value: unknown): value is BodyClaim {
  if (!isFields(value)) return false;
  return isText(value.ref, MAX_REF_CHARS) && isHex64(value.sha256) && isWhole(value.length, 0);
}

function isBody(value: unknown): value is Body {
  return value === null || value instanceof Uint8Array || isBodyClaim(value);
}

export function isJobRequest(value: unknown): value is JobRequest {
  if (!isFields(value)) return false;
  const { method, path, headers, body } = value;
  return (
    isText(method, MAX_METHOD_CHARS) &&
    method !== "" &&
    isText(path, Number.MAX_SAFE_INTEGER) &&
    path.startsWith("/") &&
    isHeaderPairs(headers) &&
    isBody(body)
  );
}

/** An answer to keep. Its sender has cut it to what may stand in a row. */
export function isJobResult(value: unknown): value is JobResult {
  if (!isFields(value)) return false;
  const { status, headers, body } = value;
  return isWhole(status, 100, 599) && isHeaderPairs(headers) && isBody(body) && fitsInline({ headers, body });
}

/** Whether a request or an answer is small enough for a row of its own. */
export function fitsInline(content: {
  readonly path?: string;
  readonly headers: HeaderPairs;
  readonly body: Body;
}): boolean {
  const { path = "", headers, body } = content;
  let chars = 0;
  for (const [name, value] of headers) chars += name.length + value.length;
  const bytes = body instanceof Uint8Array ? body.byteLength : 0;
  return path.length <= MAX_PATH_CHARS && chars <= MAX_HEADER_CHARS && bytes <= MAX_INLINE_BODY_BYTES;
}

export function isTrafficClass(value: unknown): value is TrafficClass {
  return value === 0 || value === 1 || value === 2 || value === 3;
}

/** What is published of outcomes. */
export function isReactionTerms(value: unknown): value is ReactionTerms {
  if (!isFields(value) || !isText(value.source, MAX_ATTRIBUTE_CHARS)) return false;
  return [value.ok, value.failed, value.deadline].every((type) => isTextOrNull(type, MAX_ATTRIBUTE_CHARS));
}

/** How events get to whom they are for; undefined: they are no events. */
export function isDelivery(value: unknown): boolean {
  return value === undefined || ["webhook", "upstream", "binding", "pull"].some((known) => known === value);
}
