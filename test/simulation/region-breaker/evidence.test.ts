// What opens a region's breaker, and what must not: evidence that no isolate has by itself, an isolate that
// lies, reports that come late, errors at random.

import { describe, it } from "vitest";
import { noteCalls, noteProbe } from "../../../src/hub/region-breaker.ts";
import type { RandomSource } from "../../../src/resilience/random.ts";
import { nextRandom } from "../../../src/resilience/random.ts";
import type { RegionalNews } from "../../../src/resilience/regional-breaker.ts";
import type { SyncMessage } from "./isolate.ts";
import { downBetween, failingAt } from "./upstream.ts";
import type { Region } from "./world.ts";
import { DEFAULT_BREAKER } from "../../../src/resilience/breaker-state.ts";
import { World } from "./world.ts";

const SEEDS = [1, 2, 3];

describe.for(SEEDS)("seed %i", (seed) => {
  it("opens on errors that a hundred isolates see, and none of them often", ({ expect }) => {
    const seen = new Map<string, number>();
    let next = 0;
    const world = new World({
      seed,
      isolates: 100,
      rps: 50,
      upstream: () => failingAt(0),
      route: () => next++ % 100,
      seenBy: (isolate, answer) => {
        const call = seen.get(isolate) ?? 0;
        seen.set(isolate, call + 1);
        return { ...answer, isGood: "FFOFO"[(call + Number(isolate.slice(1))) % 5] === "O" };
      },
    }).runUntil(10_000);
    const [region] = world.regions;
    const enoughAt = region.endings[DEFAULT_BREAKER.minimumCalls - 1].at;
    expect(region.movedTo("open") - enoughAt).toBeLessThanOrEqual(1_100);
    expect(region.hub.breaker.lastTransition).not.toBeNull();
    expect(region.isolates.every(({ openings }) => openings === 0)).toBe(true);
  });

  it.for([10, 100])("never opens on what one isolate of %i says", (isolates, { expect }) => {
    const route = (random: RandomSource): number =>
      nextRandom(random) < 0.7 ? 0 : Math.floor(nextRandom(random) * isolates);
    for (const uneven of [false, true]) {
      const world = new World({
        seed,
        isolates,
        rps: 100,
        upstream: () => failingAt(0.05),
        ...(uneven && { route }),
        seenBy: (isolate, answer) => (isolate === "i0" ? { ...answer, isGood: false } : answer),
      });
      world.runUntil(120_000);
      expect(world.regions[0].changes).toEqual([]);
      expect(world.regions[0].isolates[0].openings).toBeGreaterThan(uneven ? 20 : 0);
    }
  });

  it.for([1, 100, 1_000_000])(
    "never opens on one that reports %i failures a time",
    (failRemote, { expect }) => {
      const world = new World({ seed, isolates: 10, rps: 100, upstream: () => failingAt(0.05) });
      const [region] = world.regions;
      const lie = { ...NOTHING, failRemote, consecutive: true };
      for (let at = 5_000; at < 120_000; at += 100) {
        world.runUntil(at);
        const { generation } = region.hub.breaker.state;
        region.receive({ isolate: "liar", news: { ...lie, generation }, wantsLease: false });
      }
      expect(region.changes).toEqual([]);
    },
  );

  it("takes reports of earlier generations for nothing, late, twice and out of order", ({ expect }) => {
    const plain = runOutage(seed, () => undefined);
    const kept = new Map<Region, SyncMessage[]>();
    let late = 0;
    const again = runOutage(seed, (region, message) => {
      const messages = kept.get(region) ?? [];
      kept.set(region, messages);
      const { generation } = region.hub.breaker.state;
      // What comes before any verdict has no generation.
      const past = messages.filter(({ news }) => isBetween(news?.generation ?? 0, 1, generation - 1));
      for (const old of [...past.slice(0, 25), ...past.slice(-25)]) {
        repeat(region, old);
        late++;
      }
      messages.unshift(message);
    });
    expect(late).toBeGreaterThan(1_000);
    expect(plain[0].changes.length).toBeGreaterThan(6);
    for (const [index, region] of again.entries()) {
      expect(region.changes).toEqual(plain[index].changes);
      expect(region.endings).toEqual(plain[index].endings);
    }
  });
});

describe("errors at random", () => {
  it.for([
    { errorRate: 0.01, hours: 0.25 },
    { errorRate: 0.05, hours: 0.25 },
    { errorRate: 0.1, hours: 0.5 },
  ])(
    "open nothing in $hours h at a rate of $errorRate (seed 7)",
    { timeout: 20_000 },
    ({ errorRate, hours }, { expect }) => {
      const world = new World({ seed: 7, isolates: 100, rps: 50, upstream: () => failingAt(errorRate) });
      world.regions[0].keepsEndings = false;
      world.runUntil(hours * 3_600_000);
      expect(world.regions[0].changes).toEqual([]);
      expect(world.regions[0].tally.failed).toBeGreaterThan(errorRate * hours * 160_000);
    },
  );
});

const NOTHING: RegionalNews = {
  generation: 0,
  ok: 0,
  failRemote: 0,
  failLocal: 0,
  slow: 0,
  consecutive: false,
  retryAfterMs: 0,
  started: 0,
  probes: [],
};

function isBetween(value: number, least: number, most: number): boolean {
  return value >= least && value <= most;
}

/** Two regions whose upstream is down for a while. */
function runOutage(seed: number, heard: (region: Region, message: SyncMessage) => void): Region[] {
  const scenario = { seed, regions: 2, isolates: 20, rps: 50, heard };
  return new World({ ...scenario, upstream: () => downBetween(20_000, 40_000) }).runUntil(90_000).regions;
}

function repeat({ hub, now }: Region, { isolate, news }: SyncMessage): void {
  if (news === null) return;
  noteCalls(hub, isolate, news, false, now, 0.5);
  for (const { lease, good } of news.probes) noteProbe(hub, news.generation, lease, good, now, 0.5);
}
