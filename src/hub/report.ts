// Checks what an isolate says before anything of it counts: the isolate may run another version of this
// Worker. A report is taken whole or not at all.

import {
  MAX_ENTRY_AMOUNT,
  MAX_REPORT_ENTRIES,
  MAX_SERIES_CHARS,
  type CountEntry,
  type LeaseAsk,
  type LimitTerms,
  type Report,
  type ReturnEntry,
  type SyncRequest,
  type UseEntry,
} from "./protocol.ts";
import { isKey, isPlainName } from "./names.ts";
import { isBulkheadAsk, isLoadAsk, isLoadEntry } from "./load-protocol.ts";
import { isCallsEntry, isUpstreamAsk } from "./upstream-protocol.ts";
import { isSession } from "./sessions.ts";
import { isFields, isWhole } from "./shapes.ts";

/** Longest window that a limit may have: as long as a configuration may say. */
export const MAX_WINDOW_MS = 2 ** 31;

/** Whether a request has the shape of one, with every number within its bounds. */
export function isSyncRequest(value: unknown): value is SyncRequest {
  if (!isFields(value)) return false;
  const { region, session, report, asks, urgent } = value;
  if (typeof region !== "string" || !isSession(session) || typeof urgent !== "boolean") return false;
  const { upstreams, loads, bulkheads } = value;
  if (upstreams !== undefined && !isListOf(upstreams, isUpstreamAsk)) return false;
  if (loads !== undefined && !isListOf(loads, isLoadAsk)) return false;
  if (bulkheads !== undefined && !isListOf(bulkheads, isBulkheadAsk)) return false;
  return isListOf(asks, isAsk) && (report === null || isReport(report, session));
}

/** Whether these are the numbers of a limit. */
function isTerms(value: unknown): value is LimitTerms {
  if (!isFields(value)) return false;
  const { limit, key, consistency, units, windowMs } = value;
  return (
    isPlainName(limit) &&
    isKey(key) &&
    (consistency === "regional" || consistency === "global" || consistency === "capped") &&
    isAmount(units, Number.MAX_SAFE_INTEGER) &&
    isAmount(windowMs, MAX_WINDOW_MS)
  );
}

function isReport(value: unknown, of: string): value is Report {
  if (!isFields(value)) return false;
  const { session, seq, config, counts, uses, returns, calls, loads, metrics } = value;
  return (
    session === of &&
    isAmount(seq, Number.MAX_SAFE_INTEGER) &&
    typeof config === "string" &&
    isListOf(counts, isCountEntry) &&
    isListOf(uses, isUseEntry) &&
    isListOf(returns, isReturnEntry) &&
    (calls === undefined || isListOf(calls, isCallsEntry)) &&
    (loads === undefined || isListOf(loads, isLoadEntry)) &&
    (metrics === undefined || isListOf(metrics, isGrowth))
  );
}

function isGrowth(value: unknown): boolean {
  if (!Array.isArray(value) || value.length !== 2) return false;
  const [series, by]: unknown[] = value;
  const isSeries = typeof series === "string" && series !== "" && series.length <= MAX_SERIES_CHARS;
  return isSeries && typeof by === "number" && by >= 0 && by <= MAX_ENTRY_AMOUNT;
}

function isCountEntry(value: unknown): value is CountEntry {
  return (
    isFields(value) && isPlainName(value.counter) && isKey(value.key) && isAmount(value.by, MAX_ENTRY_AMOUNT)
  );
}

function isUseEntry(value: unknown): value is UseEntry {
  return (
    isFields(value) &&
    isTerms(value.terms) &&
    typeof value.at === "number" &&
    Number.isFinite(value.at) &&
    isAmount(value.units, MAX_ENTRY_AMOUNT)
  );
}

function isReturnEntry(value: unknown): value is ReturnEntry {
  return (
    isFields(value) &&
    isTerms(value.terms) &&
    Number.isSafeInteger(value.period) &&
    isAmount(value.units, MAX_ENTRY_AMOUNT)
  );
}

function isAsk(value: unknown): value is LeaseAsk {
  if (!isFields(value)) return false;
  const { terms, need, want, held, unreported, seq = 0, inFlight = 0, seen = 0, waiting = 0 } = value;
  return (
    isTerms(terms) &&
    isAmount(need, MAX_ENTRY_AMOUNT) &&
    [want, held, unreported, inFlight, waiting].every(
      (amount) => amount === 0 || isAmount(amount, MAX_ENTRY_AMOUNT),
    ) &&
    [seq, seen].every((count) => count === 0 || isAmount(count, Number.MAX_SAFE_INTEGER))
  );
}

function isListOf(value: unknown, isItem: (item: unknown) => boolean): boolean {
  return Array.isArray(value) && value.length <= MAX_REPORT_ENTRIES && value.every((item) => isItem(item));
}

/** A whole number from 1 to `max`. */
function isAmount(value: unknown, max: number): value is number {
  return isWhole(value, 1, max);
}
