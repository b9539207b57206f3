// The `Idempotency-Key` field (draft-ietf-httpapi-idempotency-key-header-07 2.1): a Structured Field string.
// What many clients send, the bare characters without quotes, is taken too and means the same key.

import { skipParameters } from "./structured-item.ts";

const STRING = /^"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"/;
/** Visible ASCII. A comma is the seam of two fields, a quote or a semicolon belongs to the other form. */
const BARE = /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x7e]+$/;

/** The key that a field value means; null: it is malformed, empty or longer than `maxChars`. */
export function parseIdempotencyKey(value: string, maxChars: number): string | null {
  const text = value.trim();
  const quoted = STRING.exec(text);
  if (quoted !== null && skipParameters(text, quoted[0].length) !== text.length) return null;
  const key = quoted !== null ? quoted[1].replaceAll(/\\(["\\])/g, "$1") : BARE.test(text) ? text : "";
  return key === "" || key.length > maxChars ? null : key;
}
