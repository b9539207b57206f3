// What an operator forces on an upstream, for a time: one last-writer-wins register per upstream. Writes that
// did not know of each other stay visible beside the one in force. An override that is over by its own
// `until` (ms) is as if cleared; clearing is a write too, so it wins over what it cleared everywhere.

import { DEFAULT_MAX_DRIFT_MS, nextStamp } from "../crdt/hybrid-clock.ts";
import type { LwwRegister } from "../crdt/lww-register.ts";
import { createLwwRegister, visibleWrites, writeRegister } from "../crdt/lww-register.ts";
import { regionOf } from "../crdt/slot-id.ts";
import { LEVEL_COUNT } from "../resilience/level.ts";
import type { Hub } from "./hub.ts";
import { markChanged, nextVersion, putState } from "./hub.ts";
import { isPlainName, overrideName } from "./names.ts";
import type { OverrideTerms } from "./protocol.ts";

export const MAX_DRAINED_TARGETS = 64;
export const MAX_TARGET_CHARS = 512;
export const MAX_NOTE_CHARS = 500;
/** Longest time that an override may last: 30 days. */
export const MAX_OVERRIDE_MS = 30 * 86_400_000;

export interface OverrideWrite extends OverrideTerms {
  /** Region that it was made in. */
  readonly region: string;
  /** When it was made, ms. */
  readonly at: number;
}

/** An override as an operator reads it: the write in force, and those that did not know of it. */
export interface OverrideReading extends OverrideWrite {
  readonly concurrent: readonly OverrideWrite[];
}

/** Sets what is forced on an upstream; null clears it. False when it could not be written. */
export function writeOverride(hub: Hub, upstream: string, terms: OverrideTerms | null, now: number): boolean {
  if (!isPlainName(upstream)) return false;
  const name = overrideName(upstream);
  const register = registerOf(hub, name);
  hub.clock = nextStamp(hub.clock, now);
  const value = terms === null ? null : JSON.stringify(terms);
  const outcome = writeRegister(register, hub.durableSlot, hub.clock, value, nextVersion(hub, now));
  if (outcome !== "written") return false;
  putState(hub, name, register);
  markChanged(hub, name);
  hub.urgent = true;
  return true;
}

/** All overrides that are in force or stand beside one, by upstream. */
export function readOverrides(hub: Hub, now: number): Record<string, OverrideReading> {
  const readings: Record<string, OverrideReading> = {};
  for (const [upstream, register] of registers(hub)) {
    const [winner, ...others] = visibleWrites(register).map((write) => {
      const terms = write.value === null ? null : parseTerms(write.value);
      return terms === null || terms.until <= now
        ? null
        : { ...terms, region: regionOf(write.writer), at: write.stamp.ms };
    });
    if (winner === undefined || winner === null) continue;
    readings[upstream] = { ...winner, concurrent: others.filter((other) => other !== null) };
  }
  return readings;
}

/** The overrides in force, as isolates get them. */
export function overridesInForce(hub: Hub, now: number): Record<string, OverrideTerms> {
  const inForce: Record<string, OverrideTerms> = {};
  for (const [upstream, register] of registers(hub)) {
    const [winner] = visibleWrites(register);
    const terms = winner === undefined || winner.value === null ? null : parseTerms(winner.value);
    if (terms !== null && terms.until > now) inForce[upstream] = terms;
  }
  return inForce;
}

/** What a request's body or another region's write says, or null when it is no override. */
export function toOverrideTerms(value: unknown, until: number): OverrideTerms | null {
  if (typeof value !== "object" || value === null || !Number.isSafeInteger(until)) return null;
  const fields: Record<string, unknown> = { ...value };
  const { breaker, cursor, drain, note } = fields;
  if (breaker !== undefined && breaker !== "open" && breaker !== "closed") return null;
  if (cursor !== undefined && !isCursor(cursor)) return null;
  if (drain !== undefined && !isTargetList(drain)) return null;
  if (note !== undefined && (typeof note !== "string" || note.length > MAX_NOTE_CHARS)) return null;
  return {
    until,
    ...(breaker === undefined ? {} : { breaker }),
    ...(cursor === undefined ? {} : { cursor }),
    ...(drain === undefined ? {} : { drain }),
    ...(note === undefined ? {} : { note }),
  };
}

/** How far ahead of our clock a write may be stamped. */
export const OVERRIDE_DRIFT_MS = DEFAULT_MAX_DRIFT_MS;

function parseTerms(text: string): OverrideTerms | null {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || !("until" in value)) return null;
    return typeof value.until === "number" ? toOverrideTerms(value, value.until) : null;
  } catch {
    return null;
  }
}

function* registers(hub: Hub): Generator<[upstream: string, LwwRegister]> {
  for (const upstream of hub.overridden) {
    const state = hub.states.get(overrideName(upstream));
    if (state?.kind === "lww-register") yield [upstream, state];
  }
}

function registerOf(hub: Hub, name: string): LwwRegister {
  const known = hub.states.get(name);
  return known?.kind === "lww-register" ? known : createLwwRegister();
}

function isCursor(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 && value <= LEVEL_COUNT;
}

function isTargetList(value: unknown): value is string[] {
  return (
    Array.isArray(value) &&
    value.length <= MAX_DRAINED_TARGETS &&
    value.every((target) => typeof target === "string" && target.length <= MAX_TARGET_CHARS)
  );
}
