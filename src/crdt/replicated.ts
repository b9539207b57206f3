// All types as one union, for those who keep many of them by name: merge, delta and equality by `kind`.
//
// A peer that sends a state of another kind under a known name is answered with KIND_MISMATCH, and nothing
// changes.

import type { BoundedCounter } from "./bounded-counter.ts";
import {
  MINT,
  boundedCounterSince,
  copyBoundedCounter,
  giverOf,
  mergeBoundedCounterInto,
  sameBoundedCounter,
} from "./bounded-counter.ts";
import type { CallVectors } from "./call-vectors.ts";
import { callVectorsSince, copyCallVectors, mergeCallVectorsInto, sameCallVectors } from "./call-vectors.ts";
import type { Cells } from "./cells.ts";
import { claimsMore, createCells } from "./cells.ts";
import type { GCounter } from "./g-counter.ts";
import { copyGCounter, gCounterSince, mergeGCounterInto, sameGCounter } from "./g-counter.ts";
import type { LwwRegister } from "./lww-register.ts";
import { copyLwwRegister, lwwRegisterSince, mergeLwwRegisterInto, sameLwwRegister } from "./lww-register.ts";
import type { Membership } from "./membership.ts";
import { copyMembership, membershipSince, mergeMembershipInto, sameMembership } from "./membership.ts";
import type { PnCounter } from "./pn-counter.ts";
import { copyPnCounter, mergePnCounterInto, pnCounterSince, samePnCounter } from "./pn-counter.ts";
import type { SlidingWindow } from "./sliding-window.ts";
import {
  copySlidingWindow,
  mergeSlidingWindowInto,
  sameSlidingWindow,
  slidingWindowSince,
} from "./sliding-window.ts";
import type { SlotId, WriterFilter } from "./slot-id.ts";
import { regionOf } from "./slot-id.ts";
import type { TimedCells } from "./timed-cells.ts";

export type Replicated =
  | GCounter
  | PnCounter
  | SlidingWindow
  | CallVectors
  | BoundedCounter
  | LwwRegister
  | Membership;

/** What `mergeStateInto` answers for two different kinds. */
export const KIND_MISMATCH = -1;

/** A state of its own with the same content. */
export function copyState(state: Replicated): Replicated {
  switch (state.kind) {
    case "g-counter":
      return copyGCounter(state);
    case "pn-counter":
      return copyPnCounter(state);
    case "sliding-window":
      return copySlidingWindow(state);
    case "call-vectors":
      return copyCallVectors(state);
    case "bounded-counter":
      return copyBoundedCounter(state);
    case "lww-register":
      return copyLwwRegister(state);
    case "membership":
      return copyMembership(state);
  }
}

/** Merges in place; returns how many rows were raised, or KIND_MISMATCH. */
export function mergeStateInto(target: Replicated, source: Replicated, version: number): number {
  switch (target.kind) {
    case "g-counter":
      return source.kind === target.kind ? mergeGCounterInto(target, source, version) : KIND_MISMATCH;
    case "pn-counter":
      return source.kind === target.kind ? mergePnCounterInto(target, source, version) : KIND_MISMATCH;
    case "sliding-window":
      return source.kind === target.kind ? mergeSlidingWindowInto(target, source, version) : KIND_MISMATCH;
    case "call-vectors":
      return source.kind === target.kind ? mergeCallVectorsInto(target, source, version) : KIND_MISMATCH;
    case "bounded-counter":
      return source.kind === target.kind ? mergeBoundedCounterInto(target, source, version) : KIND_MISMATCH;
    case "lww-register":
      return source.kind === target.kind ? mergeLwwRegisterInto(target, source, version) : KIND_MISMATCH;
    case "membership":
      return source.kind === target.kind ? mergeMembershipInto(target, source, version) : KIND_MISMATCH;
  }
}

/** What was raised after version `since`, as a state to be merged elsewhere. Everything when it is 0. */
export function stateSince(state: Replicated, since: number, keep?: WriterFilter): Replicated {
  switch (state.kind) {
    case "g-counter":
      return gCounterSince(state, since, keep);
    case "pn-counter":
      return pnCounterSince(state, since, keep);
    case "sliding-window":
      return slidingWindowSince(state, since, keep);
    case "call-vectors":
      return callVectorsSince(state, since, keep);
    case "bounded-counter":
      return boundedCounterSince(state, since, keep);
    case "lww-register":
      return lwwRegisterSince(state, since, keep);
    case "membership":
      return membershipSince(state, since, keep);
  }
}

/** The version of the last change here: a peer that acknowledged it needs nothing. */
export function stateVersion(state: Replicated): number {
  switch (state.kind) {
    case "g-counter":
    case "pn-counter":
      return state.cells.version;
    case "sliding-window":
    case "call-vectors":
      return state.timed.version;
    case "bounded-counter":
      return Math.max(state.transfers.version, state.uses.version);
    case "lww-register":
    case "membership":
      return state.version;
  }
}

/** Rows in all: what a message's size is measured by, and an alarm when writers multiply. */
export function countRows(state: Replicated): number {
  switch (state.kind) {
    case "g-counter":
    case "pn-counter":
      return state.cells.ids.length;
    case "sliding-window":
    case "call-vectors":
      return state.timed.spans.reduce((rows, span) => rows + span.cells.ids.length, 0);
    case "bounded-counter":
      return state.transfers.ids.length + state.uses.ids.length;
    case "lww-register":
      return state.writes.size;
    case "membership":
      return state.rows.size;
  }
}

/** Equal content; versions do not count. Different kinds are never equal. */
export function sameState(left: Replicated, right: Replicated): boolean {
  switch (left.kind) {
    case "g-counter":
      return right.kind === left.kind && sameGCounter(left, right);
    case "pn-counter":
      return right.kind === left.kind && samePnCounter(left, right);
    case "sliding-window":
      return right.kind === left.kind && sameSlidingWindow(left, right);
    case "call-vectors":
      return right.kind === left.kind && sameCallVectors(left, right);
    case "bounded-counter":
      return right.kind === left.kind && sameBoundedCounter(left, right);
    case "lww-register":
      return right.kind === left.kind && sameLwwRegister(left, right);
    case "membership":
      return right.kind === left.kind && sameMembership(left, right);
  }
}

/**
 * Whether a peer knows more about the caller's own slot than the caller does. Then the caller lost what it
 * had stored (it goes on in a new epoch), or the claim is false. Only counters can tell.
 */
export function claimsMoreThanOwn(own: Replicated, claim: Replicated, slot: SlotId): boolean {
  if (own.kind === "bounded-counter" && claim.kind === "bounded-counter") {
    const given = claim.transfers.ids.filter((transfer) => giverOf(transfer) === slot);
    if (given.some((transfer) => claimsMore(own.transfers, claim.transfers, transfer))) return true;
    return claimsMore(own.uses, claim.uses, slot);
  }
  const ours = cellsBySpan(own);
  for (const [index, cells] of cellsBySpan(claim)) {
    if (claimsMore(ours.get(index) ?? createCells(cells.width), cells, slot)) return true;
  }
  return false;
}

/**
 * Takes what was written in one region: what a region sends to all others in a mesh. Minted rights are
 * nobody's slot and go with every region's.
 */
export function writtenIn(region: string): WriterFilter {
  return (writer) => writer === MINT || regionOf(writer) === region;
}

const UNTIMED = -1;

function cellsBySpan(state: Replicated): Map<number, Cells> {
  if (state.kind === "g-counter" || state.kind === "pn-counter") return new Map([[UNTIMED, state.cells]]);
  if (state.kind !== "sliding-window" && state.kind !== "call-vectors") return new Map();
  return new Map(timedEntries(state.timed));
}

function timedEntries(timed: TimedCells): [number, Cells][] {
  return timed.spans.map((span) => [span.index, span.cells]);
}
