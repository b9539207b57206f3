// The rows of events that a reaction has brought about, until they are published: one when a job ends, one
// deletion for each.

import { MAX_BATCH_JOBS } from "../../src/delivery/core/protocol.ts";
import { MAX_HANDED_BYTES } from "../../src/delivery/core/routes.ts";
import type { Sequel } from "../../src/delivery/core/storage.ts";
import { dataBytes, type EventData } from "../../src/delivery/events/cloud-event.ts";

const TABLE = `
  CREATE TABLE IF NOT EXISTS sequels (
    seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, head TEXT NOT NULL, data BLOB);
`;

/** Everything but the event's data, whose text has a column of its own. */
type Head = Omit<Sequel, "event"> & { readonly event: Omit<Sequel["event"], "data"> };

export function createSequels(sql: SqlStorage): void {
  sql.exec(TABLE);
}

/** What a boot must know. */
export function countSequels(sql: SqlStorage): { readonly last: number; readonly waiting: number } {
  const { last, waiting } = sql
    .exec<{ last: number | null; waiting: number }>(
      "SELECT MAX(seq) AS last, COUNT(*) AS waiting FROM sequels",
    )
    .one();
  return { last: last ?? 0, waiting };
}

export function insertSequel(sql: SqlStorage, { event, ...rest }: Sequel): void {
  const { data, ...attributes } = event;
  const head: Head = { ...rest, event: attributes };
  const bytes = data.kind === "none" ? null : dataBytes(data);
  sql.exec(
    "INSERT INTO sequels VALUES (?, ?, ?, ?)",
    rest.seq,
    Date.parse(event.time ?? ""),
    JSON.stringify(head),
    bytes,
  );
}

export function deleteSequels(sql: SqlStorage, seqs: readonly number[]): void {
  sql.exec("DELETE FROM sequels WHERE seq IN (SELECT value FROM json_each(?))", JSON.stringify(seqs));
}

/** The oldest ones: as many as go into one call. */
export function readSequels(sql: SqlStorage): readonly Sequel[] {
  const rows = sql.exec<{ head: string; data: ArrayBuffer | null }>(
    "SELECT head, data FROM sequels ORDER BY seq LIMIT ?",
    MAX_BATCH_JOBS,
  );
  const page: Sequel[] = [];
  let bytes = 0;
  for (const { head, data } of rows) {
    const { event, ...rest }: Head = JSON.parse(head);
    page.push({ ...rest, event: { ...event, data: dataOf(data) } });
    bytes += head.length + (data?.byteLength ?? 0);
    if (bytes >= MAX_HANDED_BYTES) break;
  }
  return page;
}

export function oldestSequelAt(sql: SqlStorage): number | null {
  const [row] = sql.exec<{ at: number }>("SELECT at FROM sequels ORDER BY seq LIMIT 1").toArray();
  return row?.at ?? null;
}

/** What a reaction publishes is JSON, or nothing. */
function dataOf(data: ArrayBuffer | null): EventData {
  return data === null ? { kind: "none" } : { kind: "json", text: new TextDecoder().decode(data) };
}
