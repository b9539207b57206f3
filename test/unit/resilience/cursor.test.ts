import { describe, it } from "vitest";
import type { ShedLoop, ShedTally } from "../../../src/resilience/cursor.ts";
import {
  LONGEST_TICK_MS,
  MAXIMUM_CUT,
  MINIMUM_SETTLED,
  TICKS_BEFORE_CRITICAL_CUT,
  TICK_MS,
  createShedLoop,
  createShedTally,
  isTickDue,
  passesCursor,
  placeCursor,
  tickCursor,
} from "../../../src/resilience/cursor.ts";
import { COHORTS_PER_CLASS, LEVEL_COUNT } from "../../../src/resilience/level.ts";
import { fc, test } from "./property.ts";

interface Tick {
  readonly arrivals: readonly (readonly [level: number, count: number])[];
  readonly okShare: number;
  readonly signals: number;
  readonly elapsedMs: number;
}

const ticks: fc.Arbitrary<Tick[]> = fc.array(
  fc.record({
    arrivals: fc.array(fc.tuple(fc.nat({ max: LEVEL_COUNT - 1 }), fc.nat({ max: 500 })), { maxLength: 30 }),
    okShare: fc.double({ min: 0, max: 1, noNaN: true }),
    signals: fc.nat({ max: 3 }),
    elapsedMs: fc.integer({ min: 0, max: 5000 }),
  }),
  { maxLength: 12 },
);

function feed(tally: ShedTally, tick: Tick): void {
  for (const [level, count] of tick.arrivals) {
    tally.arrivals[level] += count;
    tally.settled += count;
  }
  tally.ok += Math.floor(tally.settled * tick.okShare);
  tally.signals += tick.signals;
}

/** Runs the loop over random ticks and looks at it after each. */
function holdsAfterEach(sequence: readonly Tick[], holds: (loop: ShedLoop) => boolean): boolean {
  const loop = createShedLoop();
  const tally = createShedTally();
  let now = 1_800_000_000_000;
  return sequence.every((tick) => {
    now += tick.elapsedMs;
    feed(tally, tick);
    tickCursor(loop, tally, now, false, 1);
    return holds(loop);
  });
}

/** One tick in which every class sends `perClass` requests, spread over its levels. */
function overload(
  loop: ShedLoop,
  now: number,
  perClass: readonly number[],
  ok: number,
  holding = false,
): void {
  const tally = createShedTally();
  for (const [trafficClass, count] of perClass.entries()) {
    for (let index = 0; index < count; index++) {
      tally.arrivals[trafficClass * COHORTS_PER_CLASS + (index % COHORTS_PER_CLASS)]++;
    }
    tally.settled += count;
  }
  tally.ok = ok;
  tally.signals = 1;
  tickCursor(loop, tally, now, holding, 1);
}

/** The cut of a tick of half a second, half of whose requests failed, in which somebody stood in line. */
function cutAfterLine(lineBusyMs: number): number {
  const loop = createShedLoop();
  loop.tickStartedAt = 500;
  const tally = createShedTally();
  tally.arrivals[200] = 100;
  tally.settled = 100;
  tally.ok = 50;
  tally.lineBusyMs = lineBusyMs;
  tickCursor(loop, tally, 1000, false, 1);
  return loop.cut;
}

describe("the cursor", () => {
  test("a level that passes implies that every more important one does", () => {
    const position = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
    fc.assert(
      fc.property(ticks, position, position, (sequence, one, other) =>
        holdsAfterEach(sequence, (loop) => {
          let refused = false;
          for (let level = 0; level < LEVEL_COUNT; level++) {
            const passes = passesCursor(loop, level, level % 2 === 0 ? one : other);
            if (passes && refused) return false;
            refused ||= !passes;
          }
          return true;
        }),
      ),
    );
  });

  test("no class has a reserved minimum: a refused level refuses all that are less important", () => {
    fc.assert(
      fc.property(ticks, (sequence) =>
        holdsAfterEach(sequence, (loop) => {
          for (let level = loop.cursor + 1; level < LEVEL_COUNT; level++) {
            if (passesCursor(loop, level, 0)) return false;
          }
          return true;
        }),
      ),
    );
  });

  test("the most important class is cut only after everything below it, and after three ticks that ask for it", () => {
    fc.assert(
      fc.property(ticks, (sequence) => {
        const before: number[] = [];
        return holdsAfterEach(sequence, (loop) => {
          const earlier = before.slice(-TICKS_BEFORE_CRITICAL_CUT);
          before.push(loop.cursor);
          if (loop.cursor >= COHORTS_PER_CLASS) return true;
          return (
            earlier.length === TICKS_BEFORE_CRITICAL_CUT &&
            earlier.every((cursor) => cursor <= COHORTS_PER_CLASS)
          );
        });
      }),
    );
  });

  test("refuses about the share of arrivals that the cut says", () => {
    const histogram = fc.array(fc.nat({ max: 1000 }), { minLength: LEVEL_COUNT, maxLength: LEVEL_COUNT });
    fc.assert(
      fc.property(histogram, fc.double({ min: 0, max: MAXIMUM_CUT, noNaN: true }), (counts, cut) => {
        const loop = createShedLoop();
        loop.histogram.set(counts);
        placeCursor(loop, cut, true);
        const total = counts.reduce((sum, count) => sum + count, 0);
        let passing = 0;
        for (let level = 0; level < loop.cursor; level++) passing += counts[level];
        if (loop.cursor < LEVEL_COUNT) passing += loop.fraction * counts[loop.cursor];
        return total === 0 || Math.abs(passing - (1 - cut) * total) < 1e-6 * total;
      }),
      { numRuns: 100 },
    );
  });

  it("divides a level by the position of its requests", ({ expect }) => {
    const loop = createShedLoop();
    loop.histogram[300] = 1000;
    placeCursor(loop, 0.25, false);
    expect(loop.cursor).toBe(300);
    expect(loop.fraction).toBeCloseTo(0.75);
    expect(passesCursor(loop, 300, 0.74)).toBe(true);
    expect(passesCursor(loop, 300, 0.76)).toBe(false);
  });

  it("two isolates with the same snapshot decide alike", ({ expect }) => {
    const loop = createShedLoop();
    overload(loop, 1000, [100, 200, 300, 0], 200);
    const snapshot: ShedLoop = { ...loop, histogram: new Float64Array(LEVEL_COUNT) };
    for (let level = 0; level < LEVEL_COUNT; level++) {
      for (const position of [0, 0.3, 0.9]) {
        expect(passesCursor(snapshot, level, position)).toBe(passesCursor(loop, level, position));
      }
    }
  });

  it("waits three ticks before it cuts the most important class, then does", ({ expect }) => {
    const loop = createShedLoop();
    const cursors = [1, 2, 3, 4, 5].map((tick) => {
      overload(loop, tick * TICK_MS, [1000, 0, 0, 0], 300);
      return loop.cursor;
    });
    expect(cursors.slice(0, TICKS_BEFORE_CRITICAL_CUT)).toEqual([128, 128, 128]);
    expect(cursors[3]).toBeLessThan(COHORTS_PER_CLASS);
  });
});

describe("the loop", () => {
  it("starts by admitting all, and does not shed below the minimum of settled requests", ({ expect }) => {
    const loop = createShedLoop();
    expect(loop.cursor).toBe(LEVEL_COUNT);
    overload(loop, 1000, [MINIMUM_SETTLED - 1, 0, 0, 0], 0);
    expect(loop.cursor).toBe(LEVEL_COUNT);
    overload(loop, 2000, [0, MINIMUM_SETTLED, 0, 0], 0);
    expect(loop.cursor).toBeLessThan(LEVEL_COUNT);
  });

  it("envoy admission control: no success means that nearly all is refused, within the maximum", ({
    expect,
  }) => {
    const loop = createShedLoop();
    for (let tick = 1; tick <= 10; tick++) overload(loop, tick * TICK_MS, [0, 0, 1000, 0], 0);
    expect(loop.cut).toBe(MAXIMUM_CUT);
  });

  it("envoy admission control: half success under overload refuses the other half, less the margin", ({
    expect,
  }) => {
    const cuts = [60, 1000, 100_000].map((offered) => {
      const loop = createShedLoop();
      for (let tick = 1; tick <= 10; tick++) overload(loop, tick * TICK_MS, [0, 0, offered, 0], offered / 2);
      return loop.cut;
    });
    // All of one class: the margin is what arrivals scatter, a fifth of few, nothing of many.
    expect(cuts[0]).toBeCloseTo(0.4);
    expect(cuts[1]).toBeCloseTo(0.47);
    expect(cuts[2]).toBeCloseTo(0.497);
    const mixed = createShedLoop();
    for (let tick = 1; tick <= 10; tick++) overload(mixed, tick * TICK_MS, [0, 200, 800, 0], 500);
    expect(mixed.cut).toBeCloseTo(0.4);
  });

  it("finagle: one bad tick after good ones cuts less than several", ({ expect }) => {
    const loop = createShedLoop();
    for (let tick = 1; tick <= 10; tick++) overload(loop, tick * TICK_MS, [0, 0, 100, 0], 100);
    const cuts = [11, 12, 13, 20].map((tick) => {
      overload(loop, tick * TICK_MS, [0, 0, 100, 0], 0);
      return loop.cut;
    });
    expect(cuts[0]).toBeLessThan(0.3);
    expect(cuts[1]).toBeGreaterThan(cuts[0] + 0.1);
    expect(cuts[2]).toBeGreaterThan(cuts[1] + 0.1);
    expect(cuts[3]).toBeGreaterThan(0.9);
  });

  it("google sre: without evidence of overload, half success refuses nothing", ({ expect }) => {
    const loop = createShedLoop();
    const tally = createShedTally();
    tally.arrivals[200] = 100;
    tally.settled = 100;
    tally.ok = 50;
    tickCursor(loop, tally, 1000, false, 1);
    expect(loop.cut).toBe(0);
  });

  it("a standing line is evidence of overload from a tenth of the tick on", ({ expect }) => {
    expect(cutAfterLine(50)).toBe(0);
    expect(cutAfterLine(51)).toBeCloseTo(0.4);
  });

  it("envoy admission control: a day without traffic leaves nothing of an overload", ({ expect }) => {
    const loop = createShedLoop();
    for (let tick = 1; tick <= 10; tick++) overload(loop, tick * TICK_MS, [10, 10, 1000, 0], 100);
    expect(loop.cut).toBeGreaterThan(0.5);
    tickCursor(loop, createShedTally(), 86_400_000, false, 1);
    expect(loop.cut).toBe(0);
    expect(loop.cursor).toBe(LEVEL_COUNT);
    expect(loop.histogram.every((count) => count < 1e-9)).toBe(true);
  });

  it("takes refusals of an open breaker for no sign of overload", ({ expect }) => {
    const loop = createShedLoop();
    for (let tick = 1; tick <= 10; tick++) overload(loop, tick * TICK_MS, [10, 10, 1000, 0], 0, true);
    expect(loop.cut).toBe(0);
    expect(loop.cursor).toBe(LEVEL_COUNT);
  });

  it("lets a ramp pass by importance, without waiting three ticks", ({ expect }) => {
    const loop = createShedLoop();
    const tally = createShedTally();
    for (let level = 0; level < 3 * COHORTS_PER_CLASS; level++) tally.arrivals[level] = 10;
    tickCursor(loop, tally, 1000, false, 0.1);
    expect(loop.cursor).toBe(38);
  });

  it("does not count a ramp's steps as ticks that ask for a cut of the most important class", ({
    expect,
  }) => {
    const loop = createShedLoop();
    loop.histogram.fill(1);
    for (let step = 0; step < 10; step++) placeCursor(loop, 0.95, true);
    placeCursor(loop, 0.95, false);
    expect(loop.cursor).toBe(COHORTS_PER_CLASS);
  });

  it("spreads a ramp over all levels when nothing has arrived yet", ({ expect }) => {
    const loop = createShedLoop();
    placeCursor(loop, 0.5, true);
    expect(loop.cursor).toBe(LEVEL_COUNT / 2);
  });

  it("ticks twice a second when enough is known, and at the latest after two", ({ expect }) => {
    const loop = createShedLoop();
    const tally = createShedTally();
    loop.tickStartedAt = 0;
    tally.settled = MINIMUM_SETTLED - 1;
    expect(isTickDue(loop, tally, LONGEST_TICK_MS - 1)).toBe(false);
    expect(isTickDue(loop, tally, LONGEST_TICK_MS)).toBe(true);
    tally.settled = MINIMUM_SETTLED;
    expect(isTickDue(loop, tally, TICK_MS - 1)).toBe(false);
    expect(isTickDue(loop, tally, TICK_MS)).toBe(true);
  });

  it("empties the tally that it took in", ({ expect }) => {
    const loop = createShedLoop();
    const tally = createShedTally();
    feed(tally, { arrivals: [[3, 9]], okShare: 1, signals: 2, elapsedMs: 0 });
    tickCursor(loop, tally, 1000, false, 1);
    expect(tally).toEqual(createShedTally());
  });
});
