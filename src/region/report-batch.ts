// The batch that an isolate reports to its hub: everything that waits, as far as one report may carry it.
// What is taken into it is no longer pending: a batch is frozen once, and sent until it is acknowledged.

import type { CountEntry, Report } from "../hub/protocol.ts";
import { MAX_ENTRY_AMOUNT, MAX_REPORT_ENTRIES } from "../hub/protocol.ts";
import type { LoadEntry } from "../hub/load-protocol.ts";
import type { CallsEntry } from "../hub/upstream-protocol.ts";
import { freezeReturn, freezeUses } from "./limit-view.ts";
import type { Replica } from "./replica.ts";

/** The next batch, under the next number; null when nothing waits. */
export function freezeReport(
  replica: Replica,
  calls: readonly CallsEntry[],
  loads: readonly LoadEntry[],
  metrics: Report["metrics"] & object,
  now: number,
): Report | null {
  const counts: CountEntry[] = [];
  for (const [id, entry] of replica.counts) {
    if (counts.length >= MAX_REPORT_ENTRIES) break;
    const by = Math.min(entry.by, MAX_ENTRY_AMOUNT);
    counts.push({ counter: entry.counter, key: entry.key, by });
    entry.by -= by;
    if (entry.by === 0) replica.counts.delete(id);
  }
  const uses: Report["uses"][number][] = [];
  const returns: Report["returns"][number][] = [];
  for (const view of replica.views.values()) {
    if (uses.length + view.pending.length <= MAX_REPORT_ENTRIES) uses.push(...freezeUses(view));
    const back = returns.length < MAX_REPORT_ENTRIES ? freezeReturn(view, now) : null;
    if (back !== null) returns.push(back);
  }
  const other = calls.length + loads.length + metrics.length;
  if (counts.length + uses.length + returns.length + other === 0) return null;
  replica.seq++;
  const { session, seq, config } = replica;
  return { session, seq, config, counts, uses, returns, calls, loads, metrics };
}
