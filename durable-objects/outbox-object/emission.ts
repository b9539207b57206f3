// What an object emits, as an event: checked where it is emitted, so that a mistake takes the transaction
// back.

import {
  KEY_EXTENSION,
  SEQUENCE_EXTENSION,
  checkEvent,
  isJsonType,
  type CloudEvent,
  type EventData,
  type ExtensionValue,
} from "../../src/delivery/events/cloud-event.ts";

/** Digits of a sequence: texts of one length sort as their numbers do. */
const SEQUENCE_DIGITS = 16;

export interface EmitOptions {
  /** Default: a UUID of version 7. Whoever gets two events of one source with the same id has one of them. */
  readonly id?: string;
  readonly subject?: string;
  /** Events of one key keep their order where subscriptions are ordered; default: the object's own name. */
  readonly key?: string;
  /** RFC 3339; default: now. */
  readonly time?: string;
  readonly contentType?: string;
  readonly dataSchema?: string;
  readonly extensions?: Readonly<Record<string, ExtensionValue>>;
}

/**
 * Records an event in the transaction that is open and gives its id back. `data`: nothing, bytes, a text
 * with a content type that is not JSON, or a value that JSON can carry. It throws on what is no event.
 */
export type Emit = (type: string, data?: unknown, options?: EmitOptions) => string;

/** Where and when something is emitted. */
export interface Emission {
  readonly seq: number;
  readonly id: string;
  readonly source: string;
  readonly key: string;
  readonly now: number;
}

/** The event, or a thrown TypeError that names what is wrong. */
export function emittedEvent(
  emission: Emission,
  type: string,
  data: unknown,
  options: EmitOptions,
): CloudEvent {
  const payload = payloadOf(data, options.contentType ?? null);
  const event: CloudEvent = {
    id: options.id ?? emission.id,
    source: emission.source,
    type,
    subject: options.subject ?? null,
    time: options.time ?? new Date(emission.now).toISOString(),
    dataContentType: options.contentType ?? defaultType(payload),
    dataSchema: options.dataSchema ?? null,
    extensions: {
      ...options.extensions,
      [KEY_EXTENSION]: options.key ?? emission.key,
      [SEQUENCE_EXTENSION]: sequenceOf(emission.seq),
    },
    data: payload,
  };
  const wrong = checkEvent(event);
  if (wrong === null) return event;
  const rule = wrong.kind === "invalid" ? wrong.rule : `must be at most ${wrong.maxBytes} bytes`;
  throw new TypeError(`emit(${JSON.stringify(type)}): ${wrong.at} ${rule}`);
}

export function sequenceOf(seq: number): string {
  return String(seq).padStart(SEQUENCE_DIGITS, "0");
}

function defaultType(data: EventData): string | null {
  if (data.kind === "none") return null;
  return data.kind === "json" ? "application/json" : "application/octet-stream";
}

function payloadOf(data: unknown, contentType: string | null): EventData {
  if (data === undefined) return { kind: "none" };
  if (data instanceof Uint8Array) return { kind: "bytes", bytes: data };
  if (typeof data === "string" && contentType !== null && !isJsonType(contentType)) {
    return { kind: "bytes", bytes: new TextEncoder().encode(data) };
  }
  const text: string | undefined = JSON.stringify(data);
  if (text === undefined) throw new TypeError(`emit: data must be bytes or what JSON can carry`);
  return { kind: "json", text };
}
