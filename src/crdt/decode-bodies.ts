// The bodies of a message's entries, one reader per kind. A body that breaks a rule of its type (a total of
// zero, rows out of order, a write that had seen its own future) is refused, so a decoded state is one that
// its type could have made.

import type { BoundedCounter } from "./bounded-counter.ts";
import { BURN, MINT, USE_COLUMNS, transferId } from "./bounded-counter.ts";
import type { ByteReader } from "./byte-reader.ts";
import { readByte, readLimited, readText, readVarint, refuse } from "./byte-reader.ts";
import { CALL_FIELDS } from "./call-vectors.ts";
import type { Cells } from "./cells.ts";
import { FIRST_VERSION, appendRow, createCells } from "./cells.ts";
import type { Stamp } from "./hybrid-clock.ts";
import { MAX_STAMP_COUNT, MAX_STAMP_MS, compareStamps } from "./hybrid-clock.ts";
import type { LwwRegister } from "./lww-register.ts";
import { MAX_REGISTER_CHARS, createLwwRegister } from "./lww-register.ts";
import type { Membership } from "./membership.ts";
import { REGION_STATUSES, announceRegion, createMembership } from "./membership.ts";
import { PN_COLUMNS } from "./pn-counter.ts";
import type { Replicated } from "./replicated.ts";
import { MAX_SHARD } from "./slot-id.ts";
import type { TimedCells } from "./timed-cells.ts";
import { createTimedCells } from "./timed-cells.ts";

export interface BodyReader {
  readonly reader: ByteReader;
  /** The message's ids, ascending, and which of them are slots; the others are spelled like regions. */
  readonly ids: readonly string[];
  readonly slots: readonly boolean[];
  rowsLeft: number;
}

/** UTF-8 needs at most three bytes for one UTF-16 unit. */
const MAX_REGISTER_BYTES = MAX_REGISTER_CHARS * 3;
const NO_ID = -1;

/** Reads one body; after a refusal its content means nothing. */
export function readBody(body: BodyReader, kind: Replicated["kind"]): Replicated {
  switch (kind) {
    case "g-counter":
      return { kind, cells: readRows(body, 1) };
    case "pn-counter":
      return { kind, cells: readRows(body, PN_COLUMNS) };
    case "sliding-window":
      return { kind, timed: readTimed(body, 1) };
    case "call-vectors":
      return { kind, timed: readTimed(body, CALL_FIELDS.length) };
    case "lww-register":
      return readRegister(body);
    case "membership":
      return readMembership(body);
    default:
      return readRights(body);
  }
}

function readRows(body: BodyReader, width: number): Cells {
  const { reader, ids } = body;
  const cells = createCells(width);
  const count = readRowCount(body);
  let last = NO_ID;
  for (let row = 0; row < count && reader.refusal === null; row++) {
    last = readSlotAfter(body, last);
    appendRow(cells, ids[last], FIRST_VERSION);
    let sum = 0;
    for (let column = 0; column < width; column++) {
      const total = readVarint(reader);
      cells.values.push(total);
      sum += total;
    }
    if (sum === 0) refuse(reader, "malformed");
  }
  return cells;
}

function readTimed(body: BodyReader, width: number): TimedCells {
  const { reader } = body;
  const timed = createTimedCells(width);
  timed.horizon = readVarint(reader);
  const count = readRowCount(body);
  let last = -1;
  for (let read = 0; read < count && reader.refusal === null; read++) {
    const index = timed.horizon + readVarint(reader);
    if (index <= last || index > Number.MAX_SAFE_INTEGER) refuse(reader, "malformed");
    last = index;
    const cells = readRows(body, width);
    if (cells.ids.length === 0) refuse(reader, "malformed");
    timed.spans.push({ index, cells });
    timed.version = FIRST_VERSION;
  }
  return timed;
}

function readRights(body: BodyReader): BoundedCounter {
  const { reader } = body;
  const uses = readRows(body, USE_COLUMNS);
  for (let row = 0; row < uses.ids.length; row++) {
    if (uses.values[row * USE_COLUMNS + 1] > uses.values[row * USE_COLUMNS]) refuse(reader, "malformed");
  }
  const transfers = createCells(1);
  const count = readRowCount(body);
  for (let row = 0; row < count && reader.refusal === null; row++) {
    const from = readHolder(body, MINT);
    const to = readHolder(body, BURN);
    const transfer = transferId(from, to);
    const amount = readVarint(reader);
    if (amount === 0 || from === to || (from === MINT && to === BURN)) refuse(reader, "malformed");
    if (row > 0 && transfer <= transfers.ids[row - 1]) refuse(reader, "malformed");
    appendRow(transfers, transfer, FIRST_VERSION);
    transfers.values.push(amount);
  }
  return { kind: "bounded-counter", transfers, uses };
}

function readRegister(body: BodyReader): LwwRegister {
  const { reader, ids } = body;
  const register = createLwwRegister();
  const count = readRowCount(body);
  let last = NO_ID;
  for (let row = 0; row < count && reader.refusal === null; row++) {
    last = readSlotAfter(body, last);
    const stamp = readStamp(reader);
    const value = readValue(reader);
    const seen = readSeen(body, ids[last], stamp);
    register.writes.set(ids[last], { stamp, value, seen, version: FIRST_VERSION });
    register.version = FIRST_VERSION;
  }
  return register;
}

function readValue(reader: ByteReader): string | null {
  const present = readByte(reader);
  if (present > 1) refuse(reader, "malformed");
  if (present !== 1) return null;
  const value = readText(reader, MAX_REGISTER_BYTES);
  if (value.length > MAX_REGISTER_CHARS) refuse(reader, "too-long-text");
  return value;
}

/** Stamps of others, each earlier than the write's own: so no two writes can hide each other. */
function readSeen(body: BodyReader, writer: string, stamp: Stamp): Map<string, Stamp> {
  const { reader, ids } = body;
  const seen = new Map<string, Stamp>();
  const count = readRowCount(body);
  let last = NO_ID;
  for (let row = 0; row < count && reader.refusal === null; row++) {
    last = readSlotAfter(body, last);
    const earlier = readStamp(reader);
    if (ids[last] === writer || compareStamps(earlier, stamp) >= 0) refuse(reader, "malformed");
    seen.set(ids[last], earlier);
  }
  return seen;
}

function readMembership(body: BodyReader): Membership {
  const { reader, ids } = body;
  const membership = createMembership();
  const count = readRowCount(body);
  let last = NO_ID;
  for (let row = 0; row < count && reader.refusal === null; row++) {
    last = readIdAfter(body, last);
    if (body.slots[last]) refuse(reader, "malformed");
    const incarnation = readVarint(reader);
    const status = REGION_STATUSES[readLimited(reader, REGION_STATUSES.length - 1, "malformed")];
    const shards = readLimited(reader, MAX_SHARD + 1, "malformed");
    const stamp = readStamp(reader);
    announceRegion(membership, ids[last], { incarnation, status, shards, stamp }, FIRST_VERSION);
  }
  return membership;
}

function readStamp(reader: ByteReader): Stamp {
  const ms = readLimited(reader, MAX_STAMP_MS, "malformed");
  return { ms, count: readLimited(reader, MAX_STAMP_COUNT, "malformed") };
}

/** A count of rows, taken from what the message may still hold. */
function readRowCount(body: BodyReader): number {
  const count = readLimited(body.reader, body.rowsLeft, "too-many-rows");
  body.rowsLeft -= count;
  return count;
}

/** The position of an id after the position `last`. */
function readIdAfter(body: BodyReader, last: number): number {
  const position = readLimited(body.reader, body.ids.length - 1, "malformed");
  if (position <= last) refuse(body.reader, "malformed");
  return position;
}

function readSlotAfter(body: BodyReader, last: number): number {
  const position = readIdAfter(body, last);
  if (!body.slots[position]) refuse(body.reader, "malformed");
  return position;
}

/** A slot, or the one end of rights that may stand here. */
function readHolder(body: BodyReader, end: typeof MINT | typeof BURN): string {
  const position = readLimited(body.reader, body.ids.length - 1, "malformed");
  if (!body.slots[position] && body.ids[position] !== end) refuse(body.reader, "malformed");
  return body.ids[position];
}
