// A digest of what one region has written into usage counters, as some hub has it: equal numbers give equal
// digests, whatever the order. XOR over the rows of a 32-bit hash of (name, slot, value). Quotas are left out
// because each region forgets their periods by its own clock.

import { regionOf } from "../crdt/slot-id.ts";
import { hashText } from "../resilience/level.ts";
import type { Hub } from "./hub.ts";

/** The digest of what `region` wrote. */
export function digestOf(hub: Hub, region: string): number {
  let digest = 0;
  for (const [name, state] of hub.states) {
    if (state.kind !== "g-counter") continue;
    const { ids, values } = state.cells;
    for (let row = 0; row < ids.length; row++) {
      if (regionOf(ids[row]) === region) digest ^= hashText(`${name}\n${ids[row]}\n${values[row]}`, 0);
    }
  }
  return digest >>> 0;
}
