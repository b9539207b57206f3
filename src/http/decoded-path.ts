// Dot segments in any disguise. An upstream may decode a path more than once, may take a backslash for a
// slash, may accept overlong UTF-8 and may cut matrix parameters off before it resolves "..". This file
// decodes a path to the very end and finds what any of them could find.

const PERCENT = 0x25;
const FIRST_CONTINUATION = 0x80;
const LAST_CONTINUATION = 0xbf;

/**
 * A segment of one or two dots. It ends at a slash, at a backslash, or where some parsers stop reading:
 * at a matrix parameter, a query, a fragment or a control character.
 */
// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const DOT_SEGMENT = /(?:^|[/\\])\.\.?(?:$|[/\\;?#\0-\x1f\x7f])/;

/** A dot, or the escapes that one can come from: of "%" and of the first bytes of overlong sequences. */
const MAY_HOLD_DOTS = /\.|%(?:25|C[01]|E0|F0)/;

/** The value of a hex digit's character code, or -1. */
export function hexValue(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** How many of the last bytes are an overlong encoding of one ASCII character (RFC 3629, section 3), or 0. */
function overlongLength(bytes: Uint8Array, length: number): number {
  const last = bytes[length - 1];
  if (last < FIRST_CONTINUATION || last > LAST_CONTINUATION) return 0;
  const second = bytes[length - 2];
  if (second === 0xc0 || second === 0xc1) return 2;
  if (second !== 0x80 && second !== 0x81) return 0;
  if (bytes[length - 3] === 0xe0) return 3;
  return bytes[length - 3] === 0x80 && bytes[length - 4] === 0xf0 ? 4 : 0;
}

/** Decodes the escape or the overlong sequence that the bytes end with; the new length, or the same one. */
function reduceTail(bytes: Uint8Array, length: number): number {
  if (length >= 3 && bytes[length - 3] === PERCENT) {
    const high = hexValue(bytes[length - 2]);
    const low = hexValue(bytes[length - 1]);
    if (high >= 0 && low >= 0) {
      bytes[length - 3] = high * 16 + low;
      return length - 2;
    }
  }
  const overlong = length >= 2 ? overlongLength(bytes, length) : 0;
  if (overlong === 0) return length;
  const code = ((bytes[length - 2] & 1) << 6) | (bytes[length - 1] & 0x3f);
  bytes[length - overlong] = code;
  return length - overlong + 1;
}

/**
 * Decodes an ASCII path until nothing is left to decode, as one character per byte. Two escapes never
 * overlap (a "%" is no hex digit), so the order of decoding does not matter and one pass with a stack
 * finds what any number of passes would find: the work grows with the length, not with the nesting.
 */
export function decodeCompletely(path: string): string {
  const bytes = new Uint8Array(path.length);
  let length = 0;
  for (let index = 0; index < path.length; index++) {
    bytes[length++] = path.charCodeAt(index);
    for (let reduced = reduceTail(bytes, length); reduced !== length; reduced = reduceTail(bytes, length)) {
      length = reduced;
    }
  }
  let text = "";
  for (let index = 0; index < length; index++) text += String.fromCharCode(bytes[index]);
  return text;
}

/**
 * Whether any number of decodings makes a dot segment out of this path. The path is ASCII, its escapes are
 * in upper case and none of them stands for a dot itself.
 */
export function hidesDotSegment(path: string): boolean {
  if (!MAY_HOLD_DOTS.test(path)) return false;
  return DOT_SEGMENT.test(path.includes("%") ? decodeCompletely(path) : path);
}
