import { describe, it } from "vitest";
import {
  BUDGET_WINDOW_MS,
  FLOOR_RETRIES_PER_SECOND,
  backoffMs,
  createRetryBudget,
  depositOriginal,
  takeRetry,
} from "../../../src/resilience/retry-budget.ts";
import { fc, test } from "./property.ts";

const FLOOR = (FLOOR_RETRIES_PER_SECOND * BUDGET_WINDOW_MS) / 1000;

describe("the retry budget", () => {
  test("grants its share of the originals of the window plus the floor, and nothing more", () => {
    const step = fc.record({
      waitMs: fc.nat({ max: 3000 }),
      originals: fc.nat({ max: 60 }),
      wanted: fc.nat({ max: 40 }),
    });
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.array(step, { maxLength: 60 }),
        (share, steps) => {
          const budget = createRetryBudget(share);
          const originals: number[] = [];
          const retries: number[] = [];
          let now = 1_800_000_000_000;
          return steps.every(({ waitMs, originals: arrivals, wanted }) => {
            now += waitMs;
            for (let index = 0; index < arrivals; index++) {
              depositOriginal(budget, now);
              originals.push(now);
            }
            // Slots end on whole seconds: what counts lies nine to ten seconds back.
            const oldest = Math.floor(now / 1000) * 1000 - BUDGET_WINDOW_MS + 1000;
            const inWindow = (times: number[]): number => times.filter((time) => time >= oldest).length;
            for (let index = 0; index < wanted; index++) {
              const allowed = inWindow(retries) + 1 <= share * inWindow(originals) + FLOOR;
              if (takeRetry(budget, now) !== allowed) return false;
              if (allowed) retries.push(now);
            }
            return true;
          });
        },
      ),
    );
  });

  it("finagle: a floor lets little traffic retry", ({ expect }) => {
    const budget = createRetryBudget(0);
    const granted = Array.from({ length: 30 }, () => takeRetry(budget, 0)).filter(Boolean);
    expect(granted).toHaveLength(FLOOR);
  });

  it("failsafe-go: beyond the floor it is bound by the rate of originals", ({ expect }) => {
    const budget = createRetryBudget(0.1);
    for (let index = 0; index < 1000; index++) depositOriginal(budget, 0);
    const granted = Array.from({ length: 1000 }, () => takeRetry(budget, 0)).filter(Boolean);
    expect(granted).toHaveLength(100 + FLOOR);
  });

  it("finagle: deposits expire", ({ expect }) => {
    const budget = createRetryBudget(1);
    for (let index = 0; index < 1000; index++) depositOriginal(budget, 0);
    const granted = Array.from({ length: 1000 }, () => takeRetry(budget, BUDGET_WINDOW_MS)).filter(Boolean);
    expect(granted).toHaveLength(FLOOR);
  });

  it("envoy: a retry that is scheduled counts, so the base does not shrink as originals turn into retries", ({
    expect,
  }) => {
    const budget = createRetryBudget(0.1);
    for (let second = 0; second < 100; second++) {
      for (let index = 0; index < 100; index++) depositOriginal(budget, second * 1000);
      for (let index = 0; index < 100; index++) takeRetry(budget, second * 1000);
    }
    expect(budget.retriesTotal / budget.originalsTotal).toBeLessThanOrEqual(0.11);
    expect(budget.retriesTotal / budget.originalsTotal).toBeGreaterThan(0.09);
  });

  it("a clock that steps back neither grants nor forgets", ({ expect }) => {
    const budget = createRetryBudget(0);
    while (takeRetry(budget, 100_000));
    expect(takeRetry(budget, 50_000)).toBe(false);
  });
});

describe("backoff", () => {
  test("resilience4j: exponential and capped, full jitter stays below it", () => {
    fc.assert(
      fc.property(
        fc.nat({ max: 20 }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (retry, random) => {
          const waitMs = backoffMs(retry, 25, 250, random);
          return waitMs >= 0 && waitMs <= Math.min(250, 25 * 2 ** retry);
        },
      ),
    );
  });

  it("grows to its cap", ({ expect }) => {
    expect([0, 1, 2, 3, 4, 50].map((retry) => backoffMs(retry, 25, 250, 1))).toEqual([
      25, 50, 100, 200, 250, 250,
    ]);
  });

  it("opossum: a delay of zero is honoured", ({ expect }) => {
    expect(backoffMs(3, 0, 250, 1)).toBe(0);
  });
});
