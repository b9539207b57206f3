// What one hub knows: the states that regions merge, under their names, and what is only its own business.
// Nothing here sends, stores, waits or reads a clock: the object around it does, and the simulator.
//
// Every change gets a version, counted per boot. A peer is sent what is younger than the version that it
// acknowledged. What must be stored before it is acknowledged is marked; storage.ts makes rows of it.
//
// Two identities (slots): class E, in memory only, is named by the boot number, so a restart never continues
// numbers that it has forgotten. Class D, stored before it is acknowledged, keeps its epoch over restarts;
// it changes only when a peer proves that stored numbers were lost. Both are new even when the count of boots
// was lost with everything else: they are never smaller than the seconds of the clock at the boot. Until it
// is proved, a store that lost everything adds to the old identity; what this boot has added under it moves
// to the new one, counter by counter, when a peer shows a greater number.
//
//   boot   = max(stored boot + 1, now in seconds)
//   epoch' = max(epoch + 1, boot)                   at a proven loss

import { cellAt } from "../crdt/cells.ts";
import type { Stamp } from "../crdt/hybrid-clock.ts";
import { FIRST_STAMP, compareStamps } from "../crdt/hybrid-clock.ts";
import { latestStamp } from "../crdt/lww-register.ts";
import { presentRegions } from "../crdt/membership.ts";
import type { Replicated } from "../crdt/replicated.ts";
import { copyState } from "../crdt/replicated.ts";
import type { SlotId } from "../crdt/slot-id.ts";
import { MAX_EPOCH, slotIdOf } from "../crdt/slot-id.ts";
import type { BreakerTransition } from "../resilience/breaker-state.ts";
import { hashText } from "../resilience/level.ts";
import type { RandomSource } from "../resilience/random.ts";
import { createRandom } from "../resilience/random.ts";
import type { BulkheadBooks } from "./bulkhead-book.ts";
import type { LimitBook } from "./limit-room.ts";
import type { LoadBook } from "./load-book.ts";
import type { LoadChange } from "./load-status.ts";
import { MEMBERSHIP_NAME, isDurable } from "./names.ts";
import type { Peer } from "./peers.ts";
import { peerOf } from "./peers.ts";
import type { QuotaBook } from "./quota-book.ts";
import type { Session } from "./sessions.ts";
import type { UpstreamBook } from "./upstream-book.ts";
import type { BreakerStatus } from "./upstream-protocol.ts";

/** States that one hub keeps at most; past it new keys are counted under one that stands for the rest. */
export const MAX_STATES = 200_000;

/** Series of metrics that one hub adds up; further ones are not counted. */
export const MAX_SERIES = 20_000;

/** What a hub needs from its storage to go on. */
export interface StoredHub {
  /** Boots so far; 0: this is the first one. */
  readonly boot: number;
  readonly durableEpoch: number;
  readonly states: ReadonlyMap<string, Replicated>;
  readonly sessions: ReadonlyMap<string, number>;
}

export const NOTHING_STORED: StoredHub = {
  boot: 0,
  durableEpoch: 0,
  states: new Map(),
  sessions: new Map(),
};

/** What happened since the boot, for metrics. */
export interface HubTally {
  reports: number;
  duplicates: number;
  refused: number;
  leases: number;
  gossipSent: number;
  gossipReceived: number;
  rowsRaised: number;
  amnesia: number;
  /** States that no message can carry, each time that one should have. */
  unsendable: number;
}

/** Whether anybody is there: a region that is not in use says so, one that is becomes a peer. */
export interface Greeting {
  askedAt: number;
  /** Greetings without an answer since the last one. */
  unanswered: number;
}

export interface Hub {
  readonly region: string;
  readonly shard: number;
  /** Greater than that of any boot before: the epoch of class E, and what peers know this store by. */
  readonly boot: number;
  readonly bootedAt: number;
  durableEpoch: number;
  ephemeralSlot: SlotId;
  durableSlot: SlotId;
  /** The identity that class D had at the boot, and what its counters were found with, by name. */
  readonly foundSlot: SlotId;
  readonly foundTotals: Map<string, number>;
  /** Of the last change here. */
  version: number;
  clock: Stamp;
  readonly states: Map<string, Replicated>;
  /** Upstreams that have an override register. */
  readonly overridden: Set<string>;
  readonly sessions: Map<string, Session>;
  /** When each isolate has last spoken. */
  readonly present: Map<string, number>;
  presence: { readonly isolates: number; readonly countedAt: number };
  readonly limits: Map<string, LimitBook>;
  readonly quotas: Map<string, QuotaBook>;
  readonly upstreams: Map<string, UpstreamBook>;
  /** Circuits that were stored as open, by upstream; null: nobody has looked yet. */
  openAtBoot: Map<string, BreakerStatus> | null;
  readonly loads: Map<string, LoadBook>;
  readonly bulkheads: BulkheadBooks;
  /** Metrics of all isolates since the boot, by series. */
  readonly metrics: Map<string, number>;
  readonly peers: Map<string, Peer>;
  /** Names whose state must be stored before anything that depends on it is answered. */
  readonly unstored: Set<string>;
  /** Names whose state came from other regions: stored when there is time. */
  readonly unstoredForeign: Set<string>;
  readonly unstoredSessions: Set<string>;
  readonly droppedSessions: Set<string>;
  metaUnstored: boolean;
  /** When somebody last used this region's hub, and when anything last changed here. */
  usedAt: number;
  changedAt: number;
  /** Whether peers should hear of a change at once instead of with the next round. */
  urgent: boolean;
  /** Whether a request waits for their answer: no pause is made before they are told. */
  awaited: boolean;
  /** When this region was used for the first time, if that was in this boot; whether others were greeted. */
  announcedAt: number;
  hasGreeted: boolean;
  /** Regions that are no peers and have been greeted. */
  readonly greetings: Map<string, Greeting>;
  /** Breakers that moved, for the log; whoever writes it takes them out. */
  readonly transitions: HubTransition[];
  /** Cursors that began or ceased to cut and limits that moved, likewise. */
  readonly loadChanges: LoadChange[];
  /** For jitter. Seeded by who the hub is and which boot, so that a run can be repeated. */
  readonly random: RandomSource;
  readonly tally: HubTally;
}

/** A move of an upstream's breaker, with the numbers that decided it. */
export interface HubTransition extends Partial<BreakerTransition> {
  readonly upstream: string;
}

/** A hub at its boot: what was stored, and a boot number that nobody has used before. Store it before use. */
export function bootHub(region: string, shard: number, stored: StoredHub, now: number): Hub {
  const boot = Math.min(Math.max(stored.boot + 1, Math.floor(now / 1_000)), MAX_EPOCH);
  const hub: Hub = {
    region,
    shard,
    boot,
    bootedAt: now,
    durableEpoch: stored.durableEpoch,
    ephemeralSlot: slotOf(region, shard, boot),
    durableSlot: slotOf(region, shard, stored.durableEpoch),
    foundSlot: slotOf(region, shard, stored.durableEpoch),
    foundTotals: new Map(),
    version: 1,
    clock: FIRST_STAMP,
    states: new Map(),
    overridden: new Set(),
    sessions: new Map(),
    present: new Map(),
    presence: { isolates: 0, countedAt: Number.NEGATIVE_INFINITY },
    limits: new Map(),
    quotas: new Map(),
    upstreams: new Map(),
    openAtBoot: null,
    loads: new Map(),
    bulkheads: new Map(),
    metrics: new Map(),
    peers: new Map(),
    unstored: new Set(),
    unstoredForeign: new Set(),
    unstoredSessions: new Set(),
    droppedSessions: new Set(),
    metaUnstored: true,
    usedAt: Number.NEGATIVE_INFINITY,
    changedAt: now,
    urgent: false,
    awaited: false,
    announcedAt: Number.NEGATIVE_INFINITY,
    hasGreeted: false,
    greetings: new Map(),
    transitions: [],
    loadChanges: [],
    random: createRandom(hashText(region, boot)),
    tally: {
      reports: 0,
      duplicates: 0,
      refused: 0,
      leases: 0,
      gossipSent: 0,
      gossipReceived: 0,
      rowsRaised: 0,
      amnesia: 0,
      unsendable: 0,
    },
  };
  for (const [name, state] of stored.states) {
    // Copied: a state that is stored elsewhere must not change under the hands of who stored it.
    putState(hub, name, copyState(state));
    followStamps(hub, state);
  }
  const membership = hub.states.get(MEMBERSHIP_NAME);
  for (const other of membership?.kind === "membership" ? presentRegions(membership) : []) {
    if (other !== region) peerOf(hub, other);
  }
  noteFoundTotals(hub);
  for (const [id, seq] of stored.sessions) hub.sessions.set(id, { seq, seenAt: now, stored: seq });
  return hub;
}

/** Keeps a state under its name. */
export function putState(hub: Hub, name: string, state: Replicated): void {
  hub.states.set(name, state);
  if (state.kind === "lww-register" && name.startsWith("o:")) hub.overridden.add(name.slice("o:".length));
}

/** Counts a change and gives its version. */
export function nextVersion(hub: Hub, now: number): number {
  hub.changedAt = now;
  hub.version++;
  return hub.version;
}

/** Marks a state as changed by this hub itself. */
export function markChanged(hub: Hub, name: string): void {
  if (isDurable(name)) hub.unstored.add(name);
}

/** Class D goes on under a new identity: a peer has proved that the old one's last numbers were lost. */
export function startDurableEpoch(hub: Hub): void {
  hub.durableEpoch = Math.min(Math.max(hub.durableEpoch + 1, hub.boot), MAX_EPOCH);
  hub.durableSlot = slotOf(hub.region, hub.shard, hub.durableEpoch);
  hub.metaUnstored = true;
  hub.tally.amnesia++;
}

/**
 * What a boot adds to a counter is known by what it was found with. A store that has never heard of another
 * region has all that is in it from its own life: nothing of it can be older than a loss.
 */
function noteFoundTotals(hub: Hub): void {
  if (hub.peers.size === 0) return;
  for (const [name, state] of hub.states) {
    const total = state.kind === "g-counter" ? cellAt(state.cells, hub.foundSlot, 0) : 0;
    if (total > 0) hub.foundTotals.set(name, total);
  }
}

/** What was stamped before the boot stays before what is stamped after it, whatever the clock says now. */
function followStamps(hub: Hub, state: Replicated): void {
  const stamps: (Stamp | null)[] = [];
  if (state.kind === "lww-register") stamps.push(latestStamp(state));
  if (state.kind === "membership") stamps.push(state.rows.get(hub.region)?.stamp ?? null);
  for (const stamp of stamps) {
    if (stamp !== null && compareStamps(stamp, hub.clock) > 0) hub.clock = stamp;
  }
}

function slotOf(region: string, shard: number, epoch: number): SlotId {
  const slot = slotIdOf({ region, shard, sub: 0, epoch });
  if (slot === null) throw new Error(`no slot: ${region}.${shard}.0.${epoch}`);
  return slot;
}
