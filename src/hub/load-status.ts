// The load of an upstream as a region's hub has it, kept over restarts and told to the other regions: a row
// of a register, written when something has changed enough to matter, and then at most every
// STORE_EVERY_MS.

import { nextStamp } from "../crdt/hybrid-clock.ts";
import { createLwwRegister, writeRegister } from "../crdt/lww-register.ts";
import { regionOf } from "../crdt/slot-id.ts";
import { LEVEL_COUNT } from "../resilience/level.ts";
import type { Hub } from "./hub.ts";
import { markChanged, nextVersion, putState } from "./hub.ts";
import { loadName } from "./names.ts";

/** A restart may make the limit this old; every write of a row costs. */
export const STORE_EVERY_MS = 10_000;
/** A limit that has moved by less says the same. */
const NOTABLE_PART = 0.1;

/** What a region tells of an upstream's load. */
export interface LoadStatus {
  readonly cursor: number;
  /** The share of arrivals that is refused. */
  readonly cut: number;
  readonly limit: number;
  /** The least that the slow end of calls took; null: not known. */
  readonly baselineMs: number | null;
}

/** For the log: a cursor that begins or ceases to cut, or a limit that has moved notably. */
export interface LoadChange extends LoadStatus {
  readonly upstream: string;
  readonly inflight: number;
  readonly isolates: number;
}

export interface StoredLoad {
  status: LoadStatus | null;
  at: number;
}

/** Whether the difference is worth a line and a row. */
export function isNotable(before: LoadStatus | null, status: LoadStatus): boolean {
  if (before === null) return status.cursor < LEVEL_COUNT || status.limit > 0;
  const isOtherCut = before.cursor < LEVEL_COUNT !== status.cursor < LEVEL_COUNT;
  return isOtherCut || Math.abs(status.limit - before.limit) > NOTABLE_PART * before.limit;
}

/** Writes this region's row. */
export function writeLoadStatus(hub: Hub, upstream: string, status: LoadStatus, now: number): void {
  const name = loadName(upstream);
  const known = hub.states.get(name);
  const register = known?.kind === "lww-register" ? known : createLwwRegister();
  hub.clock = nextStamp(hub.clock, now);
  writeRegister(register, hub.durableSlot, hub.clock, JSON.stringify(status), nextVersion(hub, now));
  putState(hub, name, register);
  markChanged(hub, name);
}

/** The load of each region, as far as this one has heard. */
export function loadByRegion(hub: Hub, upstream: string): Map<string, LoadStatus> {
  const statuses = new Map<string, LoadStatus>();
  const register = hub.states.get(loadName(upstream));
  if (register?.kind !== "lww-register") return statuses;
  for (const [writer, { value }] of register.writes) {
    const status = value === null ? null : parseLoadStatus(value);
    if (status !== null) statuses.set(regionOf(writer), status);
  }
  return statuses;
}

function parseLoadStatus(text: string): LoadStatus | null {
  try {
    const value: unknown = JSON.parse(text);
    return isLoadStatus(value) ? value : null;
  } catch {
    return null;
  }
}

function isLoadStatus(value: unknown): value is LoadStatus {
  if (typeof value !== "object" || value === null) return false;
  const { cursor, cut, limit, baselineMs }: Record<string, unknown> = { ...value };
  const isBaseline = baselineMs === null || (typeof baselineMs === "number" && baselineMs >= 0);
  return [cursor, cut, limit].every((number) => typeof number === "number" && number >= 0) && isBaseline;
}
