// Little traffic, and a hub that is gone: what an isolate decides by itself, and how it follows again.

import { describe, it } from "vitest";
import { phaseAt } from "../../../src/resilience/breaker.ts";
import { VERDICT_MS, isRegionInCharge } from "../../../src/resilience/regional-breaker.ts";
import type { Upstream } from "./upstream.ts";
import { downBetween } from "./upstream.ts";
import type { Isolate } from "./isolate.ts";
import type { Region, Scenario } from "./world.ts";
import { World } from "./world.ts";

const SEEDS = [1, 2, 3, 4, 5];

interface Seen {
  readonly at: number;
  readonly phase: string;
  readonly inCharge: boolean;
}

/** Runs a region of one isolate and looks at it every 10 ms. */
function watch(
  scenario: Pick<Scenario, "seed" | "rps"> & Partial<Scenario>,
  upstream: Upstream,
  untilMs: number,
): { readonly region: Region; readonly isolate: Isolate; readonly seen: Seen[] } {
  const world = new World({ isolates: 1, upstream: () => upstream, ...scenario });
  const [region] = world.regions;
  const [isolate] = region.isolates;
  const seen: Seen[] = [];
  for (let at = 0; at < untilMs; at += 10) {
    world.runUntil(at);
    const { breaker } = isolate;
    const { now } = world.clock;
    seen.push({ at, phase: phaseAt(breaker, now), inCharge: isRegionInCharge(breaker, now) });
  }
  return { region, isolate, seen };
}

function firstAt(seen: readonly Seen[], from: number, is: (seen: Seen) => boolean): number {
  return seen.find((one) => one.at >= from && is(one))?.at ?? Number.NaN;
}

describe.for(SEEDS)("seed %i", (seed) => {
  it("opens at once on five failures in a row of one isolate, its hub with the next sync", ({ expect }) => {
    const { region, seen } = watch({ seed, rps: 2 }, downBetween(10_000, 40_000), 120_000);
    const fifth = region.endings.filter(({ ending }) => ending === "failed")[4].at;
    expect(firstAt(seen, 0, ({ phase }) => phase === "open") - fifth).toBeLessThanOrEqual(10);
    expect(region.movedTo("open") - fifth).toBeLessThanOrEqual(30);
    expect(region.movedTo("closed", 40_000)).toBeLessThan(80_000);
    expect(region.lastNotGood(80_000)).toBe(80_000);
  });

  it("decides alone when the hub has not answered for a while, heals, and follows again", ({ expect }) => {
    const gone = { from: 10_000, until: 100_000 };
    const isHubGone = (at: number): boolean => at >= gone.from && at < gone.until;
    const upstream = downBetween(20_000, 60_000);
    const { region, isolate, seen } = watch({ seed, rps: 5, isHubGone }, upstream, 130_000);
    const aloneAt = firstAt(seen, gone.from, ({ inCharge }) => !inCharge);
    expect(aloneAt - gone.from).toBeGreaterThan(0.5 * VERDICT_MS);
    expect(aloneAt - gone.from).toBeLessThan(VERDICT_MS + 4_000);
    expect(firstAt(seen, 20_000, ({ phase }) => phase === "open")).toBeLessThan(24_000);
    expect(region.probes.filter(({ at }) => at < 60_000).length).toBeGreaterThan(2);
    const healedAt = firstAt(seen, 60_000, ({ phase }) => phase === "closed");
    expect(healedAt).toBeLessThan(gone.until - 5_000);
    expect(region.changes).toEqual([]);
    const backAt = firstAt(seen, gone.until, ({ inCharge }) => inCharge);
    expect(backAt - gone.until).toBeLessThan(3_000);
    expect(isolate.breaker.regional?.generation).toBe(region.hub.breaker.state.generation);
    expect(region.lastNotGood(healedAt)).toBe(healedAt);
  });

  it("follows a hub that comes back with its breaker open", ({ expect }) => {
    const gone = { from: 25_000, until: 60_000 };
    const isHubGone = (at: number): boolean => at >= gone.from && at < gone.until;
    const { region, isolate, seen } = watch(
      { seed, rps: 5, isHubGone },
      downBetween(10_000, 90_000),
      150_000,
    );
    expect(firstAt(seen, 25_000, ({ inCharge }) => !inCharge)).toBeLessThan(35_000);
    expect(firstAt(seen, 60_000, ({ inCharge }) => inCharge)).toBeLessThan(63_000);
    expect(seen.findLast(({ at }) => at < 90_000)?.phase).not.toBe("closed");
    expect(region.movedTo("closed", 90_000)).toBeLessThan(130_000);
    expect(isolate.breaker.regional?.phase).toBe("closed");
    expect(region.lastNotGood(130_000)).toBe(130_000);
  });
});
