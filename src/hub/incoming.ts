// What a hub believes of another hub's states, and what it does when they show that its own stored numbers
// were lost. From a region only its own rows are taken; of ours, only what this boot could not have known.

import { cellAt } from "../crdt/cells.ts";
import { MINT } from "../crdt/bounded-counter.ts";
import { believedCalls, createCallVectors } from "../crdt/call-vectors.ts";
import { receiveStamp } from "../crdt/hybrid-clock.ts";
import { believedRegister, createLwwRegister, latestStamp } from "../crdt/lww-register.ts";
import { believedMembership, createMembership } from "../crdt/membership.ts";
import type { Replicated } from "../crdt/replicated.ts";
import {
  KIND_MISMATCH,
  claimsMoreThanOwn,
  countRows,
  mergeStateInto,
  stateSince,
} from "../crdt/replicated.ts";
import { believedWindow, createSlidingWindow } from "../crdt/sliding-window.ts";
import { addToGCounter, createGCounter } from "../crdt/g-counter.ts";
import { createBoundedCounter } from "../crdt/bounded-counter.ts";
import { regionOf } from "../crdt/slot-id.ts";
import type { NamedState } from "../crdt/wire-format.ts";
import type { Hub } from "./hub.ts";
import { MAX_STATES, markChanged, nextVersion, putState, startDurableEpoch } from "./hub.ts";
import { isEmptyAfter, keptOf } from "./limit-book.ts";
import type { StateName } from "./names.ts";
import { KIND_OF_FAMILY, isDurable, isShared, parseStateName } from "./names.ts";
import { OVERRIDE_DRIFT_MS } from "./overrides.ts";
import { isOldQuota } from "./quota-book.ts";
import { CALL_SLOTS, CALL_SLOT_MS } from "./upstream-book.ts";

export interface Merged {
  readonly raised: number;
  /** Whether class D has gone on under a new identity. */
  readonly amnesia: boolean;
}

/** Merges the states that the hub of `from` has sent. */
export function mergeIncoming(
  hub: Hub,
  from: string,
  entries: readonly NamedState<Replicated>[],
  now: number,
): Merged {
  let raised = 0;
  let amnesia = false;
  for (const { name, state } of entries) {
    const parsed = parseStateName(name);
    if (parsed === null || !isShared(name) || state.kind !== KIND_OF_FAMILY[parsed.family]) continue;
    const believed = believe(hub, parsed, name, state, from, now);
    if (believed === null || countRows(believed) === 0) continue;
    const own = hub.states.get(name);
    if (own === undefined && hub.states.size >= MAX_STATES) continue;
    if (isDurable(name) && claimsMoreThanOwn(own ?? emptyOf(state.kind), believed, hub.durableSlot)) {
      startDurableEpoch(hub);
      amnesia = true;
    }
    const hidden = own === undefined ? 0 : hiddenBy(hub, name, own, believed);
    raised += mergeOne(hub, name, parsed, own, believed, now);
    if (hidden > 0) addUnderNewSlot(hub, name, hidden, now);
  }
  return { raised, amnesia };
}

/**
 * What this boot has added to a counter under an identity of which a peer knows more: it would be hidden by
 * the greater number. Whoever got it under that identity has it hidden as well, so it may be added again.
 */
function hiddenBy(hub: Hub, name: string, own: Replicated, claim: Replicated): number {
  if (own.kind !== "g-counter" || claim.kind !== "g-counter") return 0;
  if (!claimsMoreThanOwn(own, claim, hub.foundSlot)) return 0;
  const added = cellAt(own.cells, hub.foundSlot, 0) - (hub.foundTotals.get(name) ?? 0);
  hub.foundTotals.set(name, cellAt(claim.cells, hub.foundSlot, 0));
  return added;
}

function addUnderNewSlot(hub: Hub, name: string, units: number, now: number): void {
  const counter = hub.states.get(name);
  if (counter?.kind !== "g-counter") return;
  addToGCounter(counter, hub.durableSlot, units, nextVersion(hub, now));
  markChanged(hub, name);
}

function mergeOne(
  hub: Hub,
  name: string,
  parsed: StateName,
  own: Replicated | undefined,
  believed: Replicated,
  now: number,
): number {
  const target = own ?? emptyOf(believed.kind);
  const raised = mergeStateInto(target, believed, hub.version + 1);
  if (raised === KIND_MISMATCH || raised === 0) return 0;
  nextVersion(hub, now);
  if (target.kind === "sliding-window" && "cellMs" in parsed) {
    if (isEmptyAfter(target, name, now)) {
      hub.states.delete(name);
      return 0;
    }
  }
  putState(hub, name, target);
  if (isDurable(name)) hub.unstoredForeign.add(name);
  if (target.kind === "lww-register") followClock(hub, target, now);
  return raised;
}

/** The rows that the sender may speak for, without what a wrong clock wrote. */
function believe(
  hub: Hub,
  parsed: StateName,
  name: string,
  state: Replicated,
  from: string,
  now: number,
): Replicated | null {
  const keep = (writer: string): boolean => {
    if (writer === MINT || writer === hub.ephemeralSlot) return writer === MINT;
    const region = regionOf(writer);
    return region === from || region === hub.region;
  };
  // Membership rows are all regions': each carries its own stamp, so a relayed one is as good as any.
  const spoken = state.kind === "membership" ? state : stateSince(state, 0, keep);
  switch (spoken.kind) {
    case "sliding-window":
      return "cellMs" in parsed ? believedWindow(spoken, now, parsed.cellMs, keptOf(name)) : null;
    case "call-vectors":
      return believedCalls(spoken, now, CALL_SLOT_MS, CALL_SLOTS);
    case "lww-register":
      return believedRegister(spoken, now, OVERRIDE_DRIFT_MS);
    case "membership":
      return believedMembership(spoken, now, OVERRIDE_DRIFT_MS);
    case "bounded-counter":
      return isOldQuota(name, now) ? null : spoken;
    default:
      return spoken;
  }
}

function followClock(hub: Hub, register: ReturnType<typeof createLwwRegister>, now: number): void {
  const latest = latestStamp(register);
  if (latest === null) return;
  const received = receiveStamp(hub.clock, latest, now, OVERRIDE_DRIFT_MS);
  if (received.kind === "received") hub.clock = received.clock;
}

function emptyOf(kind: Replicated["kind"]): Replicated {
  switch (kind) {
    case "g-counter":
      return createGCounter();
    case "sliding-window":
      return createSlidingWindow();
    case "bounded-counter":
      return createBoundedCounter();
    case "lww-register":
      return createLwwRegister();
    case "call-vectors":
      return createCallVectors();
    default:
      return createMembership();
  }
}
