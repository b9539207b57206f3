// What arrived at a region's isolates and what became of it, as one tally for the shedding loop.

import type { ShedTally } from "../resilience/cursor.ts";
import type { LoadEntry } from "./load-protocol.ts";

/** Adds what one of so many isolates reports. */
export function addArrivals(tally: ShedTally, entry: LoadEntry, isolates: number): void {
  for (let at = 0; at < entry.arrivals.length; at += 2) {
    tally.arrivals[entry.arrivals[at]] += entry.arrivals[at + 1];
  }
  tally.settled += entry.settled;
  tally.ok += entry.ok;
  tally.signals += entry.signals;
  // A line that stands all the time at each of ten isolates stands as long as one at a single one.
  tally.lineBusyMs += entry.lineBusyMs / Math.max(1, isolates);
}
