import { describe, it } from "vitest";
import { grantPermits, wholeOf } from "../../../src/hub/load-grants.ts";
import type { Demands } from "../../../src/hub/load-shares.ts";
import { noteDemand } from "../../../src/hub/load-shares.ts";
import { createRandom } from "../../../src/resilience/random.ts";
import { fc, test } from "../resilience/property.ts";

const NOW = 1_800_000_000_000;

function demandsOf(permits: readonly (number | undefined)[]): Demands {
  const demands: Demands = new Map();
  for (const [index, had] of permits.entries()) {
    const demand = { at: NOW, inflight: 1, waiting: 0, servedPerMs: 0 };
    noteDemand(demands, `i${index}`, had === undefined ? demand : { ...demand, permits: had });
  }
  return demands;
}

function given(demands: Demands): number {
  return [...demands.values()].reduce((sum, { permits = 0 }) => sum + permits, 0);
}

describe("permits that are given", () => {
  it("are no more than the others have left, whatever the share, and one at least", ({ expect }) => {
    const demands = demandsOf([60, 30, 5]);
    expect(grantPermits(demands, "i2", 100, 40, 0)).toBe(10);
    expect(grantPermits(demands, "i1", 100, 20, 0)).toBe(20);
    expect(grantPermits(demands, "i2", 100, 40, 0)).toBe(20);
    expect(grantPermits(demands, "i2", 50, 0, 0)).toBe(1);
  });

  it("are what is needed now where there is more than a share", ({ expect }) => {
    expect(grantPermits(demandsOf([20, 30, 5]), "i2", 100, 10, 45)).toBe(45);
    expect(grantPermits(demandsOf([20, 30, 5]), "i2", 100, 10, 70)).toBe(50);
  });

  it("become the share where a lowered limit has been given out twice", ({ expect }) => {
    const demands = demandsOf([85, 85, 85]);
    const permits = ["i0", "i1", "i2"].map((isolate) => grantPermits(demands, isolate, 105, 35, 60));
    expect(permits).toEqual([35, 35, 35]);
  });

  it("are a newcomer's share at once", ({ expect }) => {
    expect(grantPermits(demandsOf([50, 50, undefined]), "i2", 100, 33, 0)).toBe(33);
  });

  test("never add up to more than the limit once they have, but for one each", () => {
    const turn = fc.record({ isolate: fc.nat(9), share: fc.nat(150), need: fc.nat(150) });
    fc.assert(
      fc.property(fc.integer({ min: 10, max: 300 }), fc.array(turn, { maxLength: 60 }), (limit, turns) => {
        const demands = demandsOf(Array.from({ length: 10 }, () => 1));
        return turns.every(({ isolate, share, need }) => {
          const permits = grantPermits(demands, `i${isolate}`, limit, share, need);
          return permits >= 1 && given(demands) <= limit;
        });
      }),
    );
  });
});

describe("a fraction of a permit", () => {
  it("is one as often as it says", ({ expect }) => {
    const random = createRandom(5);
    const drawn = Array.from({ length: 4000 }, () => wholeOf(2.25, random));
    expect(new Set(drawn)).toEqual(new Set([2, 3]));
    expect(drawn.filter((whole) => whole === 3).length / drawn.length).toBeCloseTo(0.25, 1);
  });
});
