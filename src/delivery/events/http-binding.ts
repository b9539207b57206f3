// Events in HTTP messages (CloudEvents HTTP Protocol Binding 1.0.2).
//
//   structured   content-type: application/cloudevents+json          the whole event is the body
//   batch        content-type: application/cloudevents-batch+json    several of them
//   binary       ce-id, ce-source, ce-type ... and the payload's own content-type; the payload is the body
//
// Header values (section 3.1.3.2): a space, `"`, `%` and everything outside of U+0021..U+007E is written as
// the percent-encoded bytes of its UTF-8; read is either that or a quoted text.

import {
  MAX_DATA_BYTES,
  NO_DATA,
  SPEC_VERSION,
  checkEvent,
  dataBytes,
  type CloudEvent,
} from "./cloud-event.ts";
import {
  BATCH_TYPE,
  STRUCTURED_TYPE,
  bytesAs,
  decodeText,
  parseBatch,
  parseStructured,
  writeStructured,
  type ParsedEvent,
  type ParsedEvents,
} from "./json-format.ts";

/** A message's body is never read beyond: a full batch of middling events. */
export const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;

/** What is read of a message; names are lower-case. */
export interface HttpMessage {
  readonly headers: Iterable<readonly [name: string, value: string]>;
  readonly body: Uint8Array;
}

export type HeaderPairs = readonly (readonly [name: string, value: string])[];

export type ReadEvents =
  | ParsedEvents
  /** It is no form of a CloudEvent: neither its content type nor a `ce-` header says so. */
  | { readonly kind: "no-event" }
  /** A CloudEvents format that is not read here, like Avro or XML. */
  | { readonly kind: "unsupported-format"; readonly contentType: string };

/** The event or events of a message. */
export function readHttpEvents(message: HttpMessage): ReadEvents {
  const headers = new Map([...message.headers].map(([name, value]) => [name.toLowerCase(), value]));
  const contentType = headers.get("content-type") ?? null;
  const mediaType = (contentType ?? "").split(";", 1)[0].trim().toLowerCase();
  if (message.body.length > MAX_MESSAGE_BYTES) {
    return { kind: "too-large", at: "body", maxBytes: MAX_MESSAGE_BYTES };
  }
  if (mediaType.startsWith("application/cloudevents")) {
    if (mediaType !== STRUCTURED_TYPE && mediaType !== BATCH_TYPE) {
      return { kind: "unsupported-format", contentType: mediaType };
    }
    const text = decodeText(message.body);
    if (text === null) return { kind: "invalid", at: "body", rule: "must be UTF-8" };
    return mediaType === BATCH_TYPE ? parseBatch(text) : asList(parseStructured(text));
  }
  return headers.has("ce-specversion")
    ? asList(readBinary(headers, contentType, message.body))
    : { kind: "no-event" };
}

function asList(parsed: ParsedEvent): ParsedEvents {
  return parsed.kind === "event" ? { kind: "events", events: [parsed.event] } : parsed;
}

function readBinary(
  headers: ReadonlyMap<string, string>,
  contentType: string | null,
  body: Uint8Array,
): ParsedEvent {
  if (headers.get("ce-specversion") !== SPEC_VERSION) {
    return { kind: "invalid", at: "ce-specversion", rule: `must be "${SPEC_VERSION}"` };
  }
  const values = new Map<string, string>();
  for (const [name, written] of headers) {
    if (!name.startsWith("ce-") || name === "ce-specversion") continue;
    const value = decodeHeaderValue(written);
    if (value === null) return { kind: "invalid", at: name, rule: "must be percent-encoded UTF-8" };
    values.set(name.slice(3), value);
  }
  for (const name of ["id", "source", "type"]) {
    if (!values.has(name)) return { kind: "invalid", at: `ce-${name}`, rule: "is required" };
  }
  if (values.has("datacontenttype")) {
    return { kind: "invalid", at: "ce-datacontenttype", rule: "must be given as content-type" };
  }
  if (body.length > MAX_DATA_BYTES) return { kind: "too-large", at: "body", maxBytes: MAX_DATA_BYTES };
  const data = body.length === 0 ? NO_DATA : bytesAs(body, contentType);
  if ("at" in data) return { ...data, at: "body" };
  const take = (name: string): string | null => {
    const value = values.get(name) ?? null;
    values.delete(name);
    return value;
  };
  const event: CloudEvent = {
    id: take("id") ?? "",
    source: take("source") ?? "",
    type: take("type") ?? "",
    subject: take("subject"),
    time: take("time"),
    dataContentType: contentType,
    dataSchema: take("dataschema"),
    extensions: Object.fromEntries([...values].filter(([name]) => name !== "__proto__")),
    data,
  };
  const wrong = checkEvent(event);
  if (wrong === null) return { kind: "event", event };
  return wrong.at === "datacontenttype"
    ? { ...wrong, at: "content-type" }
    : { ...wrong, at: `ce-${wrong.at}` };
}

/** An event in binary mode: its headers and its payload. */
export function writeBinary(event: CloudEvent): { readonly headers: HeaderPairs; readonly body: Uint8Array } {
  const attributes: Record<string, string | number | boolean | null> = {
    specversion: SPEC_VERSION,
    id: event.id,
    source: event.source,
    type: event.type,
    time: event.time,
    subject: event.subject,
    dataschema: event.dataSchema,
    ...event.extensions,
  };
  const headers = Object.entries(attributes).flatMap(([name, value]) =>
    value === null || value === "" ? [] : [[`ce-${name}`, encodeHeaderValue(String(value))] as const],
  );
  const contentType = event.dataContentType ?? (event.data.kind === "json" ? "application/json" : null);
  return {
    headers: contentType === null ? headers : [["content-type", contentType], ...headers],
    body: dataBytes(event.data),
  };
}

/** An event in structured mode. */
export function writeStructuredMessage(event: CloudEvent): {
  readonly headers: HeaderPairs;
  readonly body: Uint8Array;
} {
  return {
    headers: [["content-type", STRUCTURED_TYPE]],
    body: new TextEncoder().encode(writeStructured(event)),
  };
}

/** A text as a header's value. */
export function encodeHeaderValue(text: string): string {
  return text.replaceAll(/[^\u0021\u0023\u0024\u0026-\u007e]+/g, (part) =>
    Array.from(
      new TextEncoder().encode(part),
      (byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`,
    ).join(""),
  );
}

/** The text of a header's value, or null where it is malformed. */
export function decodeHeaderValue(value: string): string | null {
  let text = value.trim();
  if (text.startsWith('"')) {
    if (!/^"(?:[^"\\]|\\.)*"$/.test(text)) return null;
    text = text.slice(1, -1).replaceAll(/\\(.)/g, "$1");
  }
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
