// An upstream that goes down and comes back: how soon a region cuts it off, how seldom it is tried while it is
// down, how soon everything flows again.

import { describe, it } from "vitest";
import { downBetween, flapping, limitedTo, slowBetween } from "./upstream.ts";
import type { Region } from "./world.ts";
import { NEWS_MS, START_MS, World } from "./world.ts";

const DOWN_MS = 10_000;
const UP_MS = 610_000;

function probesDuring({ probes }: Region, fromMs: number, untilMs: number): number {
  return probes.filter(({ at }) => at >= fromMs && at < untilMs).length;
}

/** Probes that went out while another one was, with no good one since the last opening. */
function overlapsAtFirst({ probes, changes }: Region): number {
  const goodSince = (at: number): boolean => {
    const openedAt = changes.findLast(({ to, at: when }) => to === "open" && when <= at)?.at ?? 0;
    return probes.some(({ until, isGood }) => isGood && until > openedAt && until <= at);
  };
  return probes.filter(
    ({ at }, index) => probes.some(({ until }, other) => other < index && until > at) && !goodSince(at),
  ).length;
}

describe.for([
  { seed: 1, rps: 5, failMs: 10 },
  { seed: 2, rps: 50, failMs: 10 },
  { seed: 3, rps: 1_000, failMs: 10 },
  { seed: 4, rps: 1_000, failMs: 5_000 },
])("300 isolates in 12 regions at $rps per second, failures after $failMs ms (seed $seed)", (load) => {
  const world = new World({
    seed: load.seed,
    regions: 12,
    isolates: 25,
    rps: load.rps / 12,
    upstream: () => downBetween(DOWN_MS, UP_MS, load.failMs),
  }).runUntil(UP_MS + 90_000);

  it("opens within 1.5 s and one sync of the first failures, where there are 20 calls per second", ({
    expect,
  }) => {
    for (const region of world.regions) {
      const tookMs = region.movedTo("open") - DOWN_MS - load.failMs;
      if (load.rps / 12 >= 20) expect(tookMs).toBeLessThanOrEqual(2_500);
      else expect(tookMs).toBeLessThan(UP_MS - DOWN_MS);
    }
  });

  it("is tried at most once in five seconds per region, and once at a time at first", ({ expect }) => {
    for (const region of world.regions) {
      expect(probesDuring(region, DOWN_MS, UP_MS) / 600).toBeLessThanOrEqual(0.2);
      expect(probesDuring(region, DOWN_MS, UP_MS)).toBeGreaterThan(0);
      expect(overlapsAtFirst(region)).toBe(0);
    }
  });

  it("is tried within two seconds of its time, and flows fully within 15 s of the first good probe", ({
    expect,
  }) => {
    if (load.rps < 50) return;
    for (const { changes, probes, isolates, ...region } of world.regions) {
      void region;
      for (const { at: halfOpenAt } of changes.filter(({ to, at }) => to === "half-open" && at < UP_MS)) {
        const probe = probes.find(({ at }) => at >= halfOpenAt);
        if (probe !== undefined && isolates.length > 0) expect(probe.at - halfOpenAt).toBeLessThan(3_000);
      }
    }
    for (const region of world.regions) {
      const firstGood = region.probes.find(({ isGood }) => isGood)?.until ?? Number.NaN;
      expect(region.movedTo("ramp", UP_MS)).toBeGreaterThan(0);
      expect(region.lastNotGood(UP_MS) - firstGood).toBeLessThanOrEqual(15_000);
    }
  });
});
