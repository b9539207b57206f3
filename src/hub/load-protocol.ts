// What isolates and their hub say to each other about the load of upstreams. An upstream comes with the
// numbers of its bulkhead, so a hub serves two versions of the configuration at once.

import { LATENCY_BUCKETS } from "../resilience/latency.ts";
import { LEVEL_COUNT } from "../resilience/level.ts";
import type { LoadNews } from "../resilience/load-sums.ts";
import type { LoadVerdict as Verdict } from "../resilience/regional-load.ts";
import { isPlainName } from "./names.ts";
import { MAX_ENTRY_AMOUNT } from "./protocol.ts";

/** The numbers of an upstream that its load is steered by. */
export interface LoadTerms {
  readonly upstream: string;
  /** Requests at a time, of the whole region. */
  readonly max: number;
  readonly adaptive: boolean;
  /** Retries per original; null: none are made. */
  readonly retryShare: number | null;
}

/** Load that an isolate has seen since its last report: part of a frozen batch. */
export interface LoadEntry extends LoadNews {
  readonly terms: LoadTerms;
}

/** An upstream that the isolate has traffic for. */
export interface LoadAsk {
  readonly terms: LoadTerms;
  readonly inflight: number;
  readonly waiting: number;
  /** What the isolate goes by at the moment. */
  readonly limit: number;
}

export interface LoadVerdict extends Verdict {
  readonly upstream: string;
}

/** A bulkhead that all isolates of a region share: a tenant's, a route's. */
export interface BulkheadAsk {
  readonly name: string;
  readonly max: number;
  readonly inUse: number;
  readonly waiting: number;
}

export interface BulkheadAnswer {
  readonly name: string;
  /** Permits of this isolate. */
  readonly limit: number;
}

/** No bulkhead has more. */
const MAX_LIMIT = 1_000_000;
/** Longest name of a bulkhead, in UTF-16 units. */
export const MAX_BULKHEAD_CHARS = 140;

export function isLoadEntry(value: unknown): value is LoadEntry {
  if (!isObject(value) || !isLoadTerms(value.terms)) return false;
  const { spanMs, arrivals, settled, ok, signals, lineBusyMs, served } = value;
  const { refused, throttled, timedOut, busyMs, refusedInflight, originals, retries } = value;
  const counts = [spanMs, settled, ok, signals, lineBusyMs, refused, throttled, timedOut, busyMs];
  return (
    [...counts, refusedInflight, originals, retries].every(isCount) &&
    isPairs(arrivals, LEVEL_COUNT) &&
    isPairs(served, LATENCY_BUCKETS)
  );
}

export function isLoadAsk(value: unknown): value is LoadAsk {
  if (!isObject(value) || !isLoadTerms(value.terms)) return false;
  return [value.inflight, value.waiting, value.limit].every(isCount);
}

export function isBulkheadAsk(value: unknown): value is BulkheadAsk {
  if (!isObject(value)) return false;
  const { name, max, inUse, waiting } = value;
  const isName = typeof name === "string" && name !== "" && name.length <= MAX_BULKHEAD_CHARS;
  return isName && isLimit(max) && isCount(inUse) && isCount(waiting);
}

function isLoadTerms(value: unknown): value is LoadTerms {
  if (!isObject(value)) return false;
  const { upstream, max, adaptive, retryShare } = value;
  const isShare = typeof retryShare === "number" && retryShare >= 0 && retryShare <= 1;
  return (
    isPlainName(upstream) && isLimit(max) && typeof adaptive === "boolean" && (retryShare === null || isShare)
  );
}

function isPairs(value: unknown, length: number): value is number[] {
  if (!Array.isArray(value) || value.length > 2 * length || value.length % 2 !== 0) return false;
  return value.every((item, at) => isCount(item) && (at % 2 === 1 || item < length));
}

function isLimit(value: unknown): value is number {
  return isCount(value) && value >= 1 && value <= MAX_LIMIT;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 && value <= MAX_ENTRY_AMOUNT;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
