// What isolates and their hub say to each other about upstreams. An upstream comes with the numbers of its
// breaker, so a hub serves two versions of the configuration at once.

import type { BreakerOptions, BreakerPhase } from "../resilience/breaker-state.ts";
import type { BreakerVerdict, RegionalNews } from "../resilience/regional-breaker.ts";
import { isPlainName } from "./names.ts";
import { MAX_ENTRY_AMOUNT } from "./protocol.ts";
import { isFields, isWhole } from "./shapes.ts";

export interface UpstreamTerms {
  readonly upstream: string;
  readonly breaker: BreakerOptions;
  /** How long a probe may take. */
  readonly probeMs: number;
}

/** Calls that an isolate made since its last report: part of a frozen batch. */
export interface CallsEntry extends RegionalNews {
  readonly terms: UpstreamTerms;
}

/** What an isolate holds at the moment, for the sums of the region. */
export interface UpstreamGauges {
  readonly cursor: number;
  readonly limit: number;
  readonly inflight: number;
  readonly waiting: number;
}

/** An upstream that the isolate has traffic for, and so could probe. */
export interface UpstreamAsk {
  readonly terms: UpstreamTerms;
  readonly gauges: UpstreamGauges;
  /** Whether a leased probe would be of use. */
  readonly wantsLease: boolean;
}

/** The hub's word about an upstream. */
export interface UpstreamVerdict extends BreakerVerdict {
  readonly upstream: string;
  /** The isolate has no traffic for it and did not ask: it is open, and that is told to all. */
  readonly isUnasked?: boolean;
}

/** A breaker as a region tells the others. */
export interface BreakerStatus {
  readonly phase: BreakerPhase;
  readonly generation: number;
  /** Ms since 1970, by the region's own clock; null: not open. */
  readonly openUntil: number | null;
  readonly strikes: number;
  /** When the phase began. */
  readonly since: number;
}

const MAX_DURATION_MS = 2 ** 31;
const MAX_PROBES = 1_000;

/** Whether a report's entry is one, with every number within its bounds. */
export function isCallsEntry(value: unknown): value is CallsEntry {
  if (!isFields(value) || !isUpstreamTerms(value.terms)) return false;
  const { generation, ok, failRemote, failLocal, slow, consecutive, retryAfterMs, started, probes } = value;
  return (
    [generation, ok, failRemote, failLocal, slow, retryAfterMs, started].every(isCount) &&
    typeof consecutive === "boolean" &&
    Array.isArray(probes) &&
    probes.length <= MAX_PROBES &&
    probes.every(isProbe)
  );
}

export function isUpstreamAsk(value: unknown): value is UpstreamAsk {
  if (!isFields(value) || !isUpstreamTerms(value.terms) || !isFields(value.gauges)) return false;
  const { cursor, limit, inflight, waiting } = value.gauges;
  return typeof value.wantsLease === "boolean" && [cursor, limit, inflight, waiting].every(isCount);
}

function isUpstreamTerms(value: unknown): value is UpstreamTerms {
  if (!isFields(value) || !isFields(value.breaker) || !isPlainName(value.upstream)) return false;
  const { breaker, probeMs } = value;
  const { failureRate, slowCallRate, windowMs, openForMs, maxOpenForMs } = breaker;
  const numbers = [failureRate, slowCallRate, windowMs, openForMs, maxOpenForMs, probeMs];
  return (
    numbers.every((number) => isDuration(number) && number > 0) &&
    [breaker.minimumCalls, breaker.consecutive, breaker.probes].every(isThreshold) &&
    isDuration(breaker.rampUpMs) &&
    (breaker.slowCallMs === null || isDuration(breaker.slowCallMs))
  );
}

function isProbe(value: unknown): boolean {
  return isFields(value) && isCount(value.lease) && (value.good === null || typeof value.good === "boolean");
}

function isCount(value: unknown): value is number {
  return isWhole(value, 0, MAX_ENTRY_AMOUNT);
}

/** As large as a configuration may have it: who wants none writes a number that is never reached. */
function isThreshold(value: unknown): boolean {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 1;
}

function isDuration(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= MAX_DURATION_MS;
}
