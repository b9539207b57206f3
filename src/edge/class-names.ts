// What traffic classes are called, in header fields, logs and spans.

import type { TrafficClass } from "../resilience/level.ts";

const CLASS_NAMES = ["P0", "P1", "P2", "P3"] as const;

/** The class of a name in any case; null for anything else. */
export function classOfName(name: string): TrafficClass | null {
  const index = CLASS_NAMES.findIndex((known) => known === name.toUpperCase());
  return index === 0 || index === 1 || index === 2 || index === 3 ? index : null;
}

/** `P0` to `P3`. */
export function className(trafficClass: TrafficClass): string {
  return CLASS_NAMES[trafficClass];
}
