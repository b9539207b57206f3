// Whether hubs that had time to exchange everything know the same (I1).

import type { Replicated } from "../../../src/crdt/replicated.ts";
import { copyState, sameState } from "../../../src/crdt/replicated.ts";
import { advanceHorizon } from "../../../src/crdt/timed-cells.ts";
import type { Hub } from "../../../src/hub/hub.ts";
import { isShared, parseStateName } from "../../../src/hub/names.ts";
import type { Witness } from "./witness.ts";

/** Compares every shared state of all hubs. Of windows what none of them has forgotten by its own clock. */
export function checkEqual(witness: Witness, hubs: readonly Hub[]): void {
  const names = new Set(hubs.flatMap((hub) => [...hub.states.keys()]));
  for (const name of names) {
    if (!isShared(name)) continue;
    const family = parseStateName(name)?.family;
    // A period or a window that is over is dropped by each hub's own clock.
    if (family === "quota" && hubs.some((hub) => !hub.states.has(name))) continue;
    const [first, ...others] = hubs;
    for (const other of others) {
      if (!isSame(first.states.get(name), other.states.get(name))) {
        witness.fail("I1", `${first.region} and ${other.region} differ in ${name}`);
      }
    }
  }
}

function isSame(left: Replicated | undefined, right: Replicated | undefined): boolean {
  // Both have dropped what a third still keeps by its own clock.
  if (left === undefined && right === undefined) return true;
  if (left?.kind === "sliding-window" || right?.kind === "sliding-window") {
    if (left?.kind !== "sliding-window" || right?.kind !== "sliding-window") return true;
    const horizon = Math.max(left.timed.horizon, right.timed.horizon);
    return sameState(windowFrom(left, horizon), windowFrom(right, horizon));
  }
  return left !== undefined && right !== undefined && sameState(left, right);
}

function windowFrom(window: Replicated, horizon: number): Replicated {
  const copy = copyState(window);
  if (copy.kind === "sliding-window") advanceHorizon(copy.timed, horizon);
  return copy;
}
