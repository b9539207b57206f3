// Shedding levels: 4 classes of 128 cohorts each, 512 levels, smaller is more important.
//
//   level = class * 128 + hash7(user, hour)
//
// The hash spreads users evenly over a class and is re-keyed every hour, so nobody is last for ever
// and nobody wins by picking a name. Within the hour a user keeps the same level (DAGOR, arXiv
// 1806.04075, section 4.2).

import { mix32 } from "./random.ts";

/** Traffic classes: smaller is more important. */
export type TrafficClass = 0 | 1 | 2 | 3;

export const CLASS_COUNT = 4;
export const COHORTS_PER_CLASS = 128;
export const LEVEL_COUNT = CLASS_COUNT * COHORTS_PER_CLASS;

const HOUR_MS = 3_600_000;
const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** 32-bit hash of a text: FNV-1a, then murmur3's finalizer. Synchronous and without allocation. */
export function hashText(text: string, seed: number): number {
  let hash = FNV_OFFSET ^ seed;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), FNV_PRIME);
  }
  return mix32(hash);
}

/** The level of a known user; `now` in ms picks the hour's key. */
export function levelOfUser(trafficClass: number, user: string, now: number): number {
  const hour = Math.floor(now / HOUR_MS) | 0;
  return trafficClass * COHORTS_PER_CLASS + (hashText(user, mix32(hour)) & (COHORTS_PER_CLASS - 1));
}

/** The level of a request whose user is unknown: `bits` are random, per request. */
export function levelOfNobody(trafficClass: number, bits: number): number {
  return trafficClass * COHORTS_PER_CLASS + (bits & (COHORTS_PER_CLASS - 1));
}

/** Where a request stands among those of its own level, in [0, 1): decided by its id. */
export function positionWithinLevel(requestId: string): number {
  return hashText(requestId, 0) / 4294967296;
}
