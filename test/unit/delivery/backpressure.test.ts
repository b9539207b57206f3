// Watermarks, what producers are told, the drain rate and the alert on lag.

import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ALERT_AFTER_MS, NO_ALERT, alertDueAt, observeLag } from "../../../src/delivery/core/alert.ts";
import {
  MAX_WAIT_MS,
  MIN_WAIT_MS,
  admits,
  nextRefusing,
  pressureOf,
  refusalWaitMs,
  type Refusing,
} from "../../../src/delivery/core/backpressure.ts";
import { addDrained, drainPerSecond } from "../../../src/delivery/core/drain-rate.ts";

const TERMS = { highWatermark: 100, resumeAt: 0.7 };
const terms = fc.record({
  highWatermark: fc.integer({ min: 1, max: 10_000 }),
  resumeAt: fc.double({ min: 0, max: 0.99, noNaN: true }),
});

describe("refusing", () => {
  it("begins at exactly the watermark, for P0 at 1.25 of it, and ends at 0.7 of it", () => {
    expect(nextRefusing("nothing", 99, TERMS)).toBe("nothing");
    expect(nextRefusing("nothing", 100, TERMS)).toBe("ordinary");
    expect(nextRefusing("ordinary", 124, TERMS)).toBe("ordinary");
    expect(nextRefusing("ordinary", 125, TERMS)).toBe("everything");
    expect(nextRefusing("everything", 71, TERMS)).toBe("everything");
    expect(nextRefusing("ordinary", 71, TERMS)).toBe("ordinary");
    expect(nextRefusing("everything", 70, TERMS)).toBe("nothing");
  });

  it("never lets a class in where a more important one is refused", () => {
    for (const refusing of ["nothing", "ordinary", "everything"] as const) {
      const admitted = ([0, 1, 2, 3] as const).map((priority) => admits(refusing, priority));
      expect(admitted).toEqual(admitted.toSorted((a, b) => Number(b) - Number(a)));
    }
    expect(admits("ordinary", 0)).toBe(true);
    expect(admits("ordinary", 1)).toBe(false);
    expect(admits("everything", 0)).toBe(false);
  });

  it("cannot flap: between two beginnings the depth has crossed the whole band", () => {
    fc.assert(
      fc.property(
        terms,
        fc.array(fc.integer({ min: -40, max: 40 }), { maxLength: 100, size: "max" }),
        (some, steps) => {
          // Depths at which refusing began and ended, in turns.
          const changes: number[] = [];
          let refusing: Refusing = "nothing";
          let depth = 0;
          for (const step of steps) {
            depth = Math.max(0, depth + step);
            const next = nextRefusing(refusing, depth, some);
            if ((next === "nothing") !== (refusing === "nothing")) changes.push(depth);
            refusing = next;
          }
          const begun = changes.filter((_, index) => index % 2 === 0);
          const ended = changes.filter((_, index) => index % 2 === 1);
          const resume = some.resumeAt * some.highWatermark;
          expect(begun.filter((at) => at < some.highWatermark)).toEqual([]);
          expect(ended.filter((at) => at > resume)).toEqual([]);
        },
      ),
    );
  });
});

describe("the wait", () => {
  it("is what is too much over what drains, between 1 and 300 s", () => {
    expect(refusalWaitMs(120, TERMS, 10)).toBe(5_000);
    expect(refusalWaitMs(120, TERMS, 1_000)).toBe(MIN_WAIT_MS);
    expect(refusalWaitMs(120, TERMS, 0)).toBe(MAX_WAIT_MS);
    expect(refusalWaitMs(70, TERMS, 0)).toBe(MAX_WAIT_MS);
    expect(pressureOf("nothing", 120, TERMS, 0).retryAfterMs).toBe(0);
  });

  it("never falls while nothing drains, whatever else comes in", () => {
    const arrivals = fc.array(fc.tuple(fc.nat({ max: 60_000 }), fc.nat({ max: 20 })), {
      maxLength: 100,
      size: "max",
    });
    fc.assert(
      fc.property(terms, fc.nat({ max: 500 }), arrivals, (some, drained, later) => {
        const rate = addDrained({ perSecond: 0, at: 0 }, drained, 0);
        let [now, depth, last] = [0, some.highWatermark, 0];
        for (const [ms, more] of later) {
          now += ms;
          depth += more;
          const waitMs = refusalWaitMs(depth, some, drainPerSecond(rate, now));
          expect(waitMs).toBeGreaterThanOrEqual(last);
          last = waitMs;
        }
      }),
    );
  });
});

describe("the drain rate", () => {
  it("of a steady stream is that stream", () => {
    let rate = { perSecond: 0, at: 0 };
    for (let now = 0; now < 100_000; now += 100) rate = addDrained(rate, 5, now);
    expect(drainPerSecond(rate, rate.at)).toBeCloseTo(50, 0);
    expect(drainPerSecond(rate, rate.at + 10_000)).toBeCloseTo(50 / Math.E, 0);
  });

  it("does not rise when the clock goes back", () => {
    const rate = addDrained({ perSecond: 0, at: 10_000 }, 10, 10_000);
    expect(drainPerSecond(rate, 0)).toBe(rate.perSecond);
    expect(addDrained(rate, 0, 0)).toEqual(rate);
  });
});

describe("the alert", () => {
  it("is raised after a minute without a break and cleared below 0.7", () => {
    let alert = observeLag(NO_ALERT, 10, 10, 0);
    expect(alert).toBe(NO_ALERT);
    alert = observeLag(alert, 11, 10, 1_000);
    expect(alertDueAt(alert)).toBe(1_000 + ALERT_AFTER_MS);
    expect(observeLag(alert, 10, 10, 2_000)).toEqual(NO_ALERT);
    expect(observeLag(alert, 11, 10, 999 + ALERT_AFTER_MS).raised).toBe(false);
    const raised = observeLag(alert, 11, 10, 1_000 + ALERT_AFTER_MS);
    expect(raised.raised).toBe(true);
    expect(alertDueAt(raised)).toBeNull();
    expect(observeLag(raised, 7, 10, 200_000)).toBe(raised);
    expect(observeLag(raised, 6, 10, 200_000)).toEqual(NO_ALERT);
  });
});
