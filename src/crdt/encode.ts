// States to bytes, as wire-format.ts draws them. Equal states give equal bytes.

import type { BoundedCounter } from "./bounded-counter.ts";
import { giverOf, takerOf } from "./bounded-counter.ts";
import type { ByteWriter } from "./byte-writer.ts";
import {
  createByteWriter,
  fitsUtf8,
  writeByte,
  writeText,
  writeVarint,
  writtenBytes,
} from "./byte-writer.ts";
import type { Cells } from "./cells.ts";
import type { Stamp } from "./hybrid-clock.ts";
import type { LwwRegister } from "./lww-register.ts";
import type { Membership } from "./membership.ts";
import { REGION_STATUSES } from "./membership.ts";
import type { Replicated } from "./replicated.ts";
import type { TimedCells } from "./timed-cells.ts";
import type { NamedState, Refusal } from "./wire-format.ts";
import {
  MAX_MESSAGE_BYTES,
  MAX_MESSAGE_ENTRIES,
  MAX_MESSAGE_IDS,
  MAX_MESSAGE_ROWS,
  MAX_NAME_BYTES,
  WIRE_KINDS,
  WIRE_MAGIC,
  WIRE_VERSION,
} from "./wire-format.ts";

export type Encoded =
  | { readonly kind: "encoded"; readonly bytes: Uint8Array }
  | { readonly kind: "refused"; readonly reason: Refusal };

interface Encoder {
  readonly writer: ByteWriter;
  readonly positions: ReadonlyMap<string, number>;
}

/** The message that carries these states, or the bound that they pass together: send them in two. */
export function encodeStates(entries: readonly NamedState<Replicated>[]): Encoded {
  const ids = idsOf(entries);
  const reason = passedBound(entries, ids.length);
  if (reason !== null) return { kind: "refused", reason };
  const writer = createByteWriter();
  for (const byte of [...WIRE_MAGIC, WIRE_VERSION]) writeByte(writer, byte);
  writeVarint(writer, ids.length);
  for (const id of ids) writeText(writer, id);
  const encoder = { writer, positions: new Map(ids.map((id, position) => [id, position])) };
  writeVarint(writer, entries.length);
  for (const { name, state } of entries) {
    writeByte(writer, WIRE_KINDS.indexOf(state.kind) + 1);
    writeText(writer, name);
    writeBody(encoder, state);
    if (writer.length > MAX_MESSAGE_BYTES) return { kind: "refused", reason: "too-large" };
  }
  return { kind: "encoded", bytes: writtenBytes(writer) };
}

function passedBound(entries: readonly NamedState<Replicated>[], idCount: number): Refusal | null {
  if (entries.length > MAX_MESSAGE_ENTRIES) return "too-many-entries";
  if (idCount > MAX_MESSAGE_IDS) return "too-many-ids";
  const rows = entries.reduce((sum, { state }) => sum + wireRows(state), 0);
  if (rows > MAX_MESSAGE_ROWS) return "too-many-rows";
  if (entries.some(({ name }) => !name.isWellFormed())) return "malformed";
  if (entries.some(({ name }) => !fitsUtf8(name, MAX_NAME_BYTES))) return "too-long-text";
  return null;
}

/** Rows as the bound counts them: spans, and what a register's writes had seen, are rows too. */
function wireRows(state: Replicated): number {
  switch (state.kind) {
    case "g-counter":
    case "pn-counter":
      return state.cells.ids.length;
    case "sliding-window":
    case "call-vectors":
      return state.timed.spans.reduce((rows, span) => rows + 1 + span.cells.ids.length, 0);
    case "bounded-counter":
      return state.transfers.ids.length + state.uses.ids.length;
    case "lww-register":
      return [...state.writes.values()].reduce((rows, write) => rows + 1 + write.seen.size, 0);
    case "membership":
      return state.rows.size;
  }
}

function idsOf(entries: readonly NamedState<Replicated>[]): string[] {
  const ids = new Set<string>();
  for (const { state } of entries) {
    for (const id of idsOfState(state)) ids.add(id);
  }
  return [...ids].toSorted(compareIds);
}

function idsOfState(state: Replicated): Iterable<string> {
  switch (state.kind) {
    case "g-counter":
    case "pn-counter":
      return state.cells.ids;
    case "sliding-window":
    case "call-vectors":
      return state.timed.spans.flatMap((span) => span.cells.ids);
    case "bounded-counter":
      return [...state.transfers.ids.flatMap((id) => [giverOf(id), takerOf(id)]), ...state.uses.ids];
    case "lww-register":
      return [...state.writes].flatMap(([writer, write]) => [writer, ...write.seen.keys()]);
    case "membership":
      return state.rows.keys();
  }
}

function writeBody(encoder: Encoder, state: Replicated): void {
  switch (state.kind) {
    case "g-counter":
    case "pn-counter":
      return writeRows(encoder, state.cells);
    case "sliding-window":
    case "call-vectors":
      return writeTimed(encoder, state.timed);
    case "bounded-counter":
      return writeBounded(encoder, state);
    case "lww-register":
      return writeRegister(encoder, state);
    case "membership":
      return writeMembership(encoder, state);
  }
}

function writeRows(encoder: Encoder, cells: Cells): void {
  const { writer } = encoder;
  writeVarint(writer, cells.ids.length);
  for (let row = 0; row < cells.ids.length; row++) {
    writeId(encoder, cells.ids[row]);
    for (let at = row * cells.width; at < (row + 1) * cells.width; at++) {
      writeVarint(writer, cells.values[at]);
    }
  }
}

function writeTimed(encoder: Encoder, timed: TimedCells): void {
  writeVarint(encoder.writer, timed.horizon);
  writeVarint(encoder.writer, timed.spans.length);
  for (const span of timed.spans) {
    writeVarint(encoder.writer, span.index - timed.horizon);
    writeRows(encoder, span.cells);
  }
}

function writeBounded(encoder: Encoder, counter: BoundedCounter): void {
  writeRows(encoder, counter.uses);
  const { ids, values } = counter.transfers;
  writeVarint(encoder.writer, ids.length);
  for (let row = 0; row < ids.length; row++) {
    writeId(encoder, giverOf(ids[row]));
    writeId(encoder, takerOf(ids[row]));
    writeVarint(encoder.writer, values[row]);
  }
}

function writeRegister(encoder: Encoder, register: LwwRegister): void {
  const { writer } = encoder;
  writeVarint(writer, register.writes.size);
  for (const [id, write] of sortedById(register.writes)) {
    writeId(encoder, id);
    writeStamp(writer, write.stamp);
    writeByte(writer, write.value === null ? 0 : 1);
    if (write.value !== null) writeText(writer, write.value);
    writeVarint(writer, write.seen.size);
    for (const [other, stamp] of sortedById(write.seen)) {
      writeId(encoder, other);
      writeStamp(writer, stamp);
    }
  }
}

function writeMembership(encoder: Encoder, membership: Membership): void {
  const { writer } = encoder;
  writeVarint(writer, membership.rows.size);
  for (const [region, row] of sortedById(membership.rows)) {
    writeId(encoder, region);
    writeVarint(writer, row.incarnation);
    writeByte(writer, REGION_STATUSES.indexOf(row.status));
    writeVarint(writer, row.shards);
    writeStamp(writer, row.stamp);
  }
}

function writeId(encoder: Encoder, id: string): void {
  writeVarint(encoder.writer, encoder.positions.get(id) ?? 0);
}

function writeStamp(writer: ByteWriter, stamp: Stamp): void {
  writeVarint(writer, stamp.ms);
  writeVarint(writer, stamp.count);
}

function sortedById<Row>(rows: ReadonlyMap<string, Row>): [string, Row][] {
  return [...rows].toSorted(([left], [right]) => compareIds(left, right));
}

/** Code units, as the cells sort them: never by locale. */
function compareIds(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}
