// What an isolate has counted and not reported yet.

import { OVERFLOW_KEY } from "../hub/usage.ts";
import type { Replica } from "./replica.ts";

/** Keys of counters that wait for a report, at most. */
export const MAX_COUNTS = 20_000;

/** Adds to a usage counter, to be reported with the next sync. */
export function countUsage(replica: Replica, counter: string, key: string, by: number): void {
  let id = `${counter}\n${key}`;
  let known = replica.counts.get(id);
  if (known === undefined) {
    const isFull = replica.counts.size >= MAX_COUNTS;
    if (isFull) id = `${counter}\n${OVERFLOW_KEY}`;
    known = replica.counts.get(id) ?? { counter, key: isFull ? OVERFLOW_KEY : key, by: 0 };
    replica.counts.set(id, known);
  }
  known.by += by;
}
