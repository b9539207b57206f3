// Bytes that grow while they are written: varints, texts. It refuses nothing; the encoder checks bounds.

import { MAX_VARINT_BYTES, VARINT_BITS } from "./wire-format.ts";

const FIRST_CAPACITY = 256;
const MORE = 0x80;
const MAX_ASCII = 0x7f;
/** A text's length must fit one byte of a varint. */
const SHORT_CHARS = 0x7f;
const INT32_END = 2 ** 31;
const RADIX = 2 ** VARINT_BITS;
/** UTF-8 needs at most three bytes for one UTF-16 unit. */
const MAX_BYTES_PER_UNIT = 3;
const utf8 = new TextEncoder();

export interface ByteWriter {
  bytes: Uint8Array;
  length: number;
}

export function createByteWriter(): ByteWriter {
  return { bytes: new Uint8Array(FIRST_CAPACITY), length: 0 };
}

export function writeByte(writer: ByteWriter, byte: number): void {
  reserve(writer, 1);
  writer.bytes[writer.length++] = byte;
}

/** A non-negative safe integer as LEB128, shortest form. */
export function writeVarint(writer: ByteWriter, value: number): void {
  reserve(writer, MAX_VARINT_BYTES);
  const { bytes } = writer;
  let at = writer.length;
  let rest = value;
  for (; rest >= INT32_END; rest = Math.floor(rest / RADIX)) bytes[at++] = (rest % RADIX) | MORE;
  // Below 2^31 the bits can be shifted, without a division.
  let low = rest | 0;
  for (; low >= RADIX; low >>>= VARINT_BITS) bytes[at++] = low | MORE;
  bytes[at++] = low;
  writer.length = at;
}

/** Its length in bytes, then UTF-8. Names are short and nearly always ASCII, which needs no encoder. */
export function writeText(writer: ByteWriter, text: string): void {
  if (text.length <= SHORT_CHARS && writeShortAscii(writer, text)) return;
  const encoded = utf8.encode(text);
  writeVarint(writer, encoded.length);
  reserve(writer, encoded.length);
  writer.bytes.set(encoded, writer.length);
  writer.length += encoded.length;
}

/** False, and nothing is written, when there is more to it than ASCII. */
function writeShortAscii(writer: ByteWriter, text: string): boolean {
  const { length } = text;
  reserve(writer, 1 + length);
  const { bytes } = writer;
  const start = writer.length + 1;
  for (let index = 0; index < length; index++) {
    const unit = text.charCodeAt(index);
    if (unit > MAX_ASCII) return false;
    bytes[start + index] = unit;
  }
  bytes[start - 1] = length;
  writer.length = start + length;
  return true;
}

/** What was written, in an array of its own. */
export function writtenBytes(writer: ByteWriter): Uint8Array {
  return writer.bytes.slice(0, writer.length);
}

/** Whether a text needs at most `bytes` bytes in UTF-8. */
export function fitsUtf8(text: string, bytes: number): boolean {
  return text.length * MAX_BYTES_PER_UNIT <= bytes || utf8.encode(text).length <= bytes;
}

function reserve(writer: ByteWriter, more: number): void {
  const needed = writer.length + more;
  if (needed <= writer.bytes.length) return;
  const grown = new Uint8Array(Math.max(needed, writer.bytes.length * 2));
  grown.set(writer.bytes.subarray(0, writer.length));
  writer.bytes = grown;
}
