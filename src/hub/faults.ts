// Faults between hubs, for local development: an operator cuts regions off from each other, loses, doubles
// and delays what they say. Applied to each message on its way, in either direction.

import type { RandomSource } from "../resilience/random.ts";
import { nextRandom } from "../resilience/random.ts";
import { isRegion } from "../crdt/slot-id.ts";

/** A message is held back at most this long. */
export const MAX_FAULT_DELAY_MS = 60_000;
const MAX_REGIONS = 64;

export interface Faults {
  /** Regions of different groups do not reach each other; one that is in no group reaches all. */
  readonly partition: readonly (readonly string[])[];
  /** Part of messages that are lost, and that arrive twice. */
  readonly loss: number;
  readonly duplicate: number;
  readonly delayMs: number;
}

export const NO_FAULTS: Faults = { partition: [], loss: 0, duplicate: 0, delayMs: 0 };

export type ParsedFaults =
  | { readonly kind: "faults"; readonly faults: Faults; readonly abort: readonly string[] }
  | { readonly kind: "invalid"; readonly rule: string };

/** What becomes of one message. */
export interface Passage {
  readonly arrives: boolean;
  readonly twice: boolean;
  readonly delayMs: number;
}

const CLEAR: Passage = { arrives: true, twice: false, delayMs: 0 };

/** Reads `{partition?, loss?, duplicate?, delayMs?, abort?}`; whatever is left out is no fault. */
export function parseFaults(value: unknown): ParsedFaults {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return invalid("the body must be an object");
  }
  const {
    partition = [],
    loss = 0,
    duplicate = 0,
    delayMs = 0,
    abort = [],
    ...rest
  }: Record<string, unknown> = {
    ...value,
  };
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) {
    return invalid(`${unknown}: unknown, there are partition, loss, duplicate, delayMs, abort`);
  }
  if (!isGroups(partition)) return invalid("partition: must be a list of lists of regions, each region once");
  if (!isPart(loss)) return invalid("loss: must be a number from 0 to 1");
  if (!isPart(duplicate)) return invalid("duplicate: must be a number from 0 to 1");
  if (typeof delayMs !== "number" || !(delayMs >= 0 && delayMs <= MAX_FAULT_DELAY_MS)) {
    return invalid(`delayMs: must be a number from 0 to ${MAX_FAULT_DELAY_MS}`);
  }
  if (!isRegions(abort)) return invalid("abort: must be a list of regions");
  return { kind: "faults", faults: { partition, loss, duplicate, delayMs }, abort };
}

/** Draws what becomes of a message from one region to another. */
export function passageOf(faults: Faults, from: string, to: string, random: RandomSource): Passage {
  if (faults === NO_FAULTS) return CLEAR;
  if (isCut(faults, from, to)) return { arrives: false, twice: false, delayMs: 0 };
  const arrives = nextRandom(random) >= faults.loss;
  const twice = nextRandom(random) < faults.duplicate;
  return { arrives, twice, delayMs: faults.delayMs };
}

function isCut({ partition }: Faults, from: string, to: string): boolean {
  const groupOf = (region: string): number => partition.findIndex((group) => group.includes(region));
  const [one, other] = [groupOf(from), groupOf(to)];
  return one >= 0 && other >= 0 && one !== other;
}

function invalid(rule: string): ParsedFaults {
  return { kind: "invalid", rule };
}

function isPart(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= 1;
}

function isRegions(value: unknown): value is string[] {
  return (
    Array.isArray(value) &&
    value.length <= MAX_REGIONS &&
    value.every((region) => typeof region === "string" && isRegion(region))
  );
}

function isGroups(value: unknown): value is string[][] {
  if (!Array.isArray(value) || !value.every((group) => isRegions(group))) return false;
  const all: string[] = value.flat();
  return all.length <= MAX_REGIONS && new Set(all).size === all.length;
}
