import { describe, it } from "vitest";
import { takePermit } from "../../../src/resilience/permits.ts";
import { createRandom } from "../../../src/resilience/random.ts";
import { NO_TARGET, chooseTarget, createTargetLoads } from "../../../src/resilience/target-choice.ts";
import { fc, test } from "./property.ts";

const weightLists = fc.array(fc.double({ min: 0.1, max: 100, noNaN: true }), { minLength: 1, maxLength: 8 });

/** How often each target is chosen, as shares, while each chosen one holds its request. */
function shares(weights: readonly number[], draws: number, avoid = NO_TARGET): number[] {
  const loads = createTargetLoads(weights);
  const random = createRandom(9);
  const counts = weights.map(() => 0);
  for (let draw = 0; draw < draws; draw++) {
    const target = chooseTarget(loads, random, avoid);
    takePermit(loads.inflight[target], 0, 1000);
    counts[target]++;
  }
  return counts.map((count) => count / draws);
}

describe("the choice of a target", () => {
  test("always gives a target, never the one to avoid when there is another", () => {
    fc.assert(
      fc.property(weightLists, fc.nat(), fc.nat({ max: 7 }), (weights, seed, pick) => {
        const avoid = pick % weights.length;
        const target = chooseTarget(createTargetLoads(weights), createRandom(seed), avoid);
        const exists = target >= 0 && target < weights.length;
        return exists && (weights.length === 1 || target !== avoid);
      }),
    );
  });

  it("spreads requests by weight", ({ expect }) => {
    const found = shares([1, 3, 6], 10_000);
    for (const [index, share] of [0.1, 0.3, 0.6].entries()) expect(found[index]).toBeCloseTo(share, 1.5);
  });

  it("keeps the weights of the rest when one is avoided", ({ expect }) => {
    const found = shares([1, 3, 6], 10_000, 2);
    expect(found[2]).toBe(0);
    expect(found[0]).toBeCloseTo(0.25, 1.5);
  });

  it("of two candidates the one with less in flight for its weight wins", ({ expect }) => {
    const loads = createTargetLoads([1, 2]);
    const random = createRandom(4);
    const shareOfFirst = (): number => {
      let first = 0;
      for (let draw = 0; draw < 5000; draw++) if (chooseTarget(loads, random, NO_TARGET) === 0) first++;
      return first / 5000;
    };
    for (let index = 0; index < 4; index++) takePermit(loads.inflight[1], 0, 1000);
    expect(shareOfFirst(), "chosen whenever it is a candidate").toBeCloseTo(1 - (2 / 3) ** 2, 1.5);
    for (let index = 0; index < 4; index++) takePermit(loads.inflight[0], 0, 1000);
    expect(shareOfFirst(), "chosen only when nobody else is one").toBeCloseTo((1 / 3) ** 2, 1.5);
  });

  it("a slow target gets less: what it holds counts against it", ({ expect }) => {
    const loads = createTargetLoads([1, 1]);
    const random = createRandom(3);
    for (let index = 0; index < 50; index++) takePermit(loads.inflight[0], 0, 1000);
    let slow = 0;
    for (let draw = 0; draw < 1000; draw++) {
      if (chooseTarget(loads, random, NO_TARGET) === 0) slow++;
    }
    expect(slow).toBeLessThan(300);
  });
});
