// Events in JSON: one (`application/cloudevents+json`) or several (`application/cloudevents-batch+json`).
// CloudEvents JSON Event Format 1.0.2. A JSON payload keeps its text, see json-spans.ts.

import { decodeBase64, encodeBase64 } from "./base64.ts";
import {
  MAX_BATCH_EVENTS,
  NO_DATA,
  SPEC_VERSION,
  checkEvent,
  dataBytes,
  isJsonType,
  type CloudEvent,
  type EventData,
  type ExtensionValue,
  type InvalidEvent,
  type TooLargeEvent,
} from "./cloud-event.ts";
import { elementTexts, memberTexts } from "./json-spans.ts";

export const STRUCTURED_TYPE = "application/cloudevents+json";
export const BATCH_TYPE = "application/cloudevents-batch+json";

export type ParsedEvent =
  | { readonly kind: "event"; readonly event: CloudEvent }
  | InvalidEvent
  | TooLargeEvent;
export type ParsedEvents =
  | { readonly kind: "events"; readonly events: readonly CloudEvent[] }
  | InvalidEvent
  | TooLargeEvent;

const TEXT_ATTRIBUTES = ["id", "source", "type", "subject", "time", "datacontenttype", "dataschema"];
const REQUIRED = new Set(["id", "source", "type"]);

/** Debezium names some of its attributes as its fields are: `iodebeziumtxId`, `iodebeziumtxnNumber`. */
const OF_DEBEZIUM = /^iodebezium[A-Za-z0-9]+$/;

/** One event from its JSON text. */
export function parseStructured(text: string): ParsedEvent {
  const value = parseJson(text);
  if (!isRecord(value)) return invalid("body", "must be a JSON object");
  const members = new Map(Object.entries(value).filter(([, member]) => member !== null));
  if (members.get("specversion") !== SPEC_VERSION) return invalid("specversion", `must be "${SPEC_VERSION}"`);
  for (const name of TEXT_ATTRIBUTES) {
    const member = members.get(name);
    if (member === undefined && REQUIRED.has(name)) return invalid(name, "is required");
    if (member !== undefined && typeof member !== "string") return invalid(name, "must be a text");
  }
  const attribute = (name: string): string | null => {
    const member = members.get(name);
    return typeof member === "string" ? member : null;
  };
  const data = readData(members, text, attribute("datacontenttype"));
  if ("at" in data) return data;
  const extensions = readExtensions(members);
  if ("at" in extensions) return extensions;
  const event: CloudEvent = {
    id: attribute("id") ?? "",
    source: attribute("source") ?? "",
    type: attribute("type") ?? "",
    subject: attribute("subject"),
    time: attribute("time"),
    dataContentType: attribute("datacontenttype") ?? (data.kind === "json" ? "application/json" : null),
    dataSchema: attribute("dataschema"),
    extensions: extensions.values,
    data,
  };
  return checkEvent(event) ?? { kind: "event", event };
}

/** Several events; the first that is wrong makes the whole batch wrong. */
export function parseBatch(text: string): ParsedEvents {
  const value = parseJson(text);
  if (!Array.isArray(value)) return invalid("body", "must be a JSON array");
  if (value.length > MAX_BATCH_EVENTS) return invalid("body", `must hold at most ${MAX_BATCH_EVENTS} events`);
  const events: CloudEvent[] = [];
  for (const [index, element] of elementTexts(text).entries()) {
    const parsed = parseStructured(element);
    if (parsed.kind !== "event") return { ...parsed, at: `[${index}].${parsed.at}` };
    events.push(parsed.event);
  }
  return { kind: "events", events };
}

/** One event as its JSON text. */
export function writeStructured(event: CloudEvent): string {
  const { data } = event;
  const attributes = JSON.stringify({
    specversion: SPEC_VERSION,
    id: event.id,
    source: event.source,
    type: event.type,
    subject: event.subject ?? undefined,
    time: event.time ?? undefined,
    datacontenttype: event.dataContentType ?? undefined,
    dataschema: event.dataSchema ?? undefined,
    ...event.extensions,
  });
  if (data.kind === "none") return attributes;
  const member =
    data.kind === "json" && (event.dataContentType === null || isJsonType(event.dataContentType))
      ? `"data":${data.text}`
      : `"data_base64":"${encodeBase64(dataBytes(data))}"`;
  return `${attributes.slice(0, -1)},${member}}`;
}

export function writeBatch(events: readonly CloudEvent[]): string {
  return `[${events.map(writeStructured).join(",")}]`;
}

function readData(
  members: ReadonlyMap<string, unknown>,
  text: string,
  contentType: string | null,
): EventData | InvalidEvent {
  const encoded = members.get("data_base64");
  const data = members.get("data");
  if (encoded !== undefined) {
    if (data !== undefined) return invalid("data", "must not stand beside data_base64");
    const bytes = typeof encoded === "string" ? decodeBase64(encoded) : null;
    return bytes === null ? invalid("data_base64", "must be base64") : bytesAs(bytes, contentType);
  }
  const raw = memberTexts(text).get("data");
  if (raw === undefined || (data === undefined && contentType === null)) return NO_DATA;
  if (contentType === null || isJsonType(contentType)) return { kind: "json", text: raw };
  if (data === undefined) return NO_DATA;
  // What is not JSON stands in JSON as a text.
  if (typeof data !== "string") return invalid("data", "must be a text unless datacontenttype is JSON");
  if (!data.isWellFormed()) return invalid("data", "must be well-formed Unicode");
  return { kind: "bytes", bytes: new TextEncoder().encode(data) };
}

/** A payload of bytes: a JSON text where its media type says so. */
export function bytesAs(bytes: Uint8Array, contentType: string | null): EventData | InvalidEvent {
  if (!isJsonType(contentType)) return { kind: "bytes", bytes };
  const text = decodeText(bytes);
  return text === null || parseJson(text) === undefined
    ? invalid("data", "must be JSON, as datacontenttype says")
    : { kind: "json", text };
}

/** UTF-8 as text, or null. */
export function decodeText(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** What a JSON text says; undefined for one that is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function readExtensions(
  members: ReadonlyMap<string, unknown>,
): { readonly values: Record<string, ExtensionValue> } | InvalidEvent {
  const values: Record<string, ExtensionValue> = {};
  for (const [name, value] of members) {
    if (TEXT_ATTRIBUTES.includes(name) || ["specversion", "data", "data_base64"].includes(name)) continue;
    if (typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean") {
      return invalid(name, "must be a text, a whole number or a boolean");
    }
    // A member of that name would be the record's prototype.
    if (name === "__proto__") return invalid(name, "must be named in lower-case letters and digits");
    const written = OF_DEBEZIUM.test(name) ? name.toLowerCase() : name;
    if (written === name || !members.has(written)) values[written] = value;
  }
  return { values };
}

function invalid(at: string, rule: string): InvalidEvent {
  return { kind: "invalid", at, rule };
}
