import { describe, it } from "vitest";
import type { Demands } from "../../../src/hub/load-shares.ts";
import {
  MAX_SHARING,
  SHARE_MS,
  expireDemands,
  grantedToOthers,
  noteDemand,
  shareOf,
  sumDemands,
} from "../../../src/hub/load-shares.ts";
import { fc, test } from "../resilience/property.ts";

const NOW = 1_800_000_000_000;

interface Held {
  readonly inflight: number;
  readonly waiting: number;
}

function demandsOf(isolates: readonly Held[]): Demands {
  const demands: Demands = new Map();
  for (const [index, held] of isolates.entries()) {
    noteDemand(demands, `i${index}`, { at: NOW, ...held, servedPerMs: 0.5 });
  }
  return demands;
}

function sharesOf(isolates: readonly Held[], limit: number, assumed = 1): number[] {
  const demands = demandsOf(isolates);
  return isolates.map((_, index) => shareOf(demands, `i${index}`, limit, assumed).limit);
}

const held = fc.record({
  inflight: fc.double({ min: 0, max: 500, noNaN: true }),
  waiting: fc.nat({ max: 64 }),
});
const isolates = fc.array(held, { minLength: 1, maxLength: 30 });
const limits = fc.integer({ min: 1, max: 2000 });

describe("shares of a limit", () => {
  test("of one moment add up to at most the limit and one for each isolate, and are at least one", () => {
    fc.assert(
      fc.property(isolates, limits, fc.nat({ max: 40 }), (all, limit, assumed) => {
        const shares = sharesOf(all, limit, assumed);
        const given = shares.reduce((sum, share) => sum + share, 0);
        return given <= limit + all.length + 1e-6 && shares.every((share) => share >= 1);
      }),
    );
  });

  test("are the whole limit when nobody else may come", () => {
    fc.assert(
      fc.property(isolates, limits, (all, limit) => {
        const given = sharesOf(all, limit).reduce((sum, share) => sum + share, 0);
        return given >= limit - 1e-6;
      }),
    );
  });

  test("grow with what an isolate asks for", () => {
    fc.assert(
      fc.property(isolates, limits, fc.double({ min: 0, max: 200, noNaN: true }), (all, limit, more) => {
        const [before] = sharesOf(all, limit);
        const [first, ...others] = all;
        const [after] = sharesOf([{ ...first, inflight: first.inflight + more }, ...others], limit);
        return after >= before - 1e-6;
      }),
    );
  });

  test("of everything add up to it, and are alike when nobody has anything", () => {
    fc.assert(
      fc.property(isolates, limits, (all, limit) => {
        const demands = demandsOf(all);
        const shares = all.map((_, index) => shareOf(demands, `i${index}`, limit, 1));
        const parts = shares.reduce((sum, { part }) => sum + part, 0);
        const total = all.reduce((sum, { inflight, waiting }) => sum + inflight + waiting, 0);
        const isAlike = total > 0 || shares.every(({ part }) => Math.abs(part - 1 / all.length) < 1e-9);
        return Math.abs(parts - 1) < 1e-6 && isAlike;
      }),
    );
  });

  it("leave room for isolates that have not been heard yet", ({ expect }) => {
    const [first] = sharesOf([{ inflight: 0, waiting: 0 }], 400, 8);
    expect(first).toBe(400 / 8);
  });

  it("give a newcomer a part of what nobody uses, and follow demand where there is not enough", ({
    expect,
  }) => {
    const calm = [30, 10, 0].map((inflight) => ({ inflight, waiting: 0 }));
    expect(sharesOf(calm, 100)).toEqual([30 + 20, 10 + 20, 0 + 20]);
    const storm = [60, 30, 10].map((inflight) => ({ inflight, waiting: inflight }));
    expect(sharesOf(storm, 100)).toEqual([60, 30, 10]);
  });
});

describe("isolates that share", () => {
  it("count until they have been silent for three seconds", ({ expect }) => {
    const demands = demandsOf([{ inflight: 3, waiting: 1 }]);
    noteDemand(demands, "later", { at: NOW + 1, inflight: 4, waiting: 0, servedPerMs: 0.25 });
    expect(sumDemands(demands)).toEqual({ inflight: 7, servedPerMs: 0.75, isolates: 2, goneBy: 0 });
    expireDemands(demands, NOW + SHARE_MS);
    expect(demands.size).toBe(2);
    expireDemands(demands, NOW + SHARE_MS + 1);
    expect([...demands.keys()]).toEqual(["later"]);
  });

  it("are a bounded number, and those that are known go on being heard", ({ expect }) => {
    const demands: Demands = new Map();
    const demand = { at: NOW, inflight: 1, waiting: 0, servedPerMs: 0 };
    for (let index = 0; index < MAX_SHARING + 5; index++) noteDemand(demands, `i${index}`, demand);
    expect(demands.size).toBe(MAX_SHARING);
    noteDemand(demands, "i0", { ...demand, inflight: 9 });
    expect(demands.get("i0")?.inflight).toBe(9);
  });

  it("know what the others may still schedule", ({ expect }) => {
    const demands = demandsOf([{ inflight: 1, waiting: 0 }]);
    const demand = { at: NOW, inflight: 1, waiting: 0, servedPerMs: 0 };
    noteDemand(demands, "one", { ...demand, granted: 3 });
    noteDemand(demands, "two", { ...demand, granted: 4 });
    expect(["one", "two", "i0"].map((isolate) => grantedToOthers(demands, isolate))).toEqual([4, 3, 7]);
  });
});
