// Bytes that grow while they are written: varints, texts. It refuses nothing; the encoder checks bounds.

import { VARINT_BITS } from "./wire-format.ts";

const FIRST_CAPACITY = 256;
const MORE = 0x80;
const LOW_BITS = 0x7f;
const RADIX = 2 ** VARINT_BITS;
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
  let rest = value;
  while (rest >= RADIX) {
    writeByte(writer, (rest % RADIX) | MORE);
    rest = Math.floor(rest / RADIX);
  }
  writeByte(writer, rest & LOW_BITS);
}

/** Its length in bytes, then UTF-8. */
export function writeText(writer: ByteWriter, text: string): void {
  const encoded = utf8.encode(text);
  writeVarint(writer, encoded.length);
  reserve(writer, encoded.length);
  writer.bytes.set(encoded, writer.length);
  writer.length += encoded.length;
}

/** What was written, in an array of its own. */
export function writtenBytes(writer: ByteWriter): Uint8Array {
  return writer.bytes.slice(0, writer.length);
}

export function utf8Length(text: string): number {
  return utf8.encode(text).length;
}

function reserve(writer: ByteWriter, more: number): void {
  const needed = writer.length + more;
  if (needed <= writer.bytes.length) return;
  const grown = new Uint8Array(Math.max(needed, writer.bytes.length * 2));
  grown.set(writer.bytes.subarray(0, writer.length));
  writer.bytes = grown;
}
