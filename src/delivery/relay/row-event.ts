// A row of a Postgres outbox as an event, or why it is none.

import {
  KEY_EXTENSION,
  MAX_DATA_BYTES,
  SEQUENCE_EXTENSION,
  checkEvent,
  type CloudEvent,
} from "../events/cloud-event.ts";
import { parseJson } from "../events/json-format.ts";

/** As the statements give it; numbers of 64 bits are texts. */
export interface OutboxRow {
  readonly id: string;
  readonly type: string | null;
  /** A JSON text; null also where it is too large to be read. */
  readonly payload: string | null;
  readonly bytes: number;
  readonly key: string | null;
  readonly seq: string | null;
  readonly createdAt: string | null;
}

export type RowEvent =
  | { readonly kind: "event"; readonly event: CloudEvent }
  | { readonly kind: "poison"; readonly error: string };

const SEQUENCE_DIGITS = 16;
const TOO_LARGE = `payload is larger than ${MAX_DATA_BYTES} bytes`;

function poison(error: string): RowEvent {
  return { kind: "poison", error };
}

/** `source`: of all events of this relay, like `/relays/shop`. */
export function rowEvent(row: OutboxRow, source: string): RowEvent {
  if (row.bytes > MAX_DATA_BYTES) return poison(TOO_LARGE);
  if (row.payload !== null && parseJson(row.payload) === undefined) return poison("payload is not JSON");
  const event: CloudEvent = {
    id: row.id,
    source,
    type: row.type ?? "",
    subject: row.key,
    time: row.createdAt,
    dataContentType: row.payload === null ? null : "application/json",
    dataSchema: null,
    extensions: {
      ...(row.key === null ? {} : { [KEY_EXTENSION]: row.key }),
      ...(row.seq === null ? {} : { [SEQUENCE_EXTENSION]: row.seq.padStart(SEQUENCE_DIGITS, "0") }),
    },
    data: row.payload === null ? { kind: "none" } : { kind: "json", text: row.payload },
  };
  const wrong = checkEvent(event);
  if (wrong === null) return { kind: "event", event };
  return poison(wrong.kind === "invalid" ? `${wrong.at} ${wrong.rule}` : TOO_LARGE);
}
