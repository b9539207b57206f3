// A call that is refused while others go well: what becomes of its permit, of its request and of the limits.

import { describe, it } from "vitest";
import { resizeBulkhead, takeLastPermit, waitAtBulkhead } from "../../../src/resilience/bulkhead.ts";
import { SampleFate } from "../../../src/resilience/concurrency-limit.ts";
import { restsUntil } from "../../../src/resilience/crowding.ts";
import { LEVEL_COUNT } from "../../../src/resilience/level.ts";
import { Outcome } from "../../../src/resilience/outcome.ts";
import { NO_PERMIT, createPermits, restPermit, takePermit } from "../../../src/resilience/permits.ts";
import { createRandom } from "../../../src/resilience/random.ts";
import type { LoadVerdict } from "../../../src/resilience/regional-load.ts";
import type { UpstreamControl } from "../../../src/resilience/upstream-control.ts";
import {
  createUpstreamControl,
  finishTry,
  noteOriginal,
  scheduleRetry,
  takeUpstreamPermit,
} from "../../../src/resilience/upstream-control.ts";
import { followLoad } from "../../../src/resilience/upstream-loops.ts";

const NOW = 1_800_000_000_000;
const TOOK_MS = 2;
const VERDICT: LoadVerdict = {
  cursor: LEVEL_COUNT,
  fraction: 0,
  cut: 0,
  limit: 3,
  ceiling: 50,
  isFull: true,
  hasSpare: false,
  retries: 5,
};

/** An isolate whose region knows that three are its part of all there is, and whose calls have gone well. */
function full(verdict: Partial<LoadVerdict> = {}, adaptive = true): UpstreamControl {
  const control = createUpstreamControl({
    timeoutMs: 10_000,
    breaker: null,
    concurrency: { max: 1000, waiting: 64, maxWaitMs: 100, adaptive },
    retryBudget: 0.1,
    targetWeights: [1],
  });
  followLoad(control, { ...VERDICT, ...verdict }, NOW);
  control.medianMs = 80;
  control.servedAt = NOW;
  return control;
}

function refuse(
  control: UpstreamControl,
  permit: number,
  inflight = control.bulkhead.permits.inUse,
): boolean {
  const refused = { outcome: Outcome.failRemote, fate: SampleFate.refused, target: 0, retryAfterAt: 0 };
  const result = { ...refused, inflight, latencyMs: TOOK_MS, startedAt: NOW };
  return finishTry(control, 0, permit, result, NOW + TOOK_MS, createRandom(1));
}

describe("a call that is crowded out", () => {
  it("leaves its permit to rest for as long as the upstream usually takes", ({ expect }) => {
    const control = full();
    const { bulkhead } = control;
    const permits = [1, 1, 1].map((trafficClass) => takeUpstreamPermit(control, trafficClass, NOW));
    let isServed = false;
    waitAtBulkhead(bulkhead, 1, NOW + 200, NOW, (permit) => (isServed = permit !== NO_PERMIT));
    expect(refuse(control, permits[0])).toBe(true);
    expect([isServed, bulkhead.permits.inUse]).toEqual([false, 3]);
    expect(takeUpstreamPermit(control, 1, NOW + TOOK_MS + 79)).toBe(NO_PERMIT);
    expect(isServed).toBe(false);
    takeUpstreamPermit(control, 1, NOW + TOOK_MS + 80);
    expect([isServed, bulkhead.permits.limit]).toEqual([true, 3]);
  });

  it("lets its permit rest ten milliseconds at least and a second at most", ({ expect }) => {
    expect([0, 1, 400, 1000, 5000].map((medianMs) => restsUntil(medianMs, NOW) - NOW)).toEqual([
      100, 10, 400, 1000, 1000,
    ]);
  });

  it("is none when nothing has gone well for half a second, and gives its permit back", ({ expect }) => {
    const control = full();
    control.servedAt = NOW - 500;
    const permit = takeUpstreamPermit(control, 1, NOW);
    expect(refuse(control, permit)).toBe(false);
    expect(control.bulkhead.permits.inUse).toBe(0);
  });

  it("may be the first of several that comes back, for a fifth of a second", ({ expect }) => {
    const crowded = [0, 199, 200].map((sinceMs) => {
      // A limit that is cut has an opinion of its own.
      const control = full({ isFull: false }, false);
      control.servedAt = Number.NEGATIVE_INFINITY;
      control.begunAt = NOW + TOOK_MS - sinceMs;
      return refuse(control, takeUpstreamPermit(control, 1, NOW), 2);
    });
    expect(crowded).toEqual([true, true, false]);
  });

  it("is none when it is alone, before anything went well and after", ({ expect }) => {
    const crowded = [Number.NEGATIVE_INFINITY, NOW].map((servedAt) => {
      const control = full({ isFull: false });
      control.servedAt = servedAt;
      control.begunAt = NOW;
      return refuse(control, takeUpstreamPermit(control, 1, NOW));
    });
    expect(crowded).toEqual([false, false]);
  });

  it("may have been alone where the region knows a bound, or others call, too", ({ expect }) => {
    const known = [{ isFull: true }, { isFull: false, isShared: true }, { isFull: false, regionLimit: 100 }];
    const alone = known.map((verdict) => {
      const control = full(verdict);
      control.begunAt = NOW - 5_000;
      return refuse(control, takeUpstreamPermit(control, 1, NOW));
    });
    expect(alone).toEqual([true, true, false]);
  });

  it("teaches the isolate's own limit nothing where the region knows a bound", ({ expect }) => {
    const limits = [true, false].map((isFull) => {
      const control = full({ isFull, limit: 8 });
      const permits = Array.from({ length: 8 }, () => takeUpstreamPermit(control, 1, NOW));
      refuse(control, permits[7]);
      return control.bulkhead.permits.limit;
    });
    expect(limits).toEqual([8, 7]);
  });

  it("puts the most important class back in line, within the budget, while the cursor cuts", ({ expect }) => {
    const control = full({ cursor: 200, retries: 1 });
    noteOriginal(control, NOW);
    expect(scheduleRetry(control, NOW)).toBe(false);
    expect(scheduleRetry(control, NOW, true)).toBe(true);
    expect(scheduleRetry(control, NOW, true)).toBe(false);
  });
});

describe("a wait that was in vain", () => {
  it("ends with one permit more than there are for the most important class alone", ({ expect }) => {
    const control = full();
    const { bulkhead } = control;
    for (let index = 0; index < 3; index++) takeUpstreamPermit(control, 1, NOW);
    expect(takeUpstreamPermit(control, 0, NOW)).toBe(NO_PERMIT);
    expect(takeLastPermit(bulkhead, NOW, 1)).toBe(NO_PERMIT);
    const last = Array.from({ length: 20 }, () => takeLastPermit(bulkhead, NOW, 0));
    expect(last.filter((permit) => permit !== NO_PERMIT)).toHaveLength(4);
  });

  it("ends with up to 16 more, or twice the limit, where the upstream is not known to refuse", ({
    expect,
  }) => {
    const last = [3, 20].map((limit) => {
      const { bulkhead } = full({ isFull: false, limit });
      const taken = Array.from({ length: 60 }, () => takeLastPermit(bulkhead, NOW, 0));
      return taken.filter((permit) => permit !== NO_PERMIT).length;
    });
    expect(last).toEqual([3 + 16, 20 + 20]);
  });

  it("gives the most important class a few permits more than a lowered limit still drains", ({ expect }) => {
    const { bulkhead } = full({ isFull: false, limit: 60, ceiling: 1000 });
    for (let index = 0; index < 80; index++) takePermit(bulkhead.permits, NOW, 1_000, 20);
    resizeBulkhead(bulkhead, 10, NOW);
    // 70 above the limit and a tenth of that, and 4; 80 are in flight.
    const taken = Array.from({ length: 60 }, () => takeLastPermit(bulkhead, NOW, 0));
    expect(taken.filter((permit) => permit !== NO_PERMIT)).toHaveLength(77 + 4 - 70);
  });

  it("never ends with more than is configured", ({ expect }) => {
    const { bulkhead } = full({ limit: 3, ceiling: 3 });
    for (let index = 0; index < 3; index++) takeLastPermit(bulkhead, NOW, 0);
    expect(takeLastPermit(bulkhead, NOW, 0)).toBe(NO_PERMIT);
  });

  it("says nothing about the limit when even that is refused, and leaves nothing to rest", ({ expect }) => {
    const control = full();
    for (let index = 0; index < 3; index++) takeUpstreamPermit(control, 1, NOW);
    expect(refuse(control, takeLastPermit(control.bulkhead, NOW, 0))).toBe(true);
    expect([control.sums.refused, control.bulkhead.permits.inUse]).toEqual([0, 3]);
    expect(control.tally.signals).toBe(1);
  });
});

describe("a permit that rests", () => {
  it("is none that has come back", ({ expect }) => {
    const permits = createPermits(1);
    const first = takePermit(permits, NOW, 10);
    expect(takePermit(permits, NOW + 10, 1000)).not.toBe(NO_PERMIT);
    restPermit(permits, first, NOW + 20);
    restPermit(permits, NO_PERMIT, NOW + 20);
    expect(takePermit(permits, NOW + 21, 10)).toBe(NO_PERMIT);
  });
});
