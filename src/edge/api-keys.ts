// Which consumer a key belongs to. Keys are known by their SHA-256 alone; a small cache of what was
// asked lately spares the hash on the hot path, for wrong keys too. Everything is synchronous.

import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";

/** Keys remembered at a time; the older half is forgotten when they are more. */
export const MAX_CACHED_KEYS = 2048;
/** Longer keys are nobody's: hashing them would be work for an attacker's money. */
export const MAX_API_KEY_CHARS = 512;
export const NOBODY = -1;

export interface KeyRing {
  readonly consumersByHash: ReadonlyMap<string, number>;
  young: Map<string, number>;
  old: Map<string, number>;
}

export function createKeyRing(consumersByHash: ReadonlyMap<string, number>): KeyRing {
  return { consumersByHash, young: new Map(), old: new Map() };
}

/** The consumer's index, or NOBODY. */
export function consumerOfKey(ring: KeyRing, key: string): number {
  const cached = ring.young.get(key);
  if (cached !== undefined) return cached;
  if (ring.consumersByHash.size === 0 || key.length > MAX_API_KEY_CHARS) return NOBODY;
  const consumer = ring.old.get(key) ?? ring.consumersByHash.get(hashKey(key)) ?? NOBODY;
  if (ring.young.size >= MAX_CACHED_KEYS / 2) {
    ring.old = ring.young;
    ring.young = new Map();
  }
  ring.young.set(key, consumer);
  return consumer;
}

/** Lower-case hex SHA-256 of a key's UTF-8 bytes. */
export function hashKey(key: string): string {
  return bytesToHex(sha256(utf8ToBytes(key)));
}

/** Whether two secrets are equal, in time that does not depend on where they differ. */
export function equalSecrets(one: string, other: string): boolean {
  const a = sha256(utf8ToBytes(one));
  const b = sha256(utf8ToBytes(other));
  let difference = 0;
  for (let index = 0; index < a.length; index++) difference |= a[index] ^ b[index];
  return difference === 0;
}
