// An upstream that goes down and comes back: how soon a region cuts it off, how seldom it is tried while it
// is down, how soon everything flows again.

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

  it("is tried within two seconds of its time, once everybody has heard that it is down", ({ expect }) => {
    if (load.rps < 50) return;
    for (const { changes, probes } of world.regions) {
      // The first time, isolates that made no call since are still closed, and take the calls.
      const times = changes.filter(({ to, at }) => to === "half-open" && at < UP_MS).slice(1);
      expect(times.length).toBeGreaterThan(10);
      for (const { at } of times) {
        expect(
          Math.min(...probes.map((probe) => probe.at).filter((probeAt) => probeAt >= at)) - at,
        ).toBeLessThan(2_000);
      }
    }
  });

  it("flows fully within 15 s of the first good probe", ({ expect }) => {
    if (load.rps < 50) return;
    for (const region of world.regions) {
      const firstGood = region.probes.find(({ isGood }) => isGood)?.until ?? Number.NaN;
      expect(region.movedTo("closed", UP_MS)).toBeGreaterThan(0);
      expect(region.lastNotGood(UP_MS) - firstGood).toBeLessThanOrEqual(15_000);
    }
  });
});

describe.for([1, 2])("seed %i", (seed) => {
  it("flows fully within 15 s where refused requests do not wait for the hub, with enough of them", ({
    expect,
  }) => {
    const [region] = new World({
      seed,
      isolates: 25,
      rps: 80,
      waits: false,
      upstream: () => downBetween(10_000, 40_000),
    }).runUntil(90_000).regions;
    const firstGood = region.probes.find(({ isGood }) => isGood)?.until ?? Number.NaN;
    expect(region.lastNotGood(40_000) - firstGood).toBeLessThanOrEqual(15_000);
  });

  it("recovers an upstream that has little to spare", ({ expect }) => {
    const [region] = new World({
      seed,
      isolates: 25,
      rps: 100,
      upstream: () => limitedTo(200, downBetween(10_000, 40_000)),
    }).runUntil(100_000).regions;
    expect(region.changes.filter(({ to }) => to === "ramp")).toHaveLength(1);
    expect(region.movedTo("closed", 40_000)).toBeLessThan(65_000);
    // Bursts beyond what it takes are refused by itself, now and then.
    const after = region.endings.filter(({ at }) => at >= 70_000);
    expect(after.filter(({ ending }) => ending !== "good").length).toBeLessThan(0.01 * after.length);
  });

  it("opens within three seconds on an upstream that is slow all at once", ({ expect }) => {
    const options = { slowCallMs: 100 };
    const [region] = new World({
      seed,
      isolates: 25,
      rps: 80,
      options,
      upstream: () => slowBetween(10_000, 60_000, 500),
    }).runUntil(90_000).regions;
    expect(region.movedTo("open") - 10_000).toBeLessThanOrEqual(3_000);
    expect(region.movedTo("closed", 60_000)).toBeLessThan(85_000);
  });

  it("gives a lease that nobody uses to somebody else", ({ expect }) => {
    const world = new World({ seed, isolates: 25, rps: 80, upstream: () => downBetween(10_000, 600_000) });
    const [region] = world.regions;
    let taken = 0;
    for (let at = 10_000; at < 120_000; at += 5) {
      world.runUntil(at);
      const { lease } = region.receive({ isolate: "idle", news: null, wantsLease: true });
      if (lease === 0) continue;
      taken++;
      expect(region.receive({ isolate: "idle", news: null, wantsLease: true }).lease).toBe(0);
      const before = region.probes.length;
      world.runUntil(at + START_MS - 10);
      expect(region.probes).toHaveLength(before);
      world.runUntil(at + START_MS + NEWS_MS + 500);
      expect(region.probes).toHaveLength(before + 1);
      at += START_MS + NEWS_MS + 500;
    }
    expect(taken).toBeGreaterThan(1);
  });

  it.for([
    { askedMs: 8_000, leastMs: 8_000 },
    { askedMs: 60_000, leastMs: 10_000 },
  ])(
    "leaves it alone for the $askedMs ms that it asked for, and never over ten seconds",
    (asked, { expect }) => {
      const upstream = () => downBetween(10_000, 60_000, 10, asked.askedMs);
      const [region] = new World({ seed, isolates: 25, rps: 80, upstream }).runUntil(90_000).regions;
      const opens = region.changes.filter(({ to }) => to === "open");
      expect(opens.length).toBeGreaterThan(3);
      for (const { at } of opens) {
        const openMs = region.movedTo("half-open", at) - at;
        expect(openMs).toBeGreaterThanOrEqual(asked.leastMs - 50);
        expect(openMs).toBeLessThanOrEqual(10_500);
      }
    },
  );

  it.for([50, 300])(
    "changes once per ten seconds at most what a flapping upstream gets, at %i rps",
    (rps, { expect }) => {
      const [{ changes, tally }] = new World({
        seed,
        isolates: 25,
        rps,
        upstream: () => flapping(5_000, 5_000),
      }).runUntil(600_000).regions;
      // Calls pass in a ramp and when closed, and are refused when open; probes change nothing.
      const turns = changes
        .map(({ to }) => to)
        .filter((to) => to !== "half-open")
        .filter((to, index, all) => index === 0 || (to === "open") !== (all[index - 1] === "open"));
      expect(turns.length).toBeGreaterThan(1);
      expect(turns.length).toBeLessThanOrEqual(60);
      // Of what comes while it is down, three quarters and more are not tried.
      const all = Object.values(tally).reduce((sum, count) => sum + count, 0);
      expect(tally.failed).toBeLessThan(0.25 * (all / 2));
      expect(tally.good).toBeGreaterThan(0.1 * (all / 2));
    },
  );
});
