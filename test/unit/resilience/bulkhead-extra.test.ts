// What the most important class may take beyond a bulkhead's limit: a few permits always, most of those that
// come back after the limit was lowered, and never more than the ceiling.

import { describe, it } from "vitest";
import type { Bulkhead } from "../../../src/resilience/bulkhead.ts";
import {
  createBulkhead,
  enterBulkhead,
  leaveBulkhead,
  resizeBulkhead,
  waitAtBulkhead,
} from "../../../src/resilience/bulkhead.ts";
import { NO_PERMIT } from "../../../src/resilience/permits.ts";
import { fc, test } from "./property.ts";

const TTL_MS = 10_000;
const NOW = 1_800_000_000_000;

function bulkheadOf(max: number, waiting = 64): Bulkhead {
  return createBulkhead({ max, waiting, maxWaitMs: 100, permitTtlMs: TTL_MS });
}

/** Permits that requests of a class get, of so many that ask. */
function enter(bulkhead: Bulkhead, trafficClass: number, count: number): number[] {
  const permits: number[] = [];
  for (let index = 0; index < count; index++) {
    const permit = enterBulkhead(bulkhead, NOW, trafficClass);
    if (permit !== NO_PERMIT) permits.push(permit);
  }
  return permits;
}

/** Stands in line for a second; `granted` says whether a permit has come. */
function wait(bulkhead: Bulkhead, trafficClass: number, granted: (isGranted: boolean) => void): void {
  waitAtBulkhead(bulkhead, trafficClass, NOW + 1000, NOW, (permit) => granted(permit !== NO_PERMIT));
}

/** A bulkhead of a hundred full of P2, lowered to twenty, with a P0 always in line. */
function drained(returns: number): { critical: number; usual: number; inUse: number } {
  const bulkhead = bulkheadOf(1000);
  resizeBulkhead(bulkhead, 100, NOW);
  const permits = enter(bulkhead, 2, 100);
  const tally = { critical: 0, usual: 0, inUse: 0 };
  const standInLine = (): void =>
    wait(bulkhead, 0, (isGranted) => {
      if (!isGranted) return;
      tally.critical++;
      standInLine();
    });
  wait(bulkhead, 1, () => tally.usual++);
  resizeBulkhead(bulkhead, 20, NOW);
  standInLine();
  for (const permit of permits.slice(0, returns)) leaveBulkhead(bulkhead, permit, NOW);
  return { ...tally, inUse: bulkhead.permits.inUse };
}

describe("a full bulkhead", () => {
  test("is passed by the most important class alone, by four or a quarter, up to the ceiling", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 1, max: 1000 }), (limit, ceiling) => {
        const bulkhead = bulkheadOf(ceiling);
        resizeBulkhead(bulkhead, limit, NOW);
        if (enter(bulkhead, 1, limit + 1).length !== limit) return false;
        const extra = enter(bulkhead, 0, 300).length;
        const usual = enter(bulkhead, 1, 1).length;
        return (
          extra === Math.max(0, Math.min(Math.max(4, Math.floor(limit / 4)), ceiling - limit)) && usual === 0
        );
      }),
    );
  });

  it("gives a permit that comes back to others only when there is room below the limit", ({ expect }) => {
    const bulkhead = bulkheadOf(100);
    resizeBulkhead(bulkhead, 10, NOW);
    const [first, second] = enter(bulkhead, 1, 10);
    enter(bulkhead, 0, 1);
    const granted: boolean[] = [];
    wait(bulkhead, 1, (isGranted) => granted.push(isGranted));
    leaveBulkhead(bulkhead, first, NOW);
    expect(granted).toEqual([]);
    leaveBulkhead(bulkhead, second, NOW);
    expect(granted).toEqual([true]);
  });

  it("keeps the place of one whose turn has not come when a more important one is too late", ({ expect }) => {
    const bulkhead = bulkheadOf(100);
    resizeBulkhead(bulkhead, 10, NOW);
    const permits = enter(bulkhead, 0, 14);
    const settled: string[] = [];
    waitAtBulkhead(bulkhead, 0, NOW + 50, NOW, (permit) => settled.push(`critical ${permit !== NO_PERMIT}`));
    waitAtBulkhead(bulkhead, 1, NOW + 500, NOW, (permit) => settled.push(`usual ${permit !== NO_PERMIT}`));
    leaveBulkhead(bulkhead, permits[0], NOW + 60);
    expect(settled).toEqual(["critical false"]);
    for (const permit of permits.slice(1, 5)) leaveBulkhead(bulkhead, permit, NOW + 70);
    expect(settled).toEqual(["critical false", "usual true"]);
  });
});

describe("a lowered limit", () => {
  it("lets the most important class have nine of ten permits that come back", ({ expect }) => {
    const before = drained(0);
    const after = drained(80);
    expect(before.critical).toBe(0);
    // A tenth of the eighty above the limit with the first that comes back, nine of ten from then on.
    expect(after.critical).toBeGreaterThanOrEqual(8 + 70);
    expect(after.critical).toBeLessThanOrEqual(8 + 73);
    expect(after.usual).toBe(0);
    expect(after.inUse).toBeLessThanOrEqual(108 - 80 / 10 + 1);
  });

  test("never lets anybody pass the ceiling", () => {
    const moves = fc.array(
      fc.record({
        limit: fc.integer({ min: 1, max: 200 }),
        ceiling: fc.integer({ min: 1, max: 200 }),
        critical: fc.nat({ max: 60 }),
        usual: fc.nat({ max: 60 }),
        returned: fc.nat({ max: 80 }),
      }),
      { maxLength: 20 },
    );
    fc.assert(
      fc.property(moves, (sequence) => {
        const bulkhead = bulkheadOf(200);
        const out: number[] = [];
        return sequence.every(({ limit, ceiling, critical, usual, returned }) => {
          bulkhead.ceiling = ceiling;
          resizeBulkhead(bulkhead, limit, NOW);
          const before = bulkhead.permits.inUse;
          out.push(...enter(bulkhead, 0, critical), ...enter(bulkhead, 1, usual));
          const within = bulkhead.permits.inUse <= Math.max(before, limit, ceiling);
          for (const permit of out.splice(0, returned)) leaveBulkhead(bulkhead, permit, NOW);
          return within && bulkhead.permits.inUse === out.length;
        });
      }),
    );
  });

  it("leaves nothing of it when the limit is back where it was", ({ expect }) => {
    const bulkhead = bulkheadOf(1000);
    resizeBulkhead(bulkhead, 100, NOW);
    const permits = enter(bulkhead, 2, 100);
    resizeBulkhead(bulkhead, 20, NOW);
    resizeBulkhead(bulkhead, 100, NOW);
    for (const permit of permits) leaveBulkhead(bulkhead, permit, NOW);
    expect(enter(bulkhead, 0, 500)).toHaveLength(100 + 25);
  });
});
