// The laws that make loss, duplicates and reordering harmless, for every type: 20,000 runs each, about ten
// seconds in all. LAW_RUNS=1000 npx vitest run test/unit/crdt is for those who wait.

import { describe } from "vitest";
import { createBoundedCounter, mergeBoundedCounters } from "../../../src/crdt/bounded-counter.ts";
import { createCallVectors, mergeCallVectors } from "../../../src/crdt/call-vectors.ts";
import { decodeStates } from "../../../src/crdt/decode.ts";
import { encodeStates } from "../../../src/crdt/encode.ts";
import { createGCounter, gCounterValue, mergeGCounters } from "../../../src/crdt/g-counter.ts";
import { createLwwRegister, mergeLwwRegisters } from "../../../src/crdt/lww-register.ts";
import { createMembership, mergeMemberships } from "../../../src/crdt/membership.ts";
import { createPnCounter, mergePnCounters } from "../../../src/crdt/pn-counter.ts";
import type { Replicated } from "../../../src/crdt/replicated.ts";
import {
  copyState,
  mergeStateInto,
  sameState,
  stateSince,
  stateVersion,
} from "../../../src/crdt/replicated.ts";
import { createSlidingWindow, mergeSlidingWindows } from "../../../src/crdt/sliding-window.ts";
import { fc, test } from "../resilience/property.ts";
import {
  boundedCounters,
  callVectors,
  gCounters,
  lwwRegisters,
  memberships,
  pnCounters,
  slidingWindows,
} from "./states.ts";

const RUNS = { numRuns: Number(process.env["LAW_RUNS"] ?? 20_000) };
const TIMEOUT_MS = 120_000;

/** In place on a copy: what a hub does. */
function joined(left: Replicated, right: Replicated): Replicated {
  const copy = copyState(left);
  mergeStateInto(copy, right, stateVersion(left) + 1);
  return copy;
}

/** A replica that got these states one after the other, at versions 1, 2, ... */
function replicaOf(empty: Replicated, arrivals: readonly Replicated[]): Replicated {
  const replica = copyState(empty);
  for (const [index, arrival] of arrivals.entries()) mergeStateInto(replica, arrival, index + 1);
  return replica;
}

function decoded(state: Replicated): Replicated | null {
  const encoded = encodeStates([{ name: "x", state }]);
  if (encoded.kind !== "encoded") return null;
  const answer = decodeStates(encoded.bytes);
  return answer.kind === "decoded" ? answer.entries[0].state : null;
}

function lawsOf<State extends Replicated>(
  states: fc.Arbitrary<State>,
  empty: State,
  merge: (left: State, right: State) => State,
): void {
  describe(`${empty.kind}: the laws`, { timeout: TIMEOUT_MS }, () => {
    test("merge is commutative, associative, idempotent and never below its arguments", ({ expect }) => {
      fc.assert(
        fc.property(states, states, states, (a, b, c) => {
          const ab = merge(a, b);
          expect(sameState(ab, merge(b, a))).toBe(true);
          expect(sameState(merge(ab, c), merge(a, merge(b, c)))).toBe(true);
          expect(sameState(merge(a, a), a) && sameState(merge(a, empty), a)).toBe(true);
          expect(sameState(merge(ab, a), ab) && sameState(merge(ab, b), ab)).toBe(true);
          expect(sameState(joined(a, b), ab)).toBe(true);
        }),
        RUNS,
      );
    });

    test("merge changes neither argument, its notes included", ({ expect }) => {
      fc.assert(
        fc.property(states, states, (a, b) => {
          const before = structuredClone([a, b]);
          const merged = merge(a, b);
          mergeStateInto(merged, b, 99);
          mergeStateInto(merged, a, 100);
          expect([a, b]).toEqual(before);
        }),
        { numRuns: Math.ceil(RUNS.numRuns / 10) },
      );
    });

    test("the delta since an acknowledged version does what the whole state does", ({ expect }) => {
      const arrivals = fc.array(states, { maxLength: 5 });
      fc.assert(
        fc.property(states, arrivals, fc.nat({ max: 5 }), (other, got, cut) => {
          const acknowledged = Math.min(cut, got.length);
          const whole = replicaOf(empty, got);
          const peer = joined(other, replicaOf(empty, got.slice(0, acknowledged)));
          const delta = stateSince(whole, acknowledged);
          expect(sameState(joined(peer, delta), joined(peer, whole))).toBe(true);
          expect(sameState(stateSince(whole, 0), whole)).toBe(true);
        }),
        RUNS,
      );
    });

    test("any order and number of deltas ends as the whole state does", ({ expect }) => {
      const orders = fc.array(fc.nat({ max: 4 }), { maxLength: 8 });
      fc.assert(
        fc.property(fc.array(states, { minLength: 1, maxLength: 5 }), orders, (got, order) => {
          const steps = got.map((_, index) => replicaOf(empty, got.slice(0, index + 1)));
          const deltas = steps.map((step, index) => stateSince(step, index));
          const sent = [...order.map((index) => deltas[index % deltas.length]), ...deltas.toReversed()];
          expect(sameState(replicaOf(empty, sent), steps[steps.length - 1])).toBe(true);
        }),
        RUNS,
      );
    });

    test("decode(encode(x)) is x", ({ expect }) => {
      fc.assert(
        fc.property(states, (state) => {
          const answer = decoded(state);
          expect(answer !== null && sameState(answer, state)).toBe(true);
        }),
        RUNS,
      );
    });
  });
}

lawsOf(gCounters, createGCounter(), mergeGCounters);
lawsOf(pnCounters, createPnCounter(), mergePnCounters);
lawsOf(slidingWindows, createSlidingWindow(), mergeSlidingWindows);
lawsOf(callVectors, createCallVectors(), mergeCallVectors);
lawsOf(boundedCounters, createBoundedCounter(), mergeBoundedCounters);
lawsOf(lwwRegisters, createLwwRegister(), mergeLwwRegisters);
lawsOf(memberships, createMembership(), mergeMemberships);

test("the value of a g-counter never falls", ({ expect }) => {
  fc.assert(
    fc.property(gCounters, gCounters, (a, b) => {
      const value = gCounterValue(mergeGCounters(a, b));
      expect(value).toBeGreaterThanOrEqual(Math.max(gCounterValue(a), gCounterValue(b)));
    }),
    RUNS,
  );
});
