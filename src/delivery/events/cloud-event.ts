// An event as CloudEvents 1.0 has it, and what is asked of one before it is taken in.
//
//   id, source, type   never empty; source and id together name the event
//   data               nothing, a JSON text (kept as it was written) or bytes
//   extensions         what else it carries: lower-case letters and digits; a text, a whole number, a boolean
//
// CloudEvents 1.0.2, sections "Context Attributes" and "Type System".

/** Of id, source, type, subject and each extension, in UTF-16 units. */
export const MAX_ATTRIBUTE_CHARS = 2_048;
export const MAX_EXTENSIONS = 32;
/** Recommended are 20; Debezium's own are longer. */
export const MAX_EXTENSION_NAME_CHARS = 64;
/** What fits into one row and one message with everything around it. */
export const MAX_DATA_BYTES = 96 * 1024;
/** Of one request. */
export const MAX_BATCH_EVENTS = 100;

export const SPEC_VERSION = "1.0";
/** The extensions by which an event says whose order it keeps and where it stands in it. */
export const KEY_EXTENSION = "partitionkey";
export const SEQUENCE_EXTENSION = "sequence";

export type ExtensionValue = string | number | boolean;

export type EventData =
  | { readonly kind: "none" }
  | { readonly kind: "json"; readonly text: string }
  | { readonly kind: "bytes"; readonly bytes: Uint8Array };

export interface CloudEvent {
  readonly id: string;
  /** A URI reference. */
  readonly source: string;
  readonly type: string;
  readonly subject: string | null;
  /** RFC 3339. */
  readonly time: string | null;
  readonly dataContentType: string | null;
  readonly dataSchema: string | null;
  readonly extensions: Readonly<Record<string, ExtensionValue>>;
  readonly data: EventData;
}

/** Why something is no event that is taken in. */
export interface InvalidEvent {
  readonly kind: "invalid";
  /** The attribute, as the form that it came in names it: `type`, `ce-type`, `[3].data`. */
  readonly at: string;
  /** What it must be, to be read behind the name: "must not be empty". */
  readonly rule: string;
}

export interface TooLargeEvent {
  readonly kind: "too-large";
  readonly at: string;
  readonly maxBytes: number;
}

export const NO_DATA: EventData = { kind: "none" };

const EXTENSION_NAME = /^[a-z0-9]+$/;
/** Names of attributes and members that no extension may take. */
const RESERVED = new Set([
  "specversion",
  "id",
  "source",
  "type",
  "subject",
  "time",
  "datacontenttype",
  "dataschema",
  "data",
]);
const URI_REFERENCE = /^(?:[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+$/;
// type/subtype with parameters, RFC 9110 8.3.1.
const MEDIA_TYPE = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+\/[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:\s*;[\x20-\x7e\t]*)?$/;
const JSON_TYPE = /^[^;]+\/(?:json|[^;]+\+json)\s*(?:;.*)?$/i;
const RFC_3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:[Zz]|[+-](\d\d):(\d\d))$/;
// C0, DEL and C1: no attribute may hold one.
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/** Whether a media type says that its content is JSON; none says so in the JSON form of an event. */
export function isJsonType(mediaType: string | null): boolean {
  return mediaType !== null && JSON_TYPE.test(mediaType);
}

function isMediaType(text: string): boolean {
  return text.length <= MAX_ATTRIBUTE_CHARS && MEDIA_TYPE.test(text);
}

/** Whether a text is a moment as RFC 3339 writes it. */
export function isTimestamp(text: string): boolean {
  const parts = RFC_3339.exec(text);
  if (parts === null) return false;
  const [year, month, day, hours, minutes, seconds, offsetHours, offsetMinutes] = parts.slice(1).map(Number);
  const daysInMonth = new Date(Date.UTC(year, month, 0)).getUTCDate();
  const isTime = hours <= 23 && minutes <= 59 && seconds <= 60;
  const isOffset = parts[7] === undefined || (offsetHours <= 23 && offsetMinutes <= 59);
  return month >= 1 && month <= 12 && day >= 1 && day <= daysInMonth && isTime && isOffset;
}

function isExtensionName(name: string): boolean {
  return name.length <= MAX_EXTENSION_NAME_CHARS && EXTENSION_NAME.test(name) && !RESERVED.has(name);
}

/** The rule that a text attribute breaks, or null. */
function textRule(text: string): string | null {
  if (text === "") return "must not be empty";
  if (text.length > MAX_ATTRIBUTE_CHARS) return `must be at most ${MAX_ATTRIBUTE_CHARS} characters`;
  if (!text.isWellFormed()) return "must be well-formed Unicode";
  return CONTROL.test(text) ? "must not hold control characters" : null;
}

/** The first rule that an event breaks, or null: `at` is the attribute's own name. */
export function checkEvent(event: CloudEvent): InvalidEvent | TooLargeEvent | null {
  const { id, source, type, subject, time, dataContentType, dataSchema } = event;
  for (const [at, text] of Object.entries({ id, source, type, subject, dataschema: dataSchema })) {
    const rule = text === null ? null : textRule(text);
    if (rule !== null) return { kind: "invalid", at, rule };
  }
  if (!URI_REFERENCE.test(source)) return invalid("source", "must be a URI reference");
  if (dataSchema !== null && !/^[A-Za-z][A-Za-z0-9+.-]*:/.test(dataSchema)) {
    return invalid("dataschema", "must be an absolute URI");
  }
  if (time !== null && !isTimestamp(time)) return invalid("time", "must be an RFC 3339 timestamp");
  if (dataContentType !== null && !isMediaType(dataContentType)) {
    return invalid("datacontenttype", "must be a media type");
  }
  return checkExtensions(event.extensions) ?? checkDataSize(event.data);
}

function invalid(at: string, rule: string): InvalidEvent {
  return { kind: "invalid", at, rule };
}

function checkExtensions(extensions: CloudEvent["extensions"]): InvalidEvent | null {
  const entries = Object.entries(extensions);
  if (entries.length > MAX_EXTENSIONS) {
    return invalid("extensions", `must be at most ${MAX_EXTENSIONS}`);
  }
  for (const [at, value] of entries) {
    const named = isExtensionName(at) ? null : "must be named in lower-case letters and digits";
    const number =
      typeof value === "number" && !Number.isSafeInteger(value) ? "must be a whole number" : null;
    const text = typeof value === "string" && value !== "" ? textRule(value) : null;
    const rule = named ?? number ?? text;
    if (rule !== null) return invalid(at, rule);
  }
  return null;
}

function checkDataSize(data: EventData): TooLargeEvent | null {
  return dataBytes(data).length > MAX_DATA_BYTES
    ? { kind: "too-large", at: "data", maxBytes: MAX_DATA_BYTES }
    : null;
}

/** The payload as it is sent in a body. */
export function dataBytes(data: EventData): Uint8Array {
  if (data.kind === "none") return new Uint8Array();
  return data.kind === "json" ? new TextEncoder().encode(data.text) : data.bytes;
}

/** The key whose order an event keeps, or null. */
export function eventKey(event: CloudEvent): string | null {
  const key = event.extensions[KEY_EXTENSION];
  return key === undefined ? null : String(key);
}
