import { describe, it } from "vitest";
import type { RateLimitOptions } from "../../../src/resilience/rate-limit.ts";
import {
  FEW_KEYS,
  MAX_KEYS_PER_GENERATION,
  createRateLimit,
  returnRate,
  takeRate,
} from "../../../src/resilience/rate-limit.ts";
import { fc, test } from "./property.ts";

const START_MS = 1_800_000_000_000;

/** The generic cell rate algorithm in whole numbers: time in units of 1 / rate ms, so nothing is rounded. */
class ExactLimit {
  readonly #options: RateLimitOptions;
  readonly #arrivals = new Map<string, bigint>();

  constructor(options: RateLimitOptions) {
    this.#options = options;
  }

  /** Units until it conforms; 0n when it was taken. */
  take(key: string, now: number): bigint {
    const { rate, perMs, burst, cost } = this.#options;
    const at = BigInt(now) * BigInt(rate);
    const stored = this.#arrivals.get(key) ?? 0n;
    const next = (stored > at ? stored : at) + BigInt(cost * perMs);
    const excess = next - at - BigInt(burst * perMs);
    if (excess > 0n) return excess;
    this.#arrivals.set(key, next);
    return 0n;
  }
}

describe("the rate limit", () => {
  test("agrees with exact arithmetic for any rates, keys and gaps", () => {
    const options = fc.record({
      rate: fc.integer({ min: 1, max: 1000 }),
      perMs: fc.integer({ min: 1, max: 3_600_000 }),
      burst: fc.integer({ min: 1, max: 100 }),
      cost: fc.integer({ min: 1, max: 3 }),
    });
    const arrivals = fc.array(
      fc.record({
        key: fc.constantFrom("a", "b", "c"),
        waitMs: fc.oneof(fc.nat({ max: 20 }), fc.nat({ max: 200_000 })),
      }),
      { maxLength: 150 },
    );
    fc.assert(
      fc.property(options, arrivals, (limits, sequence) => {
        const limit = createRateLimit(limits);
        const exact = new ExactLimit(limits);
        let now = START_MS;
        return sequence.every(({ key, waitMs }) => {
          now += waitMs;
          const got = takeRate(limit, key, now);
          const expected = Number(exact.take(key, now)) / limits.rate;
          return Math.abs(got - expected) <= 1e-3 + limit.intervalMs * 2e-6;
        });
      }),
    );
  });

  it("lets a whole burst pass, then one per interval", ({ expect }) => {
    const limit = createRateLimit({ rate: 10, perMs: 1000, burst: 5, cost: 1 });
    expect([1, 2, 3, 4, 5, 6].map(() => takeRate(limit, "a", START_MS))).toEqual([0, 0, 0, 0, 0, 100]);
    expect(takeRate(limit, "a", START_MS + 99)).toBe(1);
    expect(takeRate(limit, "a", START_MS + 100)).toBe(0);
  });

  it("a refused request uses nothing", ({ expect }) => {
    const limit = createRateLimit({ rate: 1, perMs: 1000, burst: 1, cost: 1 });
    takeRate(limit, "a", START_MS);
    for (let index = 0; index < 1000; index++) expect(takeRate(limit, "a", START_MS)).toBe(1000);
    expect(takeRate(limit, "a", START_MS + 1000)).toBe(0);
  });

  it("what is given back can be taken again", ({ expect }) => {
    const limit = createRateLimit({ rate: 60, perMs: 60_000, burst: 2, cost: 2 });
    expect(takeRate(limit, 7, START_MS)).toBe(0);
    returnRate(limit, 7);
    expect(takeRate(limit, 7, START_MS)).toBe(0);
    expect(takeRate(limit, 7, START_MS)).toBe(2000);
    returnRate(limit, 8);
  });

  it("tells what is left and when one more will be there", ({ expect }) => {
    const limit = createRateLimit({ rate: 10, perMs: 1000, burst: 3, cost: 1 });
    const seen = [0, 0, 50, 50].map((afterMs) => {
      takeRate(limit, "a", START_MS + afterMs);
      return [limit.remaining, Math.round(limit.resetMs)];
    });
    expect(seen).toEqual([
      [2, 100],
      [1, 100],
      [0, 50],
      [0, 50],
    ]);
  });

  it("keeps the keys of callers apart, numbers from texts too", ({ expect }) => {
    const limit = createRateLimit({ rate: 1, perMs: 1000, burst: 1, cost: 1 });
    expect([1, "1", 2, "a"].map((key) => takeRate(limit, key, START_MS))).toEqual([0, 0, 0, 0]);
  });

  it("remembers a key over a change of generations, and no longer than its recovery takes", ({ expect }) => {
    const limit = createRateLimit({ rate: 1, perMs: 10_000, burst: 3, cost: 1 });
    const takeMany = (now: number): void => {
      for (let index = 0; index < FEW_KEYS; index++) takeRate(limit, index, now);
    };
    takeMany(START_MS);
    takeRate(limit, "early", START_MS);
    for (let take = 0; take < 3; take++) takeRate(limit, "a", START_MS + 29_000);
    expect(takeRate(limit, "a", START_MS + 31_000)).toBeGreaterThan(0);
    expect(limit.old.slots.has("a")).toBe(true);
    expect(takeRate(limit, "a", START_MS + 60_000)).toBe(0);
    takeMany(START_MS + 200_000);
    takeRate(limit, "b", START_MS + 200_000);
    takeRate(limit, "b", START_MS + 300_000);
    expect(limit.old.slots.has("early") || limit.young.slots.has("early")).toBe(false);
  });

  it("keeps a few keys where they are, whose numbers recover all the same", ({ expect }) => {
    const limit = createRateLimit({ rate: 1, perMs: 1000, burst: 2, cost: 1 });
    const first = limit.young;
    for (let index = 0; index < FEW_KEYS; index++) takeRate(limit, index, START_MS);
    takeRate(limit, 0, START_MS + 60_000);
    takeRate(limit, 0, START_MS + 60_000);
    expect(takeRate(limit, 0, START_MS + 60_000)).toBe(1000);
    expect(limit.young).toBe(first);
    takeRate(limit, "one more", START_MS + 60_000);
    takeRate(limit, 0, START_MS + 120_000);
    expect(limit.old).toBe(first);
    expect(limit.young.slots.size).toBe(1);
  });

  it("a flood of keys is bounded, and takes no more memory than two generations", ({ expect }) => {
    const limit = createRateLimit({ rate: 1, perMs: 1000, burst: 1, cost: 1 });
    for (let index = 0; index < 3 * MAX_KEYS_PER_GENERATION + 5; index++) {
      takeRate(limit, `key-${index}`, START_MS);
      if (index % 1000 === 0) expect(limit.young.slots.size).toBeLessThanOrEqual(MAX_KEYS_PER_GENERATION);
    }
    expect(limit.young.slots.size + limit.old.slots.size).toBeLessThanOrEqual(2 * MAX_KEYS_PER_GENERATION);
    expect(limit.young.arrivalTimes.length).toBeLessThanOrEqual(MAX_KEYS_PER_GENERATION);
  });

  it("a known key is found in a full generation without making a new one", ({ expect }) => {
    const limit = createRateLimit({ rate: 1, perMs: 60_000, burst: 1, cost: 1 });
    for (let index = 0; index < MAX_KEYS_PER_GENERATION; index++) takeRate(limit, index, START_MS);
    for (let index = 0; index < 10; index++) expect(takeRate(limit, 5, START_MS)).toBe(60_000);
    expect(limit.old.slots.size === 0 || limit.young.slots.size <= 1).toBe(true);
  });
});
