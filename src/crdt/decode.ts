// Bytes to states. The bytes are a stranger's: every bound, order and spelling of wire-format.ts is checked,
// a count is never believed before its rows were read, and what is wrong is answered with a value.

import type { ByteReader } from "./byte-reader.ts";
import { createByteReader, readByte, readLimited, readText, refuse } from "./byte-reader.ts";
import type { BodyReader } from "./decode-bodies.ts";
import { readBody } from "./decode-bodies.ts";
import type { Replicated } from "./replicated.ts";
import { MAX_SLOT_ID_CHARS, isRegion, isSlotId } from "./slot-id.ts";
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

export type Decoded =
  | { readonly kind: "decoded"; readonly entries: NamedState<Replicated>[] }
  | { readonly kind: "refused"; readonly reason: Refusal; readonly atByte: number };

/** The states of a message, each with FIRST_VERSION as its version; or why it is refused, all of it. */
export function decodeStates(bytes: Uint8Array): Decoded {
  const reader = createByteReader(bytes);
  if (bytes.length > MAX_MESSAGE_BYTES) refuse(reader, "too-large");
  readHeader(reader);
  const ids = readIds(reader);
  const body: BodyReader = { reader, ids, slots: ids.map(isSlotId), rowsLeft: MAX_MESSAGE_ROWS };
  const entries: NamedState<Replicated>[] = [];
  const count = readLimited(reader, MAX_MESSAGE_ENTRIES, "too-many-entries");
  for (let index = 0; index < count && reader.refusal === null; index++) entries.push(readEntry(body));
  if (reader.at < bytes.length) refuse(reader, "malformed");
  if (reader.refusal !== null) return { kind: "refused", reason: reader.refusal, atByte: reader.at };
  return { kind: "decoded", entries };
}

function readHeader(reader: ByteReader): void {
  for (const byte of WIRE_MAGIC) {
    if (readByte(reader) !== byte) refuse(reader, "bad-magic");
  }
  if (readByte(reader) !== WIRE_VERSION) refuse(reader, "unknown-version");
}

/** Slots, regions, and the two ends of a quota's rights, which are spelled like regions; ascending. */
function readIds(reader: ByteReader): string[] {
  const ids: string[] = [];
  const count = readLimited(reader, MAX_MESSAGE_IDS, "too-many-ids");
  for (let index = 0; index < count && reader.refusal === null; index++) {
    const id = readText(reader, MAX_SLOT_ID_CHARS);
    if (!isSlotId(id) && !isRegion(id)) refuse(reader, "malformed");
    if (index > 0 && id <= ids[index - 1]) refuse(reader, "malformed");
    ids.push(id);
  }
  return ids;
}

function readEntry(body: BodyReader): NamedState<Replicated> {
  const { reader } = body;
  const kindNumber = readByte(reader);
  if (kindNumber < 1 || kindNumber > WIRE_KINDS.length) refuse(reader, "malformed");
  const name = readText(reader, MAX_NAME_BYTES);
  return { name, state: readBody(body, WIRE_KINDS[kindNumber - 1]) };
}
