// What an isolate decides alone about a limit, and what it reports of it.

import { describe, expect, it } from "vitest";
import type { LeaseAnswer } from "../../../src/hub/protocol.ts";
import { acceptAnswer, askFor } from "../../../src/region/limit-asks.ts";
import type { LimitView } from "../../../src/region/limit-view.ts";
import {
  DENY_MS,
  RETURN_AFTER_MS,
  createLimitView,
  freezeReturn,
  freezeUses,
  giveBackUnits,
  isForgettable,
  remainingUnits,
  takeAlone,
  takeFree,
  takeHeld,
  takeUnits,
  usedInView,
} from "../../../src/region/limit-view.ts";
import { resetMs, retryMs } from "../../../src/region/limit-waits.ts";
import { T0, termsOf } from "../hub/hubs.ts";
import { fc } from "../resilience/property.ts";

const PERIOD_MS = 60_000;
const PERIOD = T0 / PERIOD_MS;
const capped = termsOf({ consistency: "capped", windowMs: PERIOD_MS });

function answer(units: number, more: Partial<LeaseAnswer> = {}): LeaseAnswer {
  return { limit: "api", key: "k", units, forMs: 3000, period: 0, used: 0, retryMs: 0, resetMs: 0, ...more };
}

/** A view whose lease came just now. */
function leased(units: number, terms = termsOf(), more: Partial<LeaseAnswer> = {}): LimitView {
  const view = createLimitView(terms, T0);
  acceptAnswer(view, answer(units, more), T0, T0);
  return view;
}

/** Nothing is free where so many share it. */
const MANY = 1e9;

function reported(view: LimitView): number {
  return freezeUses(view).reduce((sum, { units }) => sum + units, 0);
}

describe("a lease", () => {
  it("is used up unit by unit, and then the hub must be asked", () => {
    const view = leased(5);
    expect([2, 2, 2, 1, 1].map((cost) => takeUnits(view, cost, MANY, T0))).toEqual([
      "taken",
      "taken",
      "ask",
      "taken",
      "ask",
    ]);
    expect(reported(view)).toBe(5);
  });

  it("ends when the hub takes it for ended, counted from when it was asked for", () => {
    const view = createLimitView(termsOf(), T0);
    acceptAnswer(view, answer(5, { forMs: 3000 }), T0, T0 + 900);
    expect(takeHeld(view, 1, MANY, T0 + 2999)).toBe("taken");
    expect(takeHeld(view, 1, MANY, T0 + 3000)).toBe("ask");
    expect(askFor(view, 1, T0 + 3000).held).toBe(0);
  });

  it("is told to the hub with what it does not know yet", () => {
    const view = leased(10);
    for (let times = 0; times < 4; times++) takeUnits(view, 1, MANY, T0);
    const ask = { terms: termsOf(), need: 2, want: 4, waiting: 0, held: 6, unreported: 4, seen: 0 };
    expect(askFor(view, 2, T0)).toEqual(ask);
    expect(askFor(view, 2, T0, 0)).toEqual({ ...ask, seq: 0, inFlight: 0 });
    freezeUses(view);
    takeUnits(view, 1, MANY, T0);
    expect(askFor(view, 2, T0, 1)).toMatchObject({ held: 5, unreported: 5, seq: 1, inFlight: 4 });
    // Along with a report, what that says is told before.
    expect(askFor(view, 2, T0)).toMatchObject({ held: 5, unreported: 1 });
  });

  it("is told by the number of the answer that gave it", () => {
    const view = createLimitView(termsOf(), T0);
    acceptAnswer(view, answer(5, { answer: 7 }), T0, T0);
    expect(askFor(view, 1, T0).seen).toBe(7);
    acceptAnswer(view, answer(5), T0, T0);
    expect(askFor(view, 1, T0).seen).toBe(0);
  });
});

describe("a refusal by the hub", () => {
  it("is remembered for as long as it said, DENY_MS at most, and then the hub is asked again", () => {
    const view = leased(0, termsOf(), { used: 100, retryMs: 10_000 });
    expect(takeUnits(view, 1, MANY, T0)).toBe("refused");
    expect(takeUnits(view, 1, MANY, T0 + DENY_MS - 1)).toBe("refused");
    expect(takeUnits(view, 1, MANY, T0 + DENY_MS)).toBe("ask");
    expect(retryMs(view, 1, T0)).toBe(10_000);
    const short = leased(0, termsOf(), { used: 100, retryMs: 50 });
    expect(takeUnits(short, 1, MANY, T0 + 50)).toBe("ask");
  });

  it("ends with the next lease, and does not take away one that is held", () => {
    const view = leased(0, termsOf(), { retryMs: 200 });
    acceptAnswer(view, answer(3), T0, T0 + 10);
    expect(takeUnits(view, 1, MANY, T0 + 10)).toBe("taken");
    acceptAnswer(view, answer(0, { retryMs: 200 }), T0 + 20, T0 + 20);
    expect(takeUnits(view, 1, MANY, T0 + 20)).toBe("taken");
  });
});

describe("what an isolate knows of a limit", () => {
  it("is what the hub knew, what is on its way to it, and what is not reported: added", () => {
    const view = leased(50, termsOf({ windowMs: 60_000 }), { used: 30 });
    expect(usedInView(view, T0)).toBe(30);
    for (let times = 0; times < 5; times++) takeUnits(view, 1, MANY, T0);
    expect(usedInView(view, T0)).toBe(35);
    freezeUses(view);
    expect(usedInView(view, T0)).toBe(35);
    takeUnits(view, 2, MANY, T0);
    expect(usedInView(view, T0)).toBe(37);
    expect(remainingUnits(view, T0)).toBe(63);
  });

  it("never shows less than nothing left, and a reset in the future", () => {
    const view = leased(0, termsOf(), { used: 250, resetMs: 700 });
    expect(remainingUnits(view, T0)).toBe(0);
    expect(resetMs(view, T0)).toBe(700);
    expect(resetMs(view, T0 + 700)).toBeGreaterThan(0);
    expect(retryMs(view, 1, T0)).toBeGreaterThan(0);
  });

  it("lets it pass no more than the limit by itself when the hub is gone", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 9 }), fc.nat(50)), { minLength: 60 }),
        (steps) => {
          const view = createLimitView(termsOf({ windowMs: 60_000 }), T0);
          let [taken, now] = [0, T0];
          for (const [cost, ms] of steps) {
            now += ms;
            if (takeAlone(view, cost, now)) taken += cost;
          }
          expect(taken).toBeLessThanOrEqual(100);
          expect(usedInView(view, now)).toBe(taken);
          expect(takeAlone(view, 100 - taken + 1, now)).toBe(false);
        },
      ),
    );
  });

  it("leaves part of what is left free without a lease, less the more there are", () => {
    const free = [1, 10].map((isolates) => {
      const view = createLimitView(termsOf(), T0);
      let taken = 0;
      while (takeFree(view, 1, isolates, T0)) taken++;
      return taken;
    });
    expect(free[0]).toBeGreaterThan(free[1]);
    expect(free[1]).toBeGreaterThan(0);
    expect(free[0]).toBeLessThan(100);
  });
});

describe("units that are given back", () => {
  it("before they are reported were never used", () => {
    const view = leased(10);
    takeUnits(view, 4, MANY, T0);
    giveBackUnits(view, 4, T0);
    expect(usedInView(view, T0)).toBe(0);
    expect(reported(view)).toBe(0);
    expect(askFor(view, 1, T0).held).toBe(10);
  });

  it("after they are reported pay for the next ones", () => {
    const view = leased(10);
    takeUnits(view, 4, MANY, T0);
    expect(reported(view)).toBe(4);
    giveBackUnits(view, 4, T0);
    takeUnits(view, 6, MANY, T0);
    expect(reported(view)).toBe(2);
  });

  it("leave the sum that is reported at what was used, however takes and returns and reports mix", () => {
    const step = fc.tuple(fc.constantFrom("take", "give", "freeze"), fc.integer({ min: 1, max: 5 }));
    fc.assert(
      fc.property(fc.array(step, { minLength: 10, maxLength: 60 }), (steps) => {
        const view = leased(1000, termsOf({ units: 10_000, windowMs: 3_600_000 }));
        let [used, sum] = [0, 0];
        for (const [kind, units] of steps) {
          if (kind === "freeze") sum += reported(view);
          else if (kind === "take" && takeUnits(view, units, MANY, T0) === "taken") used += units;
          else if (kind === "give" && used >= units) {
            giveBackUnits(view, units, T0);
            used -= units;
          }
        }
        sum += reported(view);
        expect(sum - view.credit).toBe(used);
        expect(sum).toBeGreaterThanOrEqual(used);
      }),
    );
  });
});

describe("a capped limit", () => {
  it("passes rights of its period and nothing else: nothing free, nothing alone", () => {
    const view = createLimitView(capped, T0);
    expect(takeUnits(view, 1, 1, T0)).toBe("ask");
    expect(takeFree(view, 1, 1, T0)).toBe(false);
    expect(takeAlone(view, 1, T0)).toBe(false);
    acceptAnswer(view, answer(3, { period: PERIOD }), T0, T0);
    expect(takeUnits(view, 2, 1, T0 + PERIOD_MS - 1)).toBe("taken");
    expect(takeUnits(view, 1, 1, T0 + PERIOD_MS)).toBe("ask");
    expect(freezeUses(view)).toEqual([]);
  });

  it("adds the rights of one period up, and forgets those of another", () => {
    const view = leased(3, capped, { period: PERIOD });
    acceptAnswer(view, answer(2, { period: PERIOD }), T0, T0 + 10);
    expect(askFor(view, 1, T0 + 10).held).toBe(5);
    const next = T0 + PERIOD_MS;
    acceptAnswer(view, answer(4, { period: PERIOD + 1 }), next, next);
    expect(askFor(view, 1, next).held).toBe(4);
    acceptAnswer(view, answer(9, { period: PERIOD }), next, next);
    expect(askFor(view, 1, next).held).toBe(4);
  });

  it("gives rights back to the isolate within their period", () => {
    const view = leased(3, capped, { period: PERIOD });
    takeUnits(view, 2, 1, T0);
    giveBackUnits(view, 2, T0 + 5);
    expect(askFor(view, 1, T0 + 5).held).toBe(3);
  });

  it("returns to the hub what lies unused, once", () => {
    const view = leased(3, capped, { period: PERIOD });
    takeUnits(view, 1, 1, T0);
    expect(freezeReturn(view, T0 + RETURN_AFTER_MS - 1)).toBeNull();
    expect(freezeReturn(view, T0 + RETURN_AFTER_MS)).toEqual({ terms: capped, period: PERIOD, units: 2 });
    expect(freezeReturn(view, T0 + RETURN_AFTER_MS)).toBeNull();
    expect(takeUnits(view, 1, 1, T0 + RETURN_AFTER_MS)).toBe("ask");
    expect(freezeReturn(leased(3), T0 + RETURN_AFTER_MS)).toBeNull();
  });

  it("returns nothing of a period that is over", () => {
    const view = leased(3, capped, { period: PERIOD });
    expect(freezeReturn(view, T0 + PERIOD_MS)).toBeNull();
  });
});

describe("a view", () => {
  it("can be forgotten when nothing would be lost by it", () => {
    const view = leased(5);
    const later = T0 + 3_600_000;
    expect(isForgettable(view, later)).toBe(true);
    expect(isForgettable(view, T0 + 100)).toBe(false);
    takeUnits(view, 1, MANY, T0);
    expect(isForgettable(view, later)).toBe(false);
    freezeUses(view);
    expect(isForgettable(view, later)).toBe(false);
    view.inFlight = 0;
    view.asking = true;
    expect(isForgettable(view, later)).toBe(false);
  });
});
