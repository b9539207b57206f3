// The hash of a configuration: the same for the same content, whatever the order of its keys. Isolates of
// two versions that live side by side during a gradual deploy tell each other apart by it.

import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";

const HASH_HEX_DIGITS = 16;

/** 16 hex digits for plain data (what JSON can carry; keys that are `undefined` count as absent). */
export function hashConfig(config: unknown): string {
  return bytesToHex(sha256(utf8ToBytes(canonicalJson(config)))).slice(0, HASH_HEX_DIGITS);
}

/** JSON with the keys of every object sorted. */
function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (typeof inner !== "object" || inner === null || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).toSorted(([left], [right]) => (left < right ? -1 : 1)));
  });
}
