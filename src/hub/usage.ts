// Usage counters: added to in the hub of the region where it happened, stored before it is acknowledged,
// visible in all regions. Each region's own slot is exact; the sum is as old as the last word of the others.

import type { GCounter } from "../crdt/g-counter.ts";
import { addToGCounter, createGCounter, gCounterSlots, gCounterValue } from "../crdt/g-counter.ts";
import type { Hub } from "./hub.ts";
import { MAX_STATES, markChanged, nextVersion } from "./hub.ts";
import { usageName } from "./names.ts";
import { isGone, isUnheard } from "./peers.ts";

/** Counts what belongs to a key that there is no more room for. */
export const OVERFLOW_KEY = "(other)";

export interface UsageReading {
  readonly value: number;
  readonly slots: Readonly<Record<string, number>>;
  /** Ms since the region that was heard from longest ago was heard from; 0 when this is the only one. */
  readonly ageMs: number;
  /** Ms: a region that answers is never older than this. null: a region does not answer. */
  readonly boundMs: number | null;
}

/** Adds to a counter. It is in force once the next commit is stored. */
export function addUsage(
  hub: Hub,
  counter: string,
  key: string,
  by: number,
  now: number,
): "added" | "overflow" {
  const name = roomFor(hub, counter, key);
  const state = usageOf(hub, name);
  const outcome = addToGCounter(state, hub.durableSlot, by, nextVersion(hub, now));
  markChanged(hub, name);
  return outcome === "added" ? "added" : "overflow";
}

/** A counter as this region knows it. */
export function readUsage(
  hub: Hub,
  counter: string,
  key: string,
  roundMs: number,
  now: number,
): UsageReading {
  const state = hub.states.get(usageName(counter, key));
  const known = state?.kind === "g-counter" ? state : createGCounter();
  let ageMs = 0;
  let silent = false;
  for (const peer of hub.peers.values()) {
    if (isGone(peer, now)) continue;
    // Of a region that was not heard since the boot, what is stored is at least as old as that.
    const age = now - (isUnheard(peer) ? hub.bootedAt : peer.heardAt);
    ageMs = Math.max(ageMs, age);
    if (isUnheard(peer) || age > 3 * roundMs) silent = true;
  }
  return {
    value: gCounterValue(known),
    slots: gCounterSlots(known),
    ageMs,
    boundMs: silent ? null : 3 * roundMs,
  };
}

function roomFor(hub: Hub, counter: string, key: string): string {
  const name = usageName(counter, key);
  return hub.states.has(name) || hub.states.size < MAX_STATES ? name : usageName(counter, OVERFLOW_KEY);
}

function usageOf(hub: Hub, name: string): GCounter {
  const known = hub.states.get(name);
  if (known?.kind === "g-counter") return known;
  const counter = createGCounter();
  hub.states.set(name, counter);
  return counter;
}
