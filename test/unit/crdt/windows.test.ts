import { describe, it } from "vitest";
import {
  addCalls,
  believedCalls,
  callVectorsSince,
  createCallVectors,
  expireCalls,
  mergeCallVectorsInto,
  sumCalls,
} from "../../../src/crdt/call-vectors.ts";
import { MAX_TOTAL } from "../../../src/crdt/cells.ts";
import { claimsMoreThanOwn, countRows, writtenIn } from "../../../src/crdt/replicated.ts";
import type { SlidingWindow } from "../../../src/crdt/sliding-window.ts";
import {
  addToWindow,
  believedWindow,
  createSlidingWindow,
  expireWindow,
  mergeSlidingWindowInto,
  mergeSlidingWindows,
  slidingWindowSince,
  windowEstimate,
  windowTotal,
} from "../../../src/crdt/sliding-window.ts";
import type { SlotId } from "../../../src/crdt/slot-id.ts";
import { AHEAD_MS, horizonAt } from "../../../src/crdt/timed-cells.ts";
import { fc, test } from "../resilience/property.ts";

const MINUTE = 60_000;
const GRACE_MS = 5000;
const WEUR: SlotId = "weur.0.0.1";
const ENAM: SlotId = "enam.0.0.4";

/** 100 in the first minute, 30 in the second. */
function twoMinutes(): SlidingWindow {
  const window = createSlidingWindow();
  addToWindow(window, 10_000, MINUTE, WEUR, 60, 1);
  addToWindow(window, 20_000, MINUTE, ENAM, 40, 2);
  addToWindow(window, MINUTE + 1, MINUTE, WEUR, 30, 3);
  return window;
}

describe("sliding window", () => {
  it("the window before counts by what of it is still within reach", ({ expect }) => {
    const window = twoMinutes();
    expect(windowEstimate(window, MINUTE, MINUTE)).toBe(130);
    expect(windowEstimate(window, MINUTE + 15_000, MINUTE)).toBe(105);
    expect(windowEstimate(window, 2 * MINUTE - 1, MINUTE)).toBeCloseTo(30, 1);
    expect(windowEstimate(window, 2 * MINUTE, MINUTE)).toBe(30);
    expect(windowEstimate(window, 3 * MINUTE, MINUTE)).toBe(0);
    expect(windowEstimate(window, 10_000, MINUTE)).toBe(100);
  });

  it("unkey: a region's own part can be told from the others'", ({ expect }) => {
    const window = twoMinutes();
    expect(windowTotal(window, 30_000, MINUTE, writtenIn("weur"))).toBe(60);
    expect(windowTotal(window, 30_000, MINUTE, (writer) => !writtenIn("weur")(writer))).toBe(40);
    expect(windowEstimate(window, MINUTE + 30_000, MINUTE, writtenIn("weur"))).toBe(60);
  });

  it("limitador: a cell that is over is ignored in a merge, both ways, and does not come back", ({
    expect,
  }) => {
    const late = slidingWindowSince(twoMinutes(), 0);
    const window = twoMinutes();
    expireWindow(window, 3 * MINUTE + GRACE_MS, MINUTE, GRACE_MS);
    expect(countRows(window)).toBe(0);
    expect(mergeSlidingWindowInto(window, late, 4)).toBe(0);
    expect(countRows(window)).toBe(0);
    expect(countRows(mergeSlidingWindows(late, window))).toBe(0);
    expect(addToWindow(window, MINUTE, MINUTE, WEUR, 1, 5)).toBe("expired");
  });

  it("the window before stays for as long as skew and gossip may need it", ({ expect }) => {
    const window = twoMinutes();
    expireWindow(window, 2 * MINUTE + GRACE_MS - 1, MINUTE, GRACE_MS);
    expect(windowTotal(window, 0, MINUTE)).toBe(100);
    expireWindow(window, 2 * MINUTE + GRACE_MS, MINUTE, GRACE_MS);
    expect(windowTotal(window, 0, MINUTE)).toBe(0);
    expect(windowTotal(window, MINUTE, MINUTE)).toBe(30);
  });

  it("a clock that steps back does not move the horizon back", ({ expect }) => {
    const window = twoMinutes();
    expireWindow(window, 10 * MINUTE, MINUTE, 0);
    expireWindow(window, MINUTE, MINUTE, 0);
    expect(window.timed.horizon).toBe(9);
    expect(horizonAt(0, MINUTE, 1, GRACE_MS)).toBe(0);
  });

  it("a peer's clock can neither fill the future nor wipe out the present", ({ expect }) => {
    const now = MINUTE + 30_000;
    const claim = createSlidingWindow();
    addToWindow(claim, now + MINUTE, MINUTE, ENAM, 5, 1);
    addToWindow(claim, now + 2 * MINUTE, MINUTE, ENAM, 7, 2);
    const wiping = createSlidingWindow();
    expireWindow(wiping, 1000 * MINUTE, MINUTE, 0);
    const window = twoMinutes();
    mergeSlidingWindowInto(window, believedWindow(claim, now, MINUTE), 4);
    mergeSlidingWindowInto(window, believedWindow(wiping, now, MINUTE), 5);
    expect(windowEstimate(window, now, MINUTE)).toBe(80);
    expect(windowTotal(window, now + MINUTE, MINUTE)).toBe(5);
    expect(windowTotal(window, now + 2 * MINUTE, MINUTE)).toBe(0);
  });

  it("a peer's clock may be a little ahead of short cells", ({ expect }) => {
    const claim = createSlidingWindow();
    addToWindow(claim, MINUTE + AHEAD_MS, 50, ENAM, 5, 1);
    addToWindow(claim, MINUTE + AHEAD_MS + 50, 50, ENAM, 7, 2);
    const window = createSlidingWindow();
    mergeSlidingWindowInto(window, believedWindow(claim, MINUTE, 50), 1);
    expect(windowTotal(window, MINUTE + AHEAD_MS, 50)).toBe(5);
    expect(windowTotal(window, MINUTE + AHEAD_MS + 50, 50)).toBe(0);
  });

  it("refuses invalid amounts and overflow without leaving a trace", ({ expect }) => {
    const window = createSlidingWindow();
    expect(addToWindow(window, 0, MINUTE, WEUR, 0, 1)).toBe("invalid-amount");
    expect(window.timed.spans).toEqual([]);
    expect(addToWindow(window, 0, MINUTE, WEUR, MAX_TOTAL, 1)).toBe("added");
    expect(addToWindow(window, 0, MINUTE, WEUR, 1, 2)).toBe("overflow");
  });

  it("a claim about our own slot is found in any window", ({ expect }) => {
    const claim = createSlidingWindow();
    addToWindow(claim, 5 * MINUTE, MINUTE, WEUR, 1, 1);
    expect(claimsMoreThanOwn(twoMinutes(), claim, WEUR)).toBe(true);
    expect(claimsMoreThanOwn(twoMinutes(), claim, ENAM)).toBe(false);
  });

  test("memory is bounded by the clock: no more spans than kept, current, ahead and grace", ({ expect }) => {
    const times = fc.array(fc.tuple(fc.nat({ max: 100 * MINUTE }), fc.nat({ max: 100 * MINUTE })));
    fc.assert(
      fc.property(times, (steps) => {
        const window = createSlidingWindow();
        let now = 0;
        for (const [index, [later, at]] of steps.entries()) {
          now += later;
          const received = createSlidingWindow();
          addToWindow(received, at, MINUTE, ENAM, 1, 1);
          expireWindow(window, now, MINUTE, GRACE_MS);
          mergeSlidingWindowInto(window, believedWindow(received, now, MINUTE), index + 1);
          expect(window.timed.spans.length).toBeLessThanOrEqual(4);
        }
      }),
    );
  });
});

describe("call vectors", () => {
  const SLOT_MS = 1000;
  const SLOTS = 10;
  const counts = { ok: 7, failRemote: 2, failLocal: 1, slow: 3 };

  it("sums the last time slots, by region and over all", ({ expect }) => {
    const vectors = createCallVectors();
    addCalls(vectors, 1500, SLOT_MS, WEUR, counts, 1);
    addCalls(vectors, 1900, SLOT_MS, WEUR, counts, 2);
    addCalls(vectors, 10_500, SLOT_MS, ENAM, counts, 3);
    expect(sumCalls(vectors, 10_999, SLOT_MS, SLOTS)).toEqual({
      ok: 21,
      failRemote: 6,
      failLocal: 3,
      slow: 9,
    });
    expect(sumCalls(vectors, 11_000, SLOT_MS, SLOTS)).toEqual(counts);
    expect(sumCalls(vectors, 10_999, SLOT_MS, SLOTS, writtenIn("weur")).ok).toBe(14);
  });

  it("a vector is added whole or not at all", ({ expect }) => {
    const vectors = createCallVectors();
    const none = { ok: 0, failRemote: 0, failLocal: 0, slow: 0 };
    expect(addCalls(vectors, 0, SLOT_MS, WEUR, { ...counts, slow: -1 }, 1)).toBe("invalid-amount");
    expect(addCalls(vectors, 0, SLOT_MS, WEUR, none, 1)).toBe("invalid-amount");
    addCalls(vectors, 0, SLOT_MS, WEUR, { ...none, slow: MAX_TOTAL }, 1);
    expect(addCalls(vectors, 0, SLOT_MS, WEUR, counts, 2)).toBe("overflow");
    expect(sumCalls(vectors, 0, SLOT_MS, SLOTS)).toEqual({ ...none, slow: MAX_TOTAL });
  });

  it("two boots of one region never share a vector", ({ expect }) => {
    const vectors = createCallVectors();
    const twin = createCallVectors();
    addCalls(vectors, 0, SLOT_MS, "weur.0.0.1", counts, 1);
    addCalls(twin, 0, SLOT_MS, "weur.0.0.2", counts, 1);
    mergeCallVectorsInto(vectors, twin, 2);
    expect(sumCalls(vectors, 0, SLOT_MS, SLOTS).ok).toBe(14);
  });

  it("old time slots go, unbelievable ones never come", ({ expect }) => {
    const vectors = createCallVectors();
    addCalls(vectors, 0, SLOT_MS, WEUR, counts, 1);
    addCalls(vectors, 20_000, SLOT_MS, WEUR, counts, 2);
    expect(countRows(believedCalls(vectors, 0, SLOT_MS, SLOTS))).toBe(1);
    expireCalls(vectors, 20_000, SLOT_MS, SLOTS, 0);
    expect(countRows(vectors)).toBe(1);
    expect(countRows(callVectorsSince(vectors, 2))).toBe(0);
    expect(callVectorsSince(vectors, 2).timed.horizon).toBe(10);
  });
});
