// Bytes as they are written and read one by one: the short ways for ASCII and small numbers give what the
// long ways give.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createByteReader, readText, readVarint } from "../../../src/crdt/byte-reader.ts";
import {
  createByteWriter,
  fitsUtf8,
  writeText,
  writeVarint,
  writtenBytes,
} from "../../../src/crdt/byte-writer.ts";

const MOST_BYTES = 4_096;
const encoder = new TextEncoder();

/** LEB128 by its definition, in whole numbers of any size. */
function leb128(value: number): number[] {
  const bytes: number[] = [];
  let rest = BigInt(value);
  for (; rest >= 128n; rest /= 128n) bytes.push(Number(rest % 128n) + 128);
  return [...bytes, Number(rest)];
}

function written(write: (writer: ReturnType<typeof createByteWriter>) => void): Uint8Array {
  const writer = createByteWriter();
  write(writer);
  return writtenBytes(writer);
}

describe("bytes", () => {
  it.each([
    0,
    1,
    127,
    128,
    16_383,
    16_384,
    2 ** 31 - 1,
    2 ** 31,
    2 ** 31 + 127,
    2 ** 32,
    2 ** 38,
    2 ** 38 + 2 ** 31 - 1,
    Number.MAX_SAFE_INTEGER,
  ])("write the number %i as LEB128 and read it back", (value) => {
    const bytes = written((writer) => writeVarint(writer, value));
    expect([...bytes]).toEqual(leb128(value));
    expect(readVarint(createByteReader(bytes))).toBe(value);
  });

  it("write any number as LEB128 and read it back", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        const bytes = written((writer) => writeVarint(writer, value));
        expect([...bytes]).toEqual(leb128(value));
        expect(readVarint(createByteReader(bytes))).toBe(value);
      }),
    );
  });

  it.each([
    ["nothing", ""],
    ["the longest short text", "a".repeat(127)],
    ["one character more", "a".repeat(128)],
    ["ASCII that ends in something else", `${"a".repeat(126)}é`],
    ["the last character of ASCII and the first behind it", "\u007f\u0080"],
    ["two units that are one character", "a😀b"],
    ["more than the first capacity", "key".repeat(200)],
  ])("write a text as its length and UTF-8, and read it back: %s", (_, text) => {
    const encoded = encoder.encode(text);
    const bytes = written((writer) => writeText(writer, text));
    expect([...bytes]).toEqual([...leb128(encoded.length), ...encoded]);
    expect(readText(createByteReader(bytes), MOST_BYTES)).toBe(text);
  });

  it("keep what was written before a text that turns out not to be ASCII", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "grapheme", maxLength: 140 })), (texts) => {
        const bytes = written((writer) => {
          for (const text of texts) writeText(writer, text);
        });
        const reader = createByteReader(bytes);
        for (const text of texts) expect(readText(reader, MOST_BYTES)).toBe(text);
        expect(reader.at).toBe(bytes.length);
      }),
    );
  });

  it("know whether a text fits, at the bound and past it", () => {
    expect(fitsUtf8("a".repeat(12), 12)).toBe(true);
    expect(fitsUtf8("a".repeat(13), 12)).toBe(false);
    expect(fitsUtf8("€".repeat(4), 12)).toBe(true);
    expect(fitsUtf8("€".repeat(4), 11)).toBe(false);
  });

  it("refuse a number that ends too soon, whichever way it is read", () => {
    for (const bytes of [[], [0x80]]) {
      const reader = createByteReader(Uint8Array.from(bytes));
      expect(readVarint(reader)).toBe(0);
      expect(reader.refusal).toBe("truncated");
    }
  });
});
