// How a bulkhead of a region is divided among its isolates, by what each has use for:
//
//   demand_i = offered per ms * what a call of the region takes; in flight + waiting before that is known.
//              Who has more permits has more in flight: by that alone the shares would stay as they are
//   D = sum of demand,  n = isolates with a word of late
//   D <= limit   share_i = demand_i + (limit - D) / n       what nobody uses is everybody's alike
//   D >  limit   share_i = limit * demand_i / D
//
// The shares of one moment add up to the limit (load-grants.ts has those of different ones); an isolate
// that nobody has heard of gets a part as if it had been there all along, and the others make room at their
// next sync. At least 1 each: no isolate is shut out.

import type { LoadNews } from "../resilience/load-sums.ts";
import type { RegionSums } from "../resilience/region-limit.ts";

export interface Demand {
  readonly at: number;
  readonly inflight: number;
  readonly waiting: number;
  /** Calls served per ms. */
  readonly servedPerMs: number;
  /** Retries that it may have scheduled since its last report. */
  readonly granted?: number;
  /** Requests per ms that went on to be tried, smoothed. */
  readonly offeredPerMs?: number;
  /** Permits that it went by when it last asked. */
  readonly goesBy?: number;
  /** Permits that it was given last. */
  readonly permits?: number;
}

/** An isolate counts for so long after its last word; its share ends then. */
export const SHARE_MS = 3_000;
export const MAX_SHARING = 20_000;
const SCATTER = 0.3;
/** What is offered to an isolate counts as of so long. */
const OFFERED_MS = 2_000;
const REPORT_MS = 1_000;

export type Demands = Map<string, Demand>;

/** Keeps what an isolate says of itself. */
export function noteDemand(demands: Demands, isolate: string, demand: Demand): void {
  if (demands.has(isolate) || demands.size < MAX_SHARING) demands.set(isolate, demand);
}

/**
 * What an isolate is known for after a report; one of a tenth of a second says a tenth as much as one of a
 * second.
 */
export function reportedDemand(known: Demand | undefined, entry: LoadNews, now: number): Demand {
  const spanMs = Math.max(1, entry.spanMs);
  let served = 0;
  for (let at = 1; at < entry.served.length; at += 2) served += entry.served[at];
  const weight = known === undefined ? 1 : Math.min(1, spanMs / REPORT_MS);
  const offeredPerMs = entry.originals / spanMs;
  return {
    ...known,
    at: now,
    waiting: known?.waiting ?? 0,
    inflight: blend(known?.inflight ?? 0, entry.busyMs / spanMs, weight),
    servedPerMs: blend(known?.servedPerMs ?? 0, served / spanMs, weight),
    offeredPerMs: blend(known?.offeredPerMs ?? offeredPerMs, offeredPerMs, Math.min(1, spanMs / OFFERED_MS)),
  };
}

function blend(known: number, seen: number, weight: number): number {
  return known + weight * (seen - known);
}

/** Forgets isolates that are silent. */
export function expireDemands(demands: Demands, now: number): void {
  for (const [isolate, { at }] of demands) if (now - at > SHARE_MS) demands.delete(isolate);
}

/** What all of them have in flight, and serve per ms. */
export function sumDemands(demands: Demands): RegionSums {
  const sums = { inflight: 0, servedPerMs: 0, isolates: demands.size, goneBy: 0 };
  for (const { inflight, servedPerMs, goesBy = 0 } of demands.values()) {
    sums.goneBy += goesBy;
    sums.inflight += inflight;
    sums.servedPerMs += servedPerMs;
  }
  return sums;
}

/** What all of them have in flight and in line. */
export function heldBy(demands: Demands): number {
  let sum = 0;
  for (const { inflight, waiting } of demands.values()) sum += inflight + waiting;
  return sum;
}

/**
 * What a limit that is divided among n isolates needs in line besides, as a part of what is served: each of
 * them scatters by itself.
 *
 *   0.3 * sqrt((n - 1) / limit)
 */
export function scatterOf(demands: Demands, limit: number): number {
  return SCATTER * Math.sqrt(Math.max(0, demands.size - 1) / limit);
}

/** Retries that the others may schedule, or have and not told yet. */
export function grantedToOthers(demands: Demands, isolate: string): number {
  let sum = 0;
  for (const [other, { granted = 0 }] of demands) if (other !== isolate) sum += granted;
  return sum;
}

/** Permits that the others have been given. */
export function permitsOfOthers(demands: Demands, isolate: string): number {
  let sum = 0;
  for (const [other, { permits = 0 }] of demands) if (other !== isolate) sum += permits;
  return sum;
}

export interface Share {
  readonly limit: number;
  /** The isolate's part of everything, from 0 to 1. */
  readonly part: number;
}

/**
 * The isolate's share of a bulkhead that has no line to wait in: what nobody uses is everybody's whole, so
 * that nobody is refused while there is room; too many may get in until the next sync, when the limit is
 * shared out.
 */
export function looseShareOf(demands: Demands, isolate: string, limit: number): number {
  let others = 0;
  let total = 0;
  for (const [other, { inflight, waiting }] of demands) {
    total += inflight + waiting;
    if (other !== isolate) others += inflight + waiting;
  }
  return Math.max(1, total <= limit ? limit - others : (limit * (total - others)) / total);
}

function wantsOf({ offeredPerMs, inflight, waiting }: Demand, tookMs: number): number {
  return offeredPerMs === undefined || tookMs === 0 ? inflight + waiting : offeredPerMs * tookMs;
}

function tookOf(demands: Demands): number {
  const { inflight, servedPerMs } = sumDemands(demands);
  return servedPerMs === 0 ? 0 : inflight / servedPerMs;
}

/** The isolate's share of a limit. `isolates`: there may be so many, though not all have been heard. */
export function shareOf(demands: Demands, isolate: string, limit: number, isolates: number): Share {
  const tookMs = tookOf(demands);
  let total = 0;
  for (const demand of demands.values()) total += wantsOf(demand, tookMs);
  const own = demands.get(isolate);
  const demand = own === undefined ? 0 : wantsOf(own, tookMs);
  const sharing = Math.max(1, demands.size, isolates);
  const share = total <= limit ? demand + (limit - total) / sharing : (limit * demand) / total;
  const part = total === 0 ? 1 / sharing : demand / total;
  return { limit: Math.max(1, share), part };
}
