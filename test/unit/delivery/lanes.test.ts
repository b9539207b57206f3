// Order per key: who is first, who may run, what a replayed job does to those that came after it.

import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  createLanes,
  headOf,
  isFirst,
  isFollowed,
  joinLane,
  leaveLane,
  runningOf,
  setRunning,
} from "../../../src/delivery/core/lanes.ts";

describe("a lane", () => {
  it("lets its first job run and no other", () => {
    const lanes = createLanes();
    for (const seq of [1, 2, 3]) joinLane(lanes, "k", seq);
    expect([1, 2, 3].map((seq) => isFirst(lanes, "k", seq))).toEqual([true, false, false]);
    leaveLane(lanes, "k", 2);
    leaveLane(lanes, "k", 1);
    expect(isFirst(lanes, "k", 3)).toBe(true);
    expect(isFollowed(lanes, "k", 3)).toBe(false);
    leaveLane(lanes, "k", 3);
    expect(lanes.byKey.size).toBe(0);
  });

  it("holds a replayed job in front of the others, but not before the one that runs has ended", () => {
    const lanes = createLanes();
    joinLane(lanes, "k", 2);
    joinLane(lanes, "k", 3);
    setRunning(lanes, "k", 2);
    joinLane(lanes, "k", 1);
    expect(headOf(lanes, "k")).toBe(1);
    expect([1, 2, 3].filter((seq) => isFirst(lanes, "k", seq))).toEqual([]);
    expect(runningOf(lanes, "k")).toBe(2);
    leaveLane(lanes, "k", 2);
    expect([1, 3].filter((seq) => isFirst(lanes, "k", seq))).toEqual([1]);
  });

  it("does not concern jobs without a key, nor those of other keys", () => {
    const lanes = createLanes();
    joinLane(lanes, "k", 1);
    expect(isFirst(lanes, null, 2)).toBe(true);
    joinLane(lanes, "l", 2);
    expect(isFirst(lanes, "l", 2)).toBe(true);
  });

  it("is always in order and holds nobody twice", () => {
    const steps = fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 12 })), {
      maxLength: 60,
      size: "max",
    });
    fc.assert(
      fc.property(steps, (all) => {
        const lanes = createLanes();
        const model = new Set<number>();
        for (const [joins, seq] of all) {
          if (joins) joinLane(lanes, "k", seq);
          else leaveLane(lanes, "k", seq);
          if (joins) model.add(seq);
          else model.delete(seq);
          expect(lanes.byKey.get("k")?.seqs ?? []).toEqual([...model].toSorted((a, b) => a - b));
        }
      }),
    );
  });
});
