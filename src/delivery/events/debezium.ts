// Change events of databases, as Debezium's JSON converter writes them, as CloudEvents. (Those that
// Debezium writes as CloudEvents by itself need nothing of this.)
//
//   a change of a table      type     <table>.created | updated | deleted | read | truncated
//                            source   /debezium/<connector>/<server>
//                            subject  <database>.<schema>.<table>[/<key>]
//                            partitionkey  the row's key, if it has one
//                            time     when the database made the change
//                            data     the payload as it came: before, after, source, op
//   a row of an outbox table (aggregatetype, aggregateid, type, payload), inserted: the event that it holds
//
// Debezium delivers at least once. An id is made of the change's place in the log and of what it says, so
// the same change has the same id each time. Tombstones carry nothing and are skipped; so are changes of
// outbox rows that are no insertions: relays delete and mark those (Debezium's outbox event router does the
// same).

import { KEY_EXTENSION, checkEvent, type CloudEvent } from "./cloud-event.ts";
import type { InvalidEvent, TooLargeEvent } from "./cloud-event.ts";
import { isRecord, parseJson } from "./json-format.ts";
import { memberTexts } from "./json-spans.ts";
import { fingerprint64 } from "./fingerprint.ts";

export type ChangeEvent =
  | { readonly kind: "event"; readonly event: CloudEvent }
  /** It stands for nothing that happened: acknowledge it. */
  | { readonly kind: "skipped"; readonly reason: "tombstone" | "outbox-row-changed" }
  /** It is no change event. */
  | { readonly kind: "no-change" }
  | InvalidEvent
  | TooLargeEvent;

export interface ChangeOptions {
  /** Columns that are a row's key, joined by `,`; the ones that a row does not have are left out. */
  readonly keyColumns: readonly string[];
}

export const DEFAULT_CHANGE_OPTIONS: ChangeOptions = { keyColumns: ["id"] };

const OPERATIONS: Readonly<Record<string, string>> = {
  c: "created",
  u: "updated",
  d: "deleted",
  r: "read",
  t: "truncated",
};
/** Where connectors say at which place of the log a change stands. */
const POSITIONS = [
  "lsn",
  "file",
  "pos",
  "row",
  "change_lsn",
  "commit_lsn",
  "event_serial_no",
  "scn",
  "ord",
  "txId",
];
const OUTBOX_COLUMNS = ["id", "aggregatetype", "aggregateid", "type", "payload"];

interface Change {
  readonly operation: string;
  readonly source: Readonly<Record<string, unknown>>;
  readonly before: Readonly<Record<string, unknown>> | null;
  readonly after: Readonly<Record<string, unknown>> | null;
  readonly at: number | null;
  /** The payload's own text. */
  readonly text: string;
}

/** A change event from its JSON text, with or without its schema; an empty text is a tombstone. */
export function readChangeEvent(text: string, options: ChangeOptions = DEFAULT_CHANGE_OPTIONS): ChangeEvent {
  if (text.trim() === "" || text.trim() === "null") return { kind: "skipped", reason: "tombstone" };
  const value = parseJson(text);
  if (!isRecord(value)) return { kind: "no-change" };
  const isWrapped = isRecord(value.schema) && "payload" in value;
  if (isWrapped && value.payload === null) return { kind: "skipped", reason: "tombstone" };
  const payload = isWrapped ? value.payload : value;
  const payloadText = isWrapped ? (memberTexts(text).get("payload") ?? "") : text;
  const change = isRecord(payload) ? readChange(payload, payloadText) : null;
  if (change === null) return { kind: "no-change" };
  const row = change.after ?? change.before;
  if (row !== null && OUTBOX_COLUMNS.every((column) => column in row)) return outboxEvent(change, row);
  return checked(tableEvent(change, row, options));
}

function readChange(payload: Readonly<Record<string, unknown>>, text: string): Change | null {
  const { op, source, before = null, after = null } = payload;
  if (typeof op !== "string" || !Object.hasOwn(OPERATIONS, op) || !isRecord(source)) return null;
  if ((before !== null && !isRecord(before)) || (after !== null && !isRecord(after))) return null;
  const at = [source.ts_ms, payload.ts_ms].find((moment) => typeof moment === "number");
  return { operation: op, source, before, after, at: typeof at === "number" ? at : null, text };
}

function tableEvent(
  change: Change,
  row: Readonly<Record<string, unknown>> | null,
  options: ChangeOptions,
): CloudEvent {
  const { source, operation } = change;
  const table = words(source, "table") ?? words(source, "collection") ?? "unknown";
  const path = [words(source, "db"), words(source, "schema"), table]
    .filter((part) => part !== null)
    .join(".");
  const key = rowKey(row, options.keyColumns);
  return {
    ...envelope(change),
    id: changeId(change, table),
    type: `${table}.${OPERATIONS[operation]}`,
    subject: key === null ? path : `${path}/${key}`,
    dataContentType: "application/json",
    extensions: key === null ? {} : { [KEY_EXTENSION]: key },
    data: { kind: "json", text: change.text },
  };
}

/** The event that an application wrote into its outbox table. */
function outboxEvent(change: Change, row: Readonly<Record<string, unknown>>): ChangeEvent {
  if (change.operation !== "c" && change.operation !== "r") {
    return { kind: "skipped", reason: "outbox-row-changed" };
  }
  const key = words(row, "aggregateid");
  const aggregate = words(row, "aggregatetype");
  // JSON columns come as texts.
  const { payload } = row;
  const isText = typeof payload === "string";
  const isJson = !isText || parseJson(payload) !== undefined;
  const text = isText ? payload : JSON.stringify(payload);
  return checked({
    ...envelope(change),
    id: words(row, "id") ?? "",
    type: words(row, "type") ?? "",
    subject: aggregate === null ? key : key === null ? aggregate : `${aggregate}/${key}`,
    dataContentType: isJson ? "application/json" : "text/plain",
    extensions: key === null ? {} : { [KEY_EXTENSION]: key },
    data: isJson ? { kind: "json", text } : { kind: "bytes", bytes: new TextEncoder().encode(text) },
  });
}

function envelope({ source, at }: Change) {
  // Half of a surrogate pair cannot be encoded.
  const part = (name: string): string =>
    encodeURIComponent((words(source, name) ?? "unknown").toWellFormed());
  const isTime = at !== null && Math.abs(at) <= 8.64e15 && at >= 0;
  return {
    source: `/debezium/${part("connector")}/${part("name")}`,
    time: isTime ? new Date(at).toISOString() : null,
    dataSchema: null,
  };
}

/** Rows of a snapshot share one place in the log, so what a change says is part of its id. */
function changeId(change: Change, table: string): string {
  const { source, operation } = change;
  const places = POSITIONS.flatMap((name) => {
    const value = words(source, name);
    return value === null ? [] : [`${name}=${value}`];
  });
  const rows = memberTexts(change.text);
  const said = `${table}\n${rows.get("before") ?? ""}\n${rows.get("after") ?? ""}`;
  return [...places, operation, fingerprint64(said)].join(";");
}

function rowKey(row: Readonly<Record<string, unknown>> | null, columns: readonly string[]): string | null {
  if (row === null) return null;
  const parts = columns.flatMap((column) => words(row, column) ?? []);
  return parts.length === 0 ? null : parts.join(",");
}

/** A member as a text; null where it is none and no number or boolean. */
function words(record: Readonly<Record<string, unknown>>, name: string): string | null {
  const value = record[name];
  if (typeof value === "string") return value;
  return typeof value === "number" || typeof value === "boolean" ? String(value) : null;
}

function checked(event: CloudEvent): ChangeEvent {
  return checkEvent(event) ?? { kind: "event", event };
}
