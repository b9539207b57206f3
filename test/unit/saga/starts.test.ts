// The bounds of starts and the pace at which executors are created, without a platform.

import { describe, it } from "vitest";
import {
  ACTIVE_TERMS,
  OPEN_GATE,
  UNCREATED_TERMS,
  nextGate,
  refusalOf,
} from "../../../durable-objects/saga-ledger/start-gate.ts";
import type { StartLoad } from "../../../durable-objects/saga-ledger/start-gate.ts";
import {
  BATCH,
  CREATED_PER_SECOND,
  FRESH_PACE,
  MAX_PAUSE_MS,
  afterCreation,
  afterRefusal,
  creatable,
} from "../../../src/saga/core/creation-pace.ts";
import { fc } from "../resilience/property.ts";

const QUIET: StartLoad = { active: 0, endedPerSecond: 0, uncreated: 0, createdPerSecond: 0 };

describe("the gate of starts", () => {
  it.for([
    ["active", ACTIVE_TERMS.highWatermark],
    ["uncreated", UNCREATED_TERMS.highWatermark],
  ] as const)(
    "%s: refuses all but P0 from the watermark, P0 from 1.25 of it, until 0.7",
    ([what, mark], { expect }) => {
      const at = (depth: number, before = OPEN_GATE) => {
        const load = { ...QUIET, [what]: depth };
        const gate = nextGate(before, load);
        return {
          gate,
          refused: ([0, 1, 3] as const).map((priority) => refusalOf(gate, load, priority) !== null),
        };
      };
      expect(at(mark - 1).refused).toEqual([false, false, false]);
      const full = at(mark);
      expect(full.refused).toEqual([false, true, true]);
      expect(at(0.7 * mark + 1, full.gate).refused).toEqual([false, true, true]);
      expect(at(1.25 * mark, full.gate).refused).toEqual([true, true, true]);
      expect(at(0.7 * mark, full.gate).refused).toEqual([false, false, false]);
    },
  );

  it("tells producers to wait until what is too much has gone", ({ expect }) => {
    const load = { ...QUIET, uncreated: 3_100, createdPerSecond: 100 };
    expect(refusalOf(nextGate(OPEN_GATE, load), load, 1)).toBe(10_000);
    const stuck = { ...load, createdPerSecond: 0 };
    expect(refusalOf(nextGate(OPEN_GATE, stuck), stuck, 1)).toBe(300_000);
  });
});

describe("the pace of creations", () => {
  it("keeps to what the platform creates in any second, and loses none", ({ expect }) => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 300 }), { minLength: 1, maxLength: 30 }), (arrivals) => {
        let pace = FRESH_PACE;
        let waiting = 0;
        let created = 0;
        let now = 1_000_000;
        const log: { at: number; count: number }[] = [];
        for (const arrived of [...arrivals, ...Array.from({ length: 200 }, () => 0)]) {
          waiting += arrived;
          const until = now + 1_000;
          while (now < until) {
            const { count, waitMs } =
              waiting === 0 ? { count: 0, waitMs: 1_000 } : creatable(pace, waiting, now);
            if (count > 0) {
              pace = afterCreation(pace, count, now);
              log.push({ at: now, count });
              waiting -= count;
              created += count;
            } else now += Math.max(1, waitMs);
          }
        }
        expect(created).toBe(arrivals.reduce((sum, each) => sum + each, 0));
        for (const { at } of log) {
          const within = log.filter((each) => each.at >= at && each.at < at + 1_000);
          const sum = within.reduce((total, { count }) => total + count, 0);
          expect(sum).toBeLessThanOrEqual(BATCH + CREATED_PER_SECOND);
        }
      }),
      { numRuns: 50 },
    );
  });

  it("asks later and for fewer after each refusal, and as before after a success", ({ expect }) => {
    let pace = FRESH_PACE;
    const seen: number[][] = [];
    let now = 0;
    for (let refusals = 0; refusals < 8; refusals++) {
      pace = afterRefusal(pace, now, 0.999);
      const { waitMs } = creatable(pace, 1_000, now);
      seen.push([Math.round(waitMs / 1_000), pace.size]);
      now += waitMs;
    }
    expect(seen).toEqual([
      [1, 50],
      [2, 25],
      [4, 12],
      [8, 6],
      [16, 3],
      [MAX_PAUSE_MS / 1_000, 1],
      [MAX_PAUSE_MS / 1_000, 1],
      [MAX_PAUSE_MS / 1_000, 1],
    ]);
    expect(creatable(pace, 1_000, now)).toEqual({ count: 1, waitMs: 0 });
    pace = afterCreation(pace, 1, now);
    expect(creatable(pace, 1_000, now).count).toBe(2);
  });
});
