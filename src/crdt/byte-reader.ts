// Reads bytes that somebody else wrote. The first thing that is wrong is noted as the refusal; from then on
// every read gives 0 or "", so a caller checks once per loop instead of once per read, and nothing throws.

import type { Refusal } from "./wire-format.ts";
import { MAX_VARINT_BYTES, VARINT_BITS } from "./wire-format.ts";

const MORE = 0x80;
const LOW_BITS = 0x7f;
const RADIX = 2 ** VARINT_BITS;
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export interface ByteReader {
  readonly bytes: Uint8Array;
  at: number;
  refusal: Refusal | null;
}

export function createByteReader(bytes: Uint8Array): ByteReader {
  return { bytes, at: 0, refusal: null };
}

/** Notes what is wrong, unless something was before. */
export function refuse(reader: ByteReader, refusal: Refusal): void {
  reader.refusal ??= refusal;
}

export function readByte(reader: ByteReader): number {
  if (reader.at >= reader.bytes.length) refuse(reader, "truncated");
  return reader.refusal === null ? reader.bytes[reader.at++] : 0;
}

/** An integer from 0 to 2^53 - 1; a longer form than needed is refused. */
export function readVarint(reader: ByteReader): number {
  const { bytes, at } = reader;
  // Nearly all of them are counts and positions of one byte.
  if (at < bytes.length && bytes[at] < MORE && reader.refusal === null) {
    reader.at = at + 1;
    return bytes[at];
  }
  return readLongVarint(reader);
}

function readLongVarint(reader: ByteReader): number {
  let value = 0;
  let scale = 1;
  for (let read = 1; read <= MAX_VARINT_BYTES; read++) {
    const byte = readByte(reader);
    value += (byte & LOW_BITS) * scale;
    if (byte < MORE) {
      if ((byte === 0 && read > 1) || value > Number.MAX_SAFE_INTEGER) refuse(reader, "malformed");
      return reader.refusal === null ? value : 0;
    }
    scale *= RADIX;
  }
  refuse(reader, "malformed");
  return 0;
}

/** A varint of at most `max`; a greater one is refused as `refusal`. */
export function readLimited(reader: ByteReader, max: number, refusal: Refusal): number {
  const value = readVarint(reader);
  if (value <= max) return value;
  refuse(reader, refusal);
  return 0;
}

/** A text of at most `maxBytes` bytes of well-formed UTF-8. */
export function readText(reader: ByteReader, maxBytes: number): string {
  const length = readLimited(reader, maxBytes, "too-long-text");
  if (length > reader.bytes.length - reader.at) refuse(reader, "truncated");
  if (reader.refusal !== null) return "";
  const encoded = reader.bytes.subarray(reader.at, reader.at + length);
  reader.at += length;
  try {
    return strictUtf8.decode(encoded);
  } catch {
    refuse(reader, "malformed");
    return "";
  }
}
