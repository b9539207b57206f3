import { describe, it } from "vitest";
import type { IsolateReport, RegionBreaker } from "../../../src/hub/region-breaker.ts";
import { verdictOf } from "../../../src/hub/region-verdict.ts";
import {
  MANY_ISOLATES,
  MAX_ISOLATES,
  SUSPECT_MINIMUM_CALLS,
  advanceRegionBreaker,
  createRegionBreaker,
  isHealthyHere,
  leaseProbe,
  noteCalls,
  noteIsolates,
  noteProbe,
  noteProbeStart,
} from "../../../src/hub/region-breaker.ts";
import { PRESENT_MS, weighedSums } from "../../../src/hub/region-evidence.ts";
import type { BreakerOptions } from "../../../src/resilience/breaker.ts";
import { fc, test } from "../resilience/property.ts";

const DEFAULTS: BreakerOptions = {
  failureRate: 0.5,
  slowCallMs: 1_000,
  slowCallRate: 0.8,
  minimumCalls: 20,
  windowMs: 10_000,
  consecutive: 5,
  openForMs: 1_000,
  maxOpenForMs: 10_000,
  probes: 3,
  rampUpMs: 10_000,
};
const START = 100_000;

/** Reports what an isolate saw under the region's present generation. */
function report(
  region: RegionBreaker,
  isolate: string,
  seen: Partial<IsolateReport>,
  now: number,
  isSuspect = false,
): void {
  const { generation } = region.breaker.state;
  const nothing = { ok: 0, failRemote: 0, failLocal: 0, slow: 0, consecutive: false, retryAfterMs: 0 };
  noteCalls(region, isolate, { generation, ...nothing, ...seen }, isSuspect, now, 1);
}

const EARLIER_MS = 2_000;

/** A region of isolates i0, i1 ... that made one good call each, `EARLIER_MS` before START. */
function known(isolates: number, options: Partial<BreakerOptions> = {}): RegionBreaker {
  const region = createRegionBreaker({ ...DEFAULTS, ...options });
  for (let index = 0; index < isolates; index++) report(region, `i${index}`, { ok: 1 }, START - EARLIER_MS);
  return region;
}

/** A region that has opened at START, for a second. */
function opened(options: Partial<BreakerOptions> = {}, retryAfterMs = 0): RegionBreaker {
  const region = known(1, options);
  report(region, "i0", { failRemote: 5, consecutive: true, retryAfterMs }, START);
  return region;
}

/** A region that went half-open at START + 1000. */
function tried(options: Partial<BreakerOptions> = {}): RegionBreaker {
  const region = opened(options);
  advanceRegionBreaker(region, START + 1_000);
  return region;
}

function probe(region: RegionBreaker, isGood: boolean | null, now: number): void {
  const lease = leaseProbe(region, 100, now);
  noteProbe(region, region.breaker.state.generation, lease, isGood, now, 1);
}

/** A region that began to ramp up at START + 1000. */
function ramping(options: Partial<BreakerOptions> = {}): RegionBreaker {
  const region = tried(options);
  for (let index = 0; index < 3; index++) probe(region, true, START + 1_000);
  return region;
}

function phase(region: RegionBreaker): string {
  return region.breaker.state.phase;
}

describe("closed", () => {
  it("opens on the sums of isolates that have little to say each", ({ expect }) => {
    const region = known(20);
    for (let index = 0; index < 20; index++) {
      expect(phase(region)).toBe("closed");
      report(region, `i${index}`, { ok: index % 3 === 0 ? 1 : 0, failRemote: 2 }, START);
      if (phase(region) === "open") break;
    }
    expect(phase(region)).toBe("open");
    expect(region.breaker.lastTransition?.reason).toBe("failure-rate");
  });

  it("opens on recent failures alone, however good the window was before", ({ expect }) => {
    const region = known(10);
    for (let index = 0; index < 10; index++) report(region, `i${index}`, { ok: 100 }, START);
    for (let index = 0; index < 10; index++) report(region, `i${index}`, { failLocal: 2 }, START + 3_000);
    expect(phase(region)).toBe("open");
  });

  it("opens on slow calls", ({ expect }) => {
    const region = known(4);
    for (let index = 0; index < 4; index++) report(region, `i${index}`, { ok: 10, slow: 9 }, START);
    expect(region.breaker.lastTransition?.reason).toBe("slow-rate");
  });

  it("opens on consecutive failures of any one of few isolates", ({ expect }) => {
    const region = known(MANY_ISOLATES - 1);
    report(region, "i0", { failRemote: 5, consecutive: true }, START);
    expect(region.breaker.lastTransition?.reason).toBe("consecutive");
  });

  it("opens on consecutive failures of a quarter of many isolates within two seconds", ({ expect }) => {
    const region = known(8);
    report(region, "i0", { failRemote: 5, consecutive: true }, START);
    report(region, "i1", { failRemote: 5, consecutive: true }, START + 2_000);
    expect(phase(region)).toBe("closed");
    report(region, "i2", { failRemote: 5, consecutive: true }, START + 2_100);
    expect(phase(region)).toBe("open");
  });

  it("opens on twice as many failures in a row of the region, from four isolates at least", ({ expect }) => {
    const fail = (isolates: number, good: number): string => {
      const region = known(40);
      for (let index = 0; index < 9; index++) {
        report(region, `i${index % isolates}`, { failRemote: 1 }, START + 3_000 * index);
      }
      expect(phase(region)).toBe("closed");
      report(region, "i20", { ok: good }, START + 27_000);
      report(region, "i0", { failRemote: 1 }, START + 27_000);
      return phase(region);
    };
    expect(fail(MANY_ISOLATES, 0)).toBe("open");
    expect(fail(MANY_ISOLATES, 1)).toBe("closed");
    expect(fail(MANY_ISOLATES - 1, 0)).toBe("closed");
  });

  it("weighs the isolates of a large region now and then only", ({ expect }) => {
    const region = known(2_256, { consecutive: 1_000_000 });
    report(region, "i0", { failRemote: 1 }, START);
    for (let index = 0; index < 1_500; index++) {
      report(region, `i${index}`, { failRemote: 10 }, START + 99);
    }
    expect(phase(region)).toBe("closed");
    report(region, "i0", { failRemote: 1 }, START + 100);
    expect(phase(region)).toBe("open");
  });

  it("lets one isolate decide that is all there is, not one of many that report nothing", ({ expect }) => {
    for (const [isolates, expected] of [
      [1, "open"],
      [MANY_ISOLATES - 1, "open"],
      [MANY_ISOLATES, "closed"],
    ] as const) {
      const region = createRegionBreaker(DEFAULTS);
      noteIsolates(region, isolates);
      report(region, "i0", { failRemote: 100, consecutive: true }, START);
      expect(phase(region)).toBe(expected);
    }
  });

  test("never opens on what a single one of many isolates reports", ({ expect }) => {
    const lie = fc.record({
      failRemote: fc.nat(1_000_000),
      slow: fc.nat(1_000),
      consecutive: fc.boolean(),
      afterMs: fc.nat(3_000),
    });
    fc.assert(
      fc.property(
        fc.array(lie, { maxLength: 20 }),
        fc.array(fc.nat(50), { minLength: MANY_ISOLATES - 1, maxLength: 12 }),
        fc.constantFrom(0.05, 0.2, 0.5, 1),
        (lies, others, failureRate) => {
          const region = known(others.length + 1, { failureRate, slowCallRate: failureRate });
          let now = START;
          for (const { afterMs, ...seen } of lies) {
            now += afterMs;
            report(region, "i0", seen, now);
            for (const [index, ok] of others.entries()) report(region, `i${index + 1}`, { ok }, now);
          }
          expect(phase(region)).toBe("closed");
        },
      ),
    );
  });

  test("weighs no isolate of many with more than a quarter", ({ expect }) => {
    const counts = fc.array(fc.integer({ min: 1, max: 10_000 }), { minLength: MANY_ISOLATES, maxLength: 20 });
    fc.assert(
      fc.property(counts, (calls) => {
        const region = createRegionBreaker({ ...DEFAULTS, failureRate: 1, consecutive: 1e6 });
        for (const [index, ok] of calls.entries()) report(region, `i${index}`, { ok }, START);
        const before = weighedSums(region.evidence, "window", START).calls;
        const heaviest = Math.max(...calls);
        const cap = Math.min(heaviest, before / 4 + 1e-6);
        const expected = calls.reduce((sum, count) => sum + Math.min(count, cap), 0);
        expect(before).toBeCloseTo(expected, 2);
      }),
    );
  });

  it("forgets isolates that are gone, and then few are left to decide", ({ expect }) => {
    const region = known(10);
    const later = START + PRESENT_MS;
    report(region, "i0", { ok: 1 }, later - 1_000);
    advanceRegionBreaker(region, later);
    expect(region.evidence.isolates.size).toBe(1);
    report(region, "i0", { failRemote: 5, consecutive: true }, later);
    expect(phase(region)).toBe("open");
  });

  it("tells at most so many isolates apart", ({ expect }) => {
    const region = known(MAX_ISOLATES + 10);
    expect(region.evidence.isolates.size).toBe(MAX_ISOLATES);
  });

  it("needs fewer calls where other regions see it fail, unless its own are good", ({ expect }) => {
    const fail = (region: RegionBreaker, isSuspect: boolean): string => {
      report(region, "i0", { failRemote: SUSPECT_MINIMUM_CALLS }, START, isSuspect);
      return phase(region);
    };
    expect(fail(known(1), false)).toBe("closed");
    expect(fail(known(1), true)).toBe("open");
    const healthy = known(1);
    report(healthy, "i0", { ok: 20 }, START);
    expect(isHealthyHere(healthy, START)).toBe(true);
    expect(fail(healthy, true)).toBe("closed");
  });

  it("takes what an isolate saw before it heard of any generation, and nothing of earlier ones", ({
    expect,
  }) => {
    const region = known(1);
    report(region, "i0", { failRemote: 50, consecutive: true, generation: 7 }, START);
    expect(phase(region)).toBe("closed");
    report(region, "i0", { failRemote: 5, consecutive: true, generation: 0 }, START);
    expect(phase(region)).toBe("open");
  });
});

describe("open", () => {
  it("stays open as long as the upstream asks, and no longer than allowed", ({ expect }) => {
    for (const [askedMs, openForMs] of [
      [0, 1_000],
      [7_000, 7_000],
      [90_000, 10_000],
    ]) {
      expect(verdictOf(opened({}, askedMs), 0, 0, START).openForMs).toBe(openForMs);
    }
  });

  it("hears of Retry-After from calls that were under way, within the longest open time", ({ expect }) => {
    const region = opened();
    const generation = region.breaker.state.generation - 1;
    report(region, "i1", { failRemote: 1, retryAfterMs: 4_000, generation }, START + 500);
    expect(verdictOf(region, 0, 0, START + 500).openForMs).toBe(4_000);
    report(region, "i1", { failRemote: 1, retryAfterMs: 90_000, generation }, START + 600);
    expect(verdictOf(region, 0, 0, START).openForMs).toBe(10_000);
    report(region, "i1", { failRemote: 1, retryAfterMs: 1, generation }, START + 700);
    report(region, "i1", { retryAfterMs: 9_999, generation: generation - 1 }, START + 9_000);
    expect(verdictOf(region, 0, 0, START).openForMs).toBe(10_000);
  });

  it("leases no probe before its time", ({ expect }) => {
    expect(leaseProbe(opened(), 100, START + 999)).toBe(0);
    expect(leaseProbe(opened(), 100, START + 1_000)).not.toBe(0);
  });
});

describe("half-open", () => {
  it("leases one probe at first, then two, and none beyond those that are missing", ({ expect }) => {
    const region = tried();
    const now = START + 1_000;
    const lease = leaseProbe(region, 100, now);
    expect(leaseProbe(region, 100, now)).toBe(0);
    noteProbe(region, region.breaker.state.generation, lease, true, now, 1);
    expect([1, 2, 3].map(() => leaseProbe(region, 100, now) !== 0)).toEqual([true, true, false]);
  });

  it("gives an unused lease to the next, but not one whose probe is under way", ({ expect }) => {
    const region = tried();
    const { generation } = region.breaker.state;
    const first = leaseProbe(region, 100, START + 1_000);
    expect(leaseProbe(region, 100, START + 1_099)).toBe(0);
    const second = leaseProbe(region, 100, START + 1_100);
    expect(second).not.toBe(0);
    noteProbe(region, generation, first, true, START + 1_100, 1);
    noteProbeStart(region, generation, second, 5_000, START + 1_150);
    expect(leaseProbe(region, 100, START + 6_149)).toBe(0);
    expect(leaseProbe(region, 100, START + 6_150)).not.toBe(0);
  });

  it("opens again on a bad probe, and takes an unmade one back", ({ expect }) => {
    const region = tried();
    probe(region, null, START + 1_000);
    expect(phase(region)).toBe("half-open");
    probe(region, false, START + 1_000);
    expect(verdictOf(region, 0, 0, START + 1_000)).toMatchObject({ phase: "open", openForMs: 1_000 });
  });

  it("drops results of another generation or without a lease", ({ expect }) => {
    const region = tried();
    const { generation } = region.breaker.state;
    const lease = leaseProbe(region, 100, START + 1_000);
    noteProbe(region, generation - 2, lease, false, START + 1_000, 1);
    noteProbe(region, generation, lease + 1, false, START + 1_000, 1);
    noteProbe(region, generation, 0, false, START + 1_000, 1);
    report(region, "i0", { failRemote: 100, consecutive: true }, START + 1_000);
    expect(phase(region)).toBe("half-open");
  });

  it("closes at once where there is no ramp", ({ expect }) => {
    expect(phase(ramping({ rampUpMs: 0 }))).toBe("closed");
  });
});

describe("ramp", () => {
  it("closes when it is over, and says meanwhile how far it is", ({ expect }) => {
    const region = ramping();
    expect(verdictOf(region, 0, 0, START + 5_000)).toMatchObject({ phase: "ramp", rampedMs: 4_000 });
    advanceRegionBreaker(region, START + 10_999);
    expect(phase(region)).toBe("ramp");
    advanceRegionBreaker(region, START + 11_000);
    expect(phase(region)).toBe("closed");
  });

  it("goes five times as fast once ten calls have gone well, until one report has not", ({ expect }) => {
    const region = ramping();
    report(region, "i0", { ok: 9 }, START + 2_000);
    expect(verdictOf(region, 0, 0, START + 2_000)).not.toHaveProperty("pace");
    report(region, "i0", { ok: 1 }, START + 2_000);
    expect(verdictOf(region, 0, 0, START + 2_500)).toMatchObject({ rampedMs: 3_500, pace: 5 });
    report(region, "i0", { failRemote: 2 }, START + 2_500);
    expect(verdictOf(region, 0, 0, START + 3_500)).toMatchObject({ rampedMs: 4_500 });
    expect(verdictOf(region, 0, 0, START + 3_500)).not.toHaveProperty("pace");
  });

  it("is held, not opened, when the upstream goes the third time soon after it came back", ({ expect }) => {
    const region = ramping();
    let now = START + 1_000;
    for (let relapse = 1; relapse <= 3; relapse++) {
      now += 1_000;
      report(region, "i0", { failRemote: 10 }, now);
      if (relapse === 3) break;
      expect(phase(region)).toBe("open");
      now += 10_000;
      for (let step = 0; step < 20 && phase(region) !== "ramp"; step++) {
        advanceRegionBreaker(region, now);
        probe(region, true, (now += 500));
      }
    }
    expect(verdictOf(region, 0, 0, now + 5_000)).toMatchObject({ phase: "ramp", rampedMs: 0, pace: 0 });
    const { generation } = region.breaker.state;
    report(region, "i0", { failRemote: 10 }, now + 5_000);
    expect(region.breaker.state.generation).toBe(generation);
    report(region, "i0", { ok: 10 }, now + 8_000);
    expect(verdictOf(region, 0, 0, now + 8_000)).toMatchObject({ phase: "ramp", rampedMs: 2_500 });
    report(region, "i0", { failRemote: 10 }, now + 9_000);
    expect(verdictOf(region, 0, 0, now + 9_000)).toMatchObject({ phase: "ramp", pace: 0 });
    report(region, "i0", { failRemote: 10 }, now + 17_999);
    expect(phase(region)).toBe("ramp");
    report(region, "i0", { failRemote: 10 }, now + 18_000);
    expect(phase(region)).toBe("open");
  });

  it("opens when a quarter of ten calls fail", ({ expect }) => {
    const region = ramping();
    report(region, "i0", { failRemote: 2, ok: 7 }, START + 2_000);
    expect(phase(region)).toBe("ramp");
    report(region, "i0", { failRemote: 1 }, START + 2_000);
    expect(region.breaker.lastTransition?.reason).toBe("ramp-failed");
  });

  it("does not open on one of many isolates", ({ expect }) => {
    const region = known(5);
    for (const isolate of ["i0", "i1"]) report(region, isolate, { failRemote: 5, consecutive: true }, START);
    for (let index = 0; index < 3; index++) probe(region, true, START + 1_000);
    expect(phase(region)).toBe("ramp");
    report(region, "i0", { failRemote: 500, consecutive: true }, START + 1_500);
    report(region, "i1", { ok: 9 }, START + 1_500);
    report(region, "i0", { failRemote: 500, consecutive: true }, START + 2_000);
    expect(phase(region)).toBe("ramp");
  });

  it("must see the next probes stay good for a while when it failed", ({ expect }) => {
    const region = ramping();
    report(region, "i0", { failRemote: 10 }, START + 2_000);
    expect(phase(region)).toBe("open");
    const now = START + 20_000;
    for (let index = 0; index < 3; index++) probe(region, true, now);
    expect(phase(region)).toBe("half-open");
    expect(leaseProbe(region, 100, now + 499)).toBe(0);
    probe(region, true, now + 500);
    expect(phase(region)).toBe("half-open");
    probe(region, true, now + 1_000);
    expect(phase(region)).toBe("ramp");
  });
});
