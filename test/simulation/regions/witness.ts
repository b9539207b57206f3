// Sees all of a world at once and knows what must never be: counts what isolates attempted and what was
// acknowledged to them, what capped limits let through, and who has which identity. What is wrong ends the
// run with a Violation that names the invariant.

import { gCounterSlots } from "../../../src/crdt/g-counter.ts";
import { regionOf } from "../../../src/crdt/slot-id.ts";
import type { GossipMessage } from "../../../src/hub/gossip.ts";
import type { Hub } from "../../../src/hub/hub.ts";
import { parseStateName, usageName } from "../../../src/hub/names.ts";
import type { Report } from "../../../src/hub/protocol.ts";
import { MAX_CELLS } from "../../../src/hub/window-cells.ts";
import type { ObjectStore } from "./object-store.ts";

/** Cells of one window that a hub may keep: those of it, the oldest, grace for skew, and one ahead. */
const MOST_SPANS = 2 * MAX_CELLS + 10;

export class Violation extends Error {
  readonly invariant: string;

  constructor(invariant: string, text: string) {
    super(`${invariant}: ${text}`);
    this.invariant = invariant;
  }
}

interface UsageTally {
  attempted: number;
  acknowledged: number;
  /** Counted or not, nobody can know. */
  ambiguous: number;
}

export class Witness {
  /** Regions whose storage was lost: what was acknowledged before may be missing. */
  readonly forgetful = new Set<string>();
  /** Units of capped limits that hubs may have leased twice because their storage was lost. */
  leasedTwice = 0;
  readonly #usage = new Map<string, UsageTally>();
  readonly #capped = new Map<string, number>();
  readonly #ephemeral = new Set<string>();
  readonly #durable = new Set<string>();
  readonly #lastDurable = new WeakMap<Hub, string>();
  readonly #horizons = new WeakMap<Hub, Map<object, number>>();
  #seen = new Map<string, Map<string, number>>();

  fail(invariant: string, text: string): never {
    throw new Violation(invariant, text);
  }

  attempted(region: string, counter: string, key: string, by: number): void {
    this.#tally(region, usageName(counter, key)).attempted += by;
  }

  acknowledged(region: string, report: Report): void {
    for (const { counter, key, by } of report.counts) {
      this.#tally(region, usageName(counter, key)).acknowledged += by;
    }
  }

  ambiguous(region: string, report: Report): void {
    for (const { counter, key, by } of report.counts) {
      this.#tally(region, usageName(counter, key)).ambiguous += by;
    }
  }

  /** A capped limit's units have been taken, or given back: never more than the cap at any instant (I4). */
  capped(limit: string, key: string, period: number, units: number, cap: number): void {
    const id = `${limit} ${key} ${period}`;
    const used = (this.#capped.get(id) ?? 0) + units;
    this.#capped.set(id, used);
    if (units > 0 && used > cap + this.leasedTwice) this.fail("I4", `${used} of ${cap} in ${id}`);
  }

  /** What was let through per limit, key and period. */
  cappedUses(): ReadonlyMap<string, number> {
    return this.#capped;
  }

  /** Identities have one writer (I5): a boot's is new, a durable one is not taken up again. */
  booted(hub: Hub): void {
    if (this.#ephemeral.has(hub.ephemeralSlot)) this.fail("I5", `${hub.ephemeralSlot} has had another boot`);
    this.#ephemeral.add(hub.ephemeralSlot);
    this.#lastDurable.set(hub, hub.durableSlot);
    this.#durable.add(hub.durableSlot);
  }

  served(hub: Hub): void {
    if (regionOf(hub.durableSlot) !== hub.region) this.fail("I5", `${hub.durableSlot} in ${hub.region}`);
  }

  gossiped(message: GossipMessage): void {
    if (message.version < 0) this.fail("I1", "a version below zero");
  }

  looked(hub: Hub, store: ObjectStore): void {
    void store;
    const before = this.#lastDurable.get(hub);
    if (before === hub.durableSlot) return;
    if (this.#durable.has(hub.durableSlot)) this.fail("I5", `${hub.durableSlot} was somebody else's`);
    this.#durable.add(hub.durableSlot);
    this.#lastDurable.set(hub, hub.durableSlot);
  }

  /** Memory stays bounded (I7), and what has expired stays away (I6). */
  inspect(hub: Hub, sessionsEver: number): void {
    const horizons = this.#horizons.get(hub) ?? new Map<object, number>();
    this.#horizons.set(hub, horizons);
    if (hub.sessions.size > sessionsEver) this.fail("I7", `${hub.sessions.size} sessions`);
    for (const [name, state] of hub.states) {
      if (state.kind !== "sliding-window") continue;
      const { horizon, spans } = state.timed;
      if (spans.length > MOST_SPANS) this.fail("I7", `${spans.length} spans in ${name} of ${hub.region}`);
      if (horizon < (horizons.get(state) ?? 0)) this.fail("I6", `the horizon of ${name} went back`);
      horizons.set(state, horizon);
      if (spans.some(({ index }) => index < horizon)) this.fail("I6", `an expired cell in ${name}`);
    }
  }

  /** After everything is over: no window is left, and of quotas the periods that are kept. */
  inspectQuiet(hub: Hub): void {
    for (const name of hub.states.keys()) {
      const family = parseStateName(name)?.family;
      if (family === "used" || family === "claimed" || family === "regional" || family === "quota") {
        this.fail("I7", `${name} is still kept in ${hub.region}`);
      }
    }
    if (hub.limits.size > 0 || hub.quotas.size > 0) this.fail("I7", `books are still kept in ${hub.region}`);
  }

  /** A read of a hub's usage counters: own part between acknowledged and attempted (I2), never less (I8). */
  readUsage(hub: Hub): void {
    const seen = this.#seen.get(hub.region) ?? new Map<string, number>();
    this.#seen.set(hub.region, seen);
    for (const [id, tally] of this.#usage) {
      const [region, name] = splitId(id);
      const sum = sumOf(hub, name, region);
      const isCertain = !this.forgetful.has(region);
      if (isCertain && sum > tally.attempted) {
        this.fail("I2", `${hub.region} reads ${sum} of ${tally.attempted} attempted: ${id}`);
      }
      if (isCertain && region === hub.region && sum < tally.acknowledged) {
        this.fail("I2", `${hub.region} reads ${sum} of ${tally.acknowledged} acknowledged: ${id}`);
      }
      if (sum < (seen.get(id) ?? 0) && !this.forgetful.has(hub.region)) {
        this.fail("I8", `${hub.region} read ${seen.get(id)} and then ${sum}: ${id}`);
      }
      seen.set(id, sum);
    }
  }

  /** The final value: all that was acknowledged, and of the rest no more than nobody can know (I3). */
  readFinalUsage(hub: Hub): void {
    for (const [id, { attempted, acknowledged, ambiguous }] of this.#usage) {
      const [region, name] = splitId(id);
      const sum = sumOf(hub, name, region);
      if (this.forgetful.has(region)) continue;
      if (sum < acknowledged || sum > acknowledged + ambiguous) {
        const known = `${acknowledged} acknowledged, ${ambiguous} ambiguous, ${attempted} attempted`;
        this.fail("I3", `${hub.region} ends with ${sum}: ${id}, ${known}`);
      }
    }
  }

  /** Sums over everything, for reports. */
  usageTotals(): UsageTally {
    const totals = { attempted: 0, acknowledged: 0, ambiguous: 0 };
    for (const tally of this.#usage.values()) {
      totals.attempted += tally.attempted;
      totals.acknowledged += tally.acknowledged;
      totals.ambiguous += tally.ambiguous;
    }
    return totals;
  }

  #tally(region: string, name: string): UsageTally {
    const id = `${region} ${name}`;
    const known = this.#usage.get(id);
    if (known !== undefined) return known;
    const tally = { attempted: 0, acknowledged: 0, ambiguous: 0 };
    this.#usage.set(id, tally);
    return tally;
  }
}

function splitId(id: string): [region: string, name: string] {
  const at = id.indexOf(" ");
  return [id.slice(0, at), id.slice(at + 1)];
}

/** What a hub believes that one region has counted. */
function sumOf(hub: Hub, name: string, region: string): number {
  const state = hub.states.get(name);
  if (state?.kind !== "g-counter") return 0;
  let sum = 0;
  for (const [slot, value] of Object.entries(gCounterSlots(state))) {
    if (regionOf(slot) === region) sum += value;
  }
  return sum;
}
