// What limits admit beyond their units, in the real code under simulated load: four regions of eight
// isolates, 3-9 ms to the hub, 40-120 ms between regions, a gossip round of a second.

import { describe, it } from "vitest";
import type { LimitLoad } from "./regions/limit-load.ts";
import { summarize } from "./regions/limit-load.ts";
import { PERIODIC_1S, UNKEY, tidegate } from "./regions/limit-policies.ts";
import type { FewUnits } from "./regions/limit-probes.ts";
import { admitAtOnce, admitEvenly, admitInTurn, offerFew, offerTwice } from "./regions/limit-probes.ts";

const SEEDS = [1, 2, 3, 4];

type Load = Omit<LimitLoad, "seed">;

describe("a global limit", () => {
  it.for<[name: string, overshoot: number, load: Load]>([
    ["a steady load of twice the limit", 0.01, { units: 1_000, rho: 2, shape: "steady" }],
    ["a steady load of ten times the limit", 0.01, { units: 1_000, rho: 10, shape: "steady" }],
    ["a burst of twice the limit", 0.05, { units: 1_000, rho: 2, shape: "burst" }],
    ["a burst of ten times the limit", 0.3, { units: 1_000, rho: 10, shape: "burst" }],
    ["a burst of ten times a small limit", 0.3, { units: 100, rho: 10, shape: "burst" }],
    ["a burst of twice a large limit", 0.05, { units: 10_000, rho: 2, shape: "burst" }],
    ["a burst of ten times a large limit", 0.3, { units: 10_000, rho: 10, shape: "burst" }],
    [
      "a burst of twice the limit in regions that never met",
      0.05,
      { units: 1_000, rho: 2, shape: "burst", policy: tidegate(false) },
    ],
    [
      "a burst of ten times the limit in regions that never met",
      0.3,
      { units: 1_000, rho: 10, shape: "burst", policy: tidegate(false) },
    ],
  ])("admits little more than its units under %s", ([, most, load], { expect }) => {
    const summary = summarize(load, SEEDS);
    expect(summary.cold, JSON.stringify(summary)).toBeLessThanOrEqual(most);
    expect(summary.warm, JSON.stringify(summary)).toBeLessThanOrEqual(most);
    // And it is not kept by refusing everybody.
    expect(summary.cold, JSON.stringify(summary)).toBeGreaterThan(-0.15);
  });

  it.for<[ms: number, most: number, mean: number]>([
    [3_000, 1.05, 1.01],
    [1_000, 1.1, 1.02],
  ])(
    "admits all of its units under twice as many in three regions within %s ms",
    ([ms, most, mean], { expect }) => {
      for (const units of [100, 300, 1_000]) {
        const parts = Array.from({ length: 24 }, (_, at) => admitEvenly(at + 1, units, 2, ms) / units);
        const text = JSON.stringify(parts);
        expect(Math.min(...parts), text).toBeGreaterThanOrEqual(0.95);
        expect(Math.max(...parts), text).toBeLessThanOrEqual(most);
        expect(parts.reduce((sum, part) => sum + part) / parts.length, text).toBeLessThanOrEqual(mean);
      }
    },
  );

  it.for<[name: string, load: Load]>([
    ["evenly", { units: 1_000, rho: 0.8, shape: "steady" }],
    ["mostly in one region", { units: 1_000, rho: 0.8, shape: "steady", weights: [8, 1, 1, 1] }],
  ])("refuses next to nothing below its units, used %s", ([, load], { expect }) => {
    expect(summarize(load, SEEDS).refusedInVain).toBeLessThan(0.002);
  });

  it("costs an isolate at most a sync a second, and asks near the limit", ({ expect }) => {
    expect(summarize({ units: 1_000, rho: 0.5, shape: "steady" }, SEEDS).callRate).toBeLessThan(1);
    expect(summarize({ units: 1_000, rho: 10, shape: "steady" }, SEEDS).callRate).toBeLessThan(6);
  });

  it.for([1, 5, 20, 100])("counts exactly in one region, a request every %s ms", (gapMs, { expect }) => {
    for (const seed of SEEDS) {
      const { admitted } = admitInTurn({ seed, units: 100, requests: 130, gapMs });
      expect(admitted, `seed ${seed}`).toBe(100);
    }
  });

  it("gives an idle world's one busy region half of its units within 200 ms", ({ expect }) => {
    for (const seed of SEEDS) {
      const admitted = admitAtOnce({ seed, units: 1_000, retryMs: 50, withinMs: 200 });
      expect(admitted, `seed ${seed}`).toBeGreaterThan(500);
      expect(admitted, `seed ${seed}`).toBeLessThanOrEqual(1_000);
    }
  });

  it("does better than sums that are sent now and then", ({ expect }) => {
    const load: Load = { units: 1_000, rho: 10, shape: "burst", windows: 1 };
    const ours = summarize(load, SEEDS).cold;
    expect(summarize({ ...load, policy: UNKEY }, SEEDS).cold).toBeGreaterThan(3 * ours);
    expect(summarize({ ...load, policy: PERIODIC_1S }, SEEDS).cold).toBeGreaterThan(3 * ours);
  });
});

type FewLoad = Omit<FewUnits, "seed" | "units" | "requests" | "regions" | "regionAt">;

const PATTERNS: Readonly<Record<string, (at: number, units: number) => number>> = {
  "in one of three regions": () => 1,
  "in three regions in turn": (at) => at % 3,
  "in one region after the other": (at, units) => Math.min(2, Math.floor((3 * at) / units)),
};

/** What passes of more requests than units, over the units, for each seed and number of units. */
function partsPassed(
  load: FewLoad,
  regionAt: (at: number, units: number) => number,
  limits = [1, 2, 5, 10, 30],
): number[] {
  return limits.flatMap((units) =>
    Array.from({ length: 12 }, (_, seed) => {
      const passed = offerFew({
        ...load,
        seed: seed + 1,
        units,
        requests: 2 * units + 6,
        regions: 3,
        regionAt: (at) => regionAt(at, units),
      });
      return passed.filter(Boolean).length / units;
    }),
  );
}

describe("few units in three regions", () => {
  it.for(Object.entries(PATTERNS))(
    "all pass and no more, near each other: %s",
    ([, regionAt], { expect }) => {
      for (const gapMs of [4, 30, 300]) {
        const parts = partsPassed({ gapMs }, regionAt);
        const text = `every ${gapMs} ms: ${JSON.stringify(parts)}`;
        expect(Math.max(...parts), text).toBe(1);
        expect(Math.min(...parts), text).toBeGreaterThanOrEqual(0.8);
        expect(parts.reduce((sum, part) => sum + part) / parts.length, text).toBeGreaterThan(0.98);
      }
    },
  );

  // One burst in a hundred meets an exchange of the hubs half way, and gets a part of what there is.
  it.for([
    ["in one of three regions", 1],
    ["in three regions in turn", 1.2],
  ] as const)(
    "nearly all pass of bursts %s, and at most %s times what there is",
    ([pattern, most], { expect }) => {
      const parts = partsPassed({ gapMs: 0 }, PATTERNS[pattern]);
      const text = JSON.stringify(parts);
      expect(Math.max(...parts), text).toBeLessThanOrEqual(most);
      expect(parts.filter((part) => part < 1).length / parts.length, text).toBeLessThan(0.05);
    },
  );

  it.for(Object.entries(PATTERNS))(
    "all pass, a world apart, when others have answered: %s",
    ([, regionAt], { expect }) => {
      const far: FewLoad = { gapMs: 300, localMs: [3, 9], worldMs: [40, 120] };
      const parts = partsPassed(far, regionAt, [5, 10, 30]);
      expect(Math.max(...parts), JSON.stringify(parts)).toBeLessThanOrEqual(1.1);
      expect(Math.min(...parts), JSON.stringify(parts)).toBeGreaterThanOrEqual(0.8);
      expect(parts.reduce((sum, part) => sum + part) / parts.length, JSON.stringify(parts)).toBeGreaterThan(
        0.97,
      );
    },
  );
});

describe("a window that was used up", () => {
  it.for<[regions: number, consistency: "regional" | "global"]>([
    [1, "regional"],
    [1, "global"],
    [3, "global"],
  ])("gives all back when it is over, with %s regions, %s", ([regions, consistency], { expect }) => {
    for (const windowMs of [500, 1_000, 1_500, 2_000, 5_000, 60_000]) {
      for (let seed = 1; seed <= 10; seed++) {
        const againMs = windowMs * 1.05 + 60;
        const passed = offerTwice({ seed, units: 5, windowMs, againMs, regions, consistency });
        expect(passed, `${windowMs} ms, seed ${seed}`).toEqual({ first: 5, second: 5 });
        const early = offerTwice({ seed, units: 5, windowMs, againMs: windowMs / 2, regions, consistency });
        expect(early.first + early.second, `${windowMs} ms, seed ${seed}`).toBeLessThanOrEqual(5);
      }
    }
  });
});

describe("a regional limit", () => {
  it("admits its units in its region", ({ expect }) => {
    const load: Load = { units: 1_000, rho: 2, shape: "steady", consistency: "regional", regions: 1 };
    const { cold, coldWorst } = summarize(load, SEEDS);
    expect(coldWorst).toBeLessThanOrEqual(0.01);
    expect(cold).toBeGreaterThan(-0.02);
  });
});

describe("a capped limit", () => {
  it.for<[name: string, load: Load]>([
    ["twice its cap", { units: 1_000, rho: 2, shape: "steady", consistency: "capped" }],
    ["a burst of ten times its cap", { units: 1_000, rho: 10, shape: "burst", consistency: "capped" }],
    ["twice a small cap", { units: 100, rho: 2, shape: "steady", consistency: "capped" }],
  ])("never admits more than its cap under %s, and most of it", ([, load], { expect }) => {
    const summary = summarize(load, SEEDS);
    expect(summary.coldWorst, JSON.stringify(summary)).toBeLessThanOrEqual(0);
    expect(summary.warmWorst, JSON.stringify(summary)).toBeLessThanOrEqual(0);
    expect(summary.cold, JSON.stringify(summary)).toBeGreaterThan(-0.15);
  });

  it("refuses little below its cap", ({ expect }) => {
    const load: Load = { units: 1_000, rho: 0.8, shape: "steady", consistency: "capped" };
    expect(summarize(load, SEEDS).refusedInVain).toBeLessThan(0.02);
  });
});
