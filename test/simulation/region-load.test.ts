// Ten isolates of one region with one hub before an upstream of 1,000 requests a second that queues: what
// is important succeeds, the upstream stays busy with useful work, and nobody asks the hub more than it is
// worth, whether isolates come and go, the hub is away for a while, or it comes back with what it had stored.

import { describe, it } from "vitest";
import { successShare, usefulShare } from "./harness/measures.ts";
import type { World } from "./harness/policy.ts";
import type { RegionOptions } from "./harness/region.ts";
import { Region } from "./harness/region.ts";
import type { RunResult } from "./harness/run.ts";
import { LARGE_UPSTREAM, steadyLoad } from "./harness/scenarios.ts";

const SEEDS = [1, 2, 3];
const ISOLATES = 10;
const DURATION_MS = 20_000;

interface RegionRun {
  readonly result: RunResult;
  /** Calls to the hub per isolate and second. */
  readonly syncs: number;
  /** For a failing assertion. */
  readonly told: string;
}

function run(times: number, seed: number, options: Partial<RegionOptions> = {}): RegionRun {
  let syncs = 0;
  const policy = {
    name: "region",
    create: (world: World): Region => {
      const region = new Region(world, { isolates: ISOLATES, ...options });
      world.clock.after(DURATION_MS, () => {
        syncs = region.syncs / ISOLATES / (DURATION_MS / 1000);
      });
      return region;
    },
  };
  const result = steadyLoad({ policy, seed, upstream: LARGE_UPSTREAM, durationMs: DURATION_MS }, times);
  const endings = result.classes.map(({ endings: of }, index) => `P${index} ${JSON.stringify(of)}`);
  return { result, syncs, told: `seed ${seed}: ${endings.join(", ")}` };
}

describe.for([0.5, 1, 2, 5, 10])("a region at %s times what its upstream can serve", (times) => {
  it("serves 99.8 % of P0 and 95 % of what can be had, in order, and asks its hub once a second", ({
    expect,
  }) => {
    for (const seed of SEEDS) {
      const { result, syncs, told } = run(times, seed);
      expect(successShare(result, 0), told).toBeGreaterThanOrEqual(0.998);
      expect(usefulShare(result), told).toBeGreaterThanOrEqual(0.95);
      expect([result.levelBreaches, result.unjustRefusals], told).toEqual([0, 0]);
      expect(result.phaseChanges, told).toEqual([]);
      expect(result.permitsLeaked, told).toBe(0);
      // For each isolate; a few more while permits that others do not need are handed on.
      expect(syncs, told).toBeGreaterThanOrEqual(0.95);
      expect(syncs, told).toBeLessThanOrEqual(1.2);
    }
  });
});

describe("a region at half of what its upstream can serve", () => {
  it("refuses nothing", ({ expect }) => {
    for (const seed of SEEDS) {
      const { result, told } = run(0.5, seed);
      for (const { ok, offered } of result.classes) expect(ok, told).toBe(offered);
    }
  });
});

function isHubGone(elapsedMs: number): boolean {
  return elapsedMs >= 5_000 && elapsedMs < 15_000;
}

describe("a region that is not what it was", () => {
  it("serves 99 % of P0 while a tenth of its isolates is replaced each second", ({ expect }) => {
    for (const seed of SEEDS) {
      const { result, told } = run(1.5, seed, { churn: 0.1 });
      expect(successShare(result, 0), told).toBeGreaterThanOrEqual(0.99);
      expect([result.levelBreaches, result.unjustRefusals], told).toEqual([0, 0]);
      expect(result.phaseChanges, told).toEqual([]);
    }
  });

  it("goes on without its hub for ten seconds, and with it again", ({ expect }) => {
    for (const seed of SEEDS) {
      const { result, told } = run(2, seed, { isHubGone });
      expect(successShare(result, 0), told).toBeGreaterThanOrEqual(0.99);
      for (const fromMs of [0, 5_000, 15_000]) {
        expect(usefulShare(result, fromMs), told).toBeGreaterThanOrEqual(0.95);
      }
    }
  });

  it("goes on where it was when its hub restarts with what it had stored", ({ expect }) => {
    for (const seed of SEEDS) {
      const { result, told } = run(2, seed, { hubRestartsAtMs: 12_000 });
      expect(successShare(result, 0), told).toBeGreaterThanOrEqual(0.99);
      expect(usefulShare(result), told).toBeGreaterThanOrEqual(0.95);
    }
  });

  it("gives the same run for the same seed", ({ expect }) => {
    const options = { churn: 0.1, hubRestartsAtMs: 8_000 };
    expect(run(2, 4, options)).toEqual(run(2, 4, options));
  });
});
