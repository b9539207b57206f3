// The published algorithms that Tidegate is compared with do what their authors say of them. Otherwise a
// comparison would say nothing.

import { describe, it } from "vitest";
import { comparedPolicies } from "./harness/peers/all.ts";
import { Dagor, dagor } from "./harness/peers/dagor.ts";
import { Throttling, googleByClass, googleInOrder, refusalProbability } from "./harness/peers/google.ts";
import { Gradient2, Vegas, Windowed, fixedLimit } from "./harness/peers/limits.ts";
import { Partitions, netflixTold } from "./harness/peers/netflix.ts";
import { latencyQuantile } from "./harness/measures.ts";
import { rejectionDeviation } from "../../bench/peers/simulated.ts";
import { LARGE_UPSTREAM, steadyLoad } from "./harness/scenarios.ts";
import { tidegate } from "./harness/tidegate-policy.ts";

const REFUSING = { ...LARGE_UPSTREAM, beyond: "refuse" } as const;
const NOW = 1_800_000_000_000;

function fill(partitions: Partitions, trafficClass: number, count: number): void {
  for (let index = 0; index < count; index++) partitions.decided({ trafficClass }, true);
}

function answer(partitions: Partitions, trafficClass: number): void {
  partitions.answered({ trafficClass, answer: 200, latencyMs: 100, inflight: 10, now: NOW });
}

describe("Netflix's partitions", () => {
  it("let a P2 inside its share pass while a P0 beyond its own is refused", ({ expect }) => {
    const partitions = new Partitions(fixedLimit(10));
    fill(partitions, 0, 10);
    expect(partitions.wouldPass({ trafficClass: 0 })).toBe(false);
    expect(partitions.wouldPass({ trafficClass: 2 })).toBe(true);
    const result = steadyLoad({ policy: netflixTold(100), seed: 1, durationMs: 5000 }, 10);
    expect(result.unjustRefusals).toBeGreaterThan(100);
  });

  it("bind nobody below the limit, and let more than the limit in above it", ({ expect }) => {
    const partitions = new Partitions(fixedLimit(10));
    fill(partitions, 2, 9);
    expect(partitions.wouldPass({ trafficClass: 2 })).toBe(true);
    fill(partitions, 2, 1);
    expect(partitions.wouldPass({ trafficClass: 2 })).toBe(false);
    let beyond = 0;
    for (const trafficClass of [0, 1, 2, 3]) {
      for (; partitions.wouldPass({ trafficClass }); beyond++) fill(partitions, trafficClass, 1);
    }
    // Six of P0, three of P1, and one of P3, which has no share.
    expect(beyond).toBe(10);
    answer(partitions, 3);
    expect(partitions.wouldPass({ trafficClass: 3 })).toBe(true);
  });
});

function limitAfter(latencyMs: number, inflight: number, dropped = false): number {
  const vegas = new Vegas(20);
  vegas.sample(100, 20, false);
  vegas.sample(latencyMs, inflight, dropped);
  return vegas.limit;
}

describe("Vegas", () => {
  it("grows by six while nothing queues, holds in between, and shrinks when much does", ({ expect }) => {
    expect(limitAfter(100, 20)).toBe(26);
    expect(limitAfter(110, 20)).toBe(21);
    expect(limitAfter(125, 20)).toBe(20);
    expect(limitAfter(200, 20)).toBe(19);
    expect(limitAfter(100, 9)).toBe(20);
    expect(limitAfter(100, 9, true)).toBe(19);
  });
});

describe("Gradient2", () => {
  it("grows by 0.8 while latency holds, and shrinks by at most a tenth, less the same", ({ expect }) => {
    const gradient = new Gradient2(100);
    for (let second = 0; second < 10; second++) gradient.sample(100, 100);
    expect(gradient.limit).toBe(108);
    gradient.sample(1000, 100);
    expect(gradient.limit).toBe(98);
    gradient.sample(100, 10);
    expect(gradient.limit).toBe(98);
    for (let second = 0; second < 300; second++) gradient.sample(10, 200);
    expect(gradient.limit).toBe(200);
  });
});

describe("a window of Netflix's", () => {
  it("ends after a second, and tells nothing of fewer than ten answers", ({ expect }) => {
    const seen: number[] = [];
    const windowed = new Windowed({ limit: 7, sample: (latencyMs) => void seen.push(latencyMs) });
    for (let at = 0; at <= 1200; at += 100) windowed.sample(at < 1200 ? 50 : 70, 5, false, NOW + at);
    expect(windowed.limit).toBe(7);
    expect(seen).toEqual([50]);
    for (let at = 2100; at <= 4200; at += 500) windowed.sample(90, 5, false, NOW + at);
    expect(seen).toHaveLength(1);
  });
});

describe("Google's throttling", () => {
  it("refuses with max(0, (requests - 2 accepts) / (requests + 1))", ({ expect }) => {
    expect(refusalProbability(100, 60)).toBe(0);
    expect(refusalProbability(99, 0)).toBe(0.99);
    expect(refusalProbability(199, 50)).toBeCloseTo(0.495);
    const throttling = new Throttling("byClass");
    throttling.advance(NOW);
    for (let index = 0; index < 99; index++) throttling.decided({ trafficClass: 1 });
    expect(throttling.probability(1)).toBe(0.99);
    expect(throttling.probability(0)).toBe(0);
    for (let index = 0; index < 25; index++) throttling.answered({ trafficClass: 1, answer: 200, now: NOW });
    expect(throttling.probability(1)).toBe(0.49);
    throttling.advance(NOW + 119_000);
    expect(throttling.probability(1)).toBe(0.49);
    throttling.advance(NOW + 120_000);
    expect(throttling.probability(1)).toBe(0);
  });

  it("refuses a class only when all below are refused, in the form that favours it", ({ expect }) => {
    const throttling = new Throttling("inOrder");
    throttling.advance(NOW);
    for (const [trafficClass, count] of [20, 30, 50].entries()) {
      for (let index = 0; index < count; index++) throttling.decided({ trafficClass });
    }
    for (let index = 0; index < 15; index++) throttling.answered({ trafficClass: 0, answer: 200, now: NOW });
    expect(throttling.probability(2)).toBe(1);
    expect(throttling.probability(1)).toBeCloseTo(((70 / 101) * 100 - 50) / 30);
    expect(throttling.probability(0)).toBe(0);
  });

  it("sends a backend that refuses about twice what it accepts", ({ expect }) => {
    const result = steadyLoad(
      { policy: googleByClass(), seed: 1, upstream: REFUSING, durationMs: 20_000 },
      10,
    );
    const sent = result.upstreamArrivals.reduce((sum, count) => sum + count, 0);
    const accepted = result.classes.reduce((sum, { ok }) => sum + ok, 0);
    expect(sent / accepted).toBeGreaterThan(1.8);
    expect(sent / accepted).toBeLessThan(2.3);
    expect(result.retries).toBeGreaterThan(0);
    expect(googleInOrder().name).not.toBe(result.policy);
  });
});

function halvingWindows(): number {
  const rules = new Dagor(() => 21);
  let now = NOW;
  rules.advance(now);
  for (let windows = 0; windows < 100; windows++) {
    let admitted = 0;
    for (let user = 0; user < 1000; user++) {
      const applicant = { trafficClass: user % 3, user: `user-${user}`, draw: 0, now };
      const passed = rules.wouldPass(applicant);
      rules.decided(applicant, passed);
      if (passed) admitted++;
    }
    if (admitted <= 500) return windows;
    now += 1000;
    rules.advance(now);
  }
  throw new Error("it never halves what it admits");
}

describe("DAGOR", () => {
  it("needs about 14 windows to halve what it admits", ({ expect }) => {
    expect(halvingWindows()).toBeGreaterThanOrEqual(12);
    expect(halvingWindows()).toBeLessThanOrEqual(14);
  });

  it("ends a window after a second or 2,000 requests, and admits a hundredth more in calm", ({ expect }) => {
    let queuingMs = 21;
    let asked = 0;
    const rules = new Dagor(() => {
      asked++;
      return queuingMs;
    });
    rules.advance(NOW);
    const offer = (count: number, now: number): void => {
      for (let user = 0; user < count; user++) {
        const applicant = { trafficClass: 1, user: `user-${user}`, draw: 0, now };
        rules.decided(applicant, rules.wouldPass(applicant));
      }
    };
    offer(1999, NOW);
    rules.advance(NOW + 999);
    expect(asked).toBe(0);
    offer(1, NOW + 999);
    rules.advance(NOW + 999);
    expect(asked).toBe(1);
    const cut = rules.read().cursor;
    expect(cut).toBeLessThan(256);
    queuingMs = 20;
    for (let second = 2; second < 12; second++) {
      offer(1000, NOW + second * 1000);
      rules.advance(NOW + second * 1000 + 999);
    }
    expect(rules.read().cursor).toBe(512);
  });
});

describe("the comparison", () => {
  it("gives everybody the same arrivals, and names nobody twice", ({ expect }) => {
    const policies = comparedPolicies(LARGE_UPSTREAM);
    const results = policies.map((policy) =>
      steadyLoad({ policy, seed: 3, upstream: LARGE_UPSTREAM, durationMs: 2000 }, 2),
    );
    const offered = results.map(({ classes }) => classes.map((tally) => tally.offered).join("/"));
    expect(new Set(offered).size).toBe(1);
    expect(new Set(policies.map(({ name }) => name)).size).toBe(policies.length);
  });

  it("shows that DAGOR lets a queue grow in the first seconds of a tenfold load, and breaks no order", ({
    expect,
  }) => {
    const load = { seed: 1, upstream: LARGE_UPSTREAM, durationMs: 10_000 };
    const slow = steadyLoad({ ...load, policy: dagor() }, 10);
    const quick = steadyLoad({ ...load, policy: tidegate() }, 10);
    expect(slow.levelBreaches + quick.levelBreaches + quick.unjustRefusals).toBe(0);
    expect(latencyQuantile(slow, 0, 0.5)).toBeGreaterThan(10 * latencyQuantile(quick, 0, 0.5));
  });

  it("tells a dimmer from a hammer", ({ expect }) => {
    const result = steadyLoad({ policy: netflixTold(100), seed: 1, durationMs: 4000 }, 0.5);
    const seconds = result.seconds.map((second, index) => ({
      ...second,
      ok: second.offered.map((count) => (index % 2 === 0 ? count : 0)),
    }));
    expect(rejectionDeviation(result, 0, 4000)).toBe(0);
    expect(rejectionDeviation({ ...result, seconds }, 0, 4000)).toBe(0.5);
    expect(rejectionDeviation({ ...result, seconds }, 1000, 2000)).toBe(0);
  });
});
