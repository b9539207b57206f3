import { describe, it } from "vitest";
import { LEVEL_COUNT } from "../../../src/resilience/level.ts";
import type { LoadVerdict } from "../../../src/resilience/regional-load.ts";
import { createRegionalLoad, isLoadRegional } from "../../../src/resilience/regional-load.ts";
import { VERDICT_MS } from "../../../src/resilience/regional-breaker.ts";
import type { UpstreamControl } from "../../../src/resilience/upstream-control.ts";
import {
  createUpstreamControl,
  noteArrival,
  noteOriginal,
  scheduleRetry,
  settleRequest,
  takeUpstreamPermit,
} from "../../../src/resilience/upstream-control.ts";
import { SampleFate } from "../../../src/resilience/concurrency-limit.ts";
import { NO_PERMIT } from "../../../src/resilience/permits.ts";
import { waitAtBulkhead } from "../../../src/resilience/bulkhead.ts";
import {
  followLoad,
  regionPermitsOf,
  standAlone,
  takeLoad,
  wantsPermits,
} from "../../../src/resilience/upstream-loops.ts";
import { fc, test } from "./property.ts";

const NOW = 1_800_000_000_000;
const VERDICT: LoadVerdict = {
  cursor: LEVEL_COUNT,
  fraction: 0,
  cut: 0,
  limit: 50,
  ceiling: 100,
  hasSpare: false,
  retries: 0,
};

function controlOf(): UpstreamControl {
  return createUpstreamControl({
    timeoutMs: 10_000,
    breaker: null,
    concurrency: { max: 1000, waiting: 64, maxWaitMs: 100, adaptive: true },
    retryBudget: 0.1,
    targetWeights: [1],
  });
}

/** An isolate that its region steers. */
function steered(verdict: Partial<LoadVerdict> = {}): UpstreamControl {
  const control = controlOf();
  followLoad(control, { ...VERDICT, ...verdict }, NOW);
  return control;
}

/** Many requests that all fail, under which an isolate's own loop sheds. */
function failAll(control: UpstreamControl, from: number): void {
  for (let index = 0; index < 400; index++) {
    const now = from + index * 5;
    noteArrival(control, 300 + (index % 100), now);
    control.tally.signals++;
    settleRequest(control, false);
  }
}

describe("a verdict", () => {
  it("is none before the first one", ({ expect }) => {
    expect(isLoadRegional(createRegionalLoad(), NOW)).toBe(false);
  });

  it("holds for as long as nothing is reported", ({ expect }) => {
    expect(isLoadRegional(steered().regional, NOW + 86_400_000)).toBe(true);
  });

  it("holds for four seconds after the first report that no other one has answered", ({ expect }) => {
    const control = steered();
    takeLoad(control, NOW + 1000);
    takeLoad(control, NOW + 3000);
    expect(isLoadRegional(control.regional, NOW + 1000 + VERDICT_MS - 1)).toBe(true);
    expect(isLoadRegional(control.regional, NOW + 1000 + VERDICT_MS)).toBe(false);
    followLoad(control, VERDICT, NOW + 4500);
    expect(isLoadRegional(control.regional, NOW + 1000 + VERDICT_MS)).toBe(true);
  });

  it("moves cursor, permits and ceiling at once", ({ expect }) => {
    const control = steered({ cursor: 200, fraction: 0.5, cut: 0.4 });
    expect(control.shed).toMatchObject({ cursor: 200, fraction: 0.5, cut: 0.4 });
    expect(control.bulkhead.permits.limit).toBe(50);
    expect(control.bulkhead.ceiling).toBe(100);
  });
});

describe("an upstream that comes back", () => {
  it("gets nothing beyond its limit at once, and then again", ({ expect }) => {
    const control = steered({ isReturning: true });
    expect(control.bulkhead.ceiling).toBe(50);
    expect(control.bulkhead.most).toBe(100);
    followLoad(control, VERDICT, NOW + 1000);
    expect(control.bulkhead.ceiling).toBe(100);
  });
});

describe("the loops of an isolate", () => {
  it("rest while the region steers, and go on from there when it is gone", ({ expect }) => {
    const control = steered({ cursor: 300, fraction: 0.5, cut: 0.3 });
    failAll(control, NOW);
    expect(control.shed.cursor).toBe(300);
    takeLoad(control, NOW + 2000);
    const gone = NOW + 2000 + VERDICT_MS;
    noteArrival(control, 0, gone);
    expect(control.bulkhead.permits.limit).toBe(50);
    expect(control.bulkhead.ceiling).toBe(1000);
    expect(control.shed.cut).toBeGreaterThan(0);
    expect(control.shed.cut).toBeLessThanOrEqual(0.3);
    failAll(control, gone);
    expect(control.shed.cursor).toBeLessThan(400);
  });

  it("keep what has arrived while the region steered, for a ramp and for when it is gone", ({ expect }) => {
    const control = steered();
    for (let index = 0; index < 100; index++) noteArrival(control, 50, NOW + index);
    takeLoad(control, NOW + 100);
    expect(control.tally.arrivals[50]).toBe(0);
    expect(control.shed.histogram[50]).toBe(100);
  });
});

describe("retries", () => {
  test("that the region granted are never exceeded", () => {
    fc.assert(
      fc.property(fc.nat({ max: 30 }), fc.nat({ max: 60 }), (granted, wanted) => {
        const control = steered({ retries: granted });
        for (let index = 0; index < 1000; index++) noteOriginal(control, NOW);
        let made = 0;
        for (let index = 0; index < wanted; index++) if (scheduleRetry(control, NOW)) made++;
        return made === Math.min(granted, wanted) && control.sums.retries === made;
      }),
    );
  });

  it("that the region has not heard of are part of what it grants next", ({ expect }) => {
    const control = steered({ retries: 5 });
    takeLoad(control, NOW);
    expect([1, 2].map(() => scheduleRetry(control, NOW))).toEqual([true, true]);
    followLoad(control, { ...VERDICT, retries: 3 }, NOW + 20);
    expect([1, 2].map(() => scheduleRetry(control, NOW))).toEqual([true, false]);
  });

  it("that the region granted count in the own budget, which goes on when the hub is gone", ({ expect }) => {
    const control = steered({ retries: 8 });
    for (let index = 0; index < 8; index++) scheduleRetry(control, NOW);
    takeLoad(control, NOW);
    const alone = NOW + VERDICT_MS;
    const made = Array.from({ length: 20 }, () => scheduleRetry(control, alone)).filter(Boolean);
    // A floor of ten within ten seconds.
    expect(made).toHaveLength(10 - 8);
  });
});

/** An isolate with all its permits out and somebody in line. */
function crowded(verdict: Partial<LoadVerdict>): UpstreamControl {
  const control = steered({ limit: 10, ceiling: 10, ...verdict });
  while (takeUpstreamPermit(control, 1, NOW) !== NO_PERMIT);
  waitAtBulkhead(control.bulkhead, 1, NOW + 100, NOW, () => {});
  return control;
}

describe("asking for permits at once", () => {
  it("helps who stands in line while the region has some to spare", ({ expect }) => {
    expect(wantsPermits(crowded({ hasSpare: true }), NOW)).toBe(true);
    expect(wantsPermits(crowded({ hasSpare: false }), NOW)).toBe(false);
    expect(wantsPermits(steered({ hasSpare: true }), NOW)).toBe(false);
  });

  it("does not help against the isolate's own limit", ({ expect }) => {
    const control = crowded({ hasSpare: true });
    control.regional.limit = 11;
    expect(wantsPermits(control, NOW)).toBe(false);
  });
});

describe("an isolate whose hub does not answer", () => {
  it("begins with twenty permits where it has never been told any, and grows by one at a time", ({
    expect,
  }) => {
    const control = controlOf();
    standAlone(control, NOW);
    expect(control.bulkhead.permits.limit).toBe(20);
    const { limit } = control;
    // A window of ten samples and 100 ms, all of its permits in use, all well.
    for (let at = 0; at <= 100; at += 10) {
      limit.observe(50, 20, 20, NOW + at, SampleFate.served, NOW + 50 + at);
    }
    expect(limit.current).toBe(21);
  });

  it("goes on with what it has when it asks in vain again, or had been told before", ({ expect }) => {
    const control = controlOf();
    standAlone(control, NOW);
    control.limit.follow(null);
    control.limit.forget();
    standAlone(control, NOW + 1000);
    expect(control.limit.current).toBe(1000);
    const told = steered();
    standAlone(told, NOW + 1000);
    expect(told.bulkhead.permits.limit).toBe(50);
  });

  it("knows of its region what it was told while that steers, else of itself", ({ expect }) => {
    const control = steered({ regionLimit: 400 });
    expect(regionPermitsOf(control, NOW)).toBe(400);
    takeLoad(control, NOW);
    expect(regionPermitsOf(control, NOW + VERDICT_MS)).toBe(50);
    expect(regionPermitsOf(steered(), NOW)).toBe(50);
  });
});
