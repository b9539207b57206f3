// What a client is told to wait, before the hub has counted what this isolate has used.

import { describe, expect, it } from "vitest";
import { leaseUnits, noteUse } from "../../../src/hub/limit-book.ts";
import type { LimitTerms } from "../../../src/hub/protocol.ts";
import type { LimitView } from "../../../src/region/limit-view.ts";
import { acceptAnswer } from "../../../src/region/limit-asks.ts";
import { createLimitView, freezeUses, takeAlone } from "../../../src/region/limit-view.ts";
import { LONG_WINDOW_MS, resetMs, retryMs } from "../../../src/region/limit-waits.ts";
import { T0, termsOf, usedHub } from "../hub/hubs.ts";
import { fc } from "../resilience/property.ts";

/** A view that has used `units` at once, and whose hub refuses more without having heard of it. */
function used(units: number, terms: LimitTerms): LimitView {
  const view = createLimitView(terms, T0);
  for (let unit = 0; unit < units; unit++) takeAlone(view, 1, T0);
  const refusal = { units: 0, forMs: 3000, period: 0, used: 0, retryMs: 50, resetMs: 0 };
  acceptAnswer(view, { limit: terms.limit, key: terms.key, ...refusal }, T0, T0);
  return view;
}

describe("what is told right after a burst", () => {
  it("is when the cell that it fell in has left the window", () => {
    const view = used(3, termsOf({ units: 3, windowMs: 500 }));
    expect(retryMs(view, 1, T0 + 5)).toBe(545);
    expect(resetMs(view, T0 + 5)).toBe(545);
    // The same while a report of it is on its way.
    freezeUses(view);
    expect(retryMs(view, 1, T0 + 5)).toBe(545);
  });

  it("is the window where that is long, with its cell where it is short", () => {
    const tells = [LONG_WINDOW_MS, LONG_WINDOW_MS - 1].map((windowMs) => {
      const view = used(3, termsOf({ units: 3, windowMs }));
      return retryMs(view, 1, T0) > windowMs;
    });
    expect(tells).toEqual([false, true]);
    const view = used(3, termsOf({ units: 3, windowMs: 60_000 }));
    expect(retryMs(view, 1, T0)).toBe(60_000);
    expect(resetMs(view, T0)).toBe(60_000);
    expect(retryMs(view, 1, T0 + 10_000)).toBe(51_000);
  });

  it("is sooner where the hub knows of units that leave before", () => {
    const view = used(3, termsOf({ units: 10, windowMs: 10_000 }));
    const known = { units: 0, forMs: 3000, period: 0, used: 7, retryMs: 50, resetMs: 4000 };
    acceptAnswer(view, { limit: "api", key: "k", ...known }, T0, T0);
    expect(retryMs(view, 1, T0)).toBe(4000);
    expect(resetMs(view, T0)).toBe(4000);
    // For so many it takes the own ones as well, with their cell.
    expect(retryMs(view, 8, T0)).toBeGreaterThan(10_000);
    expect(retryMs(view, 8, T0)).toBeLessThanOrEqual(10_000 + 10_000 / 60 + 1);
  });

  it("is what the hub says where own uses leave room", () => {
    const view = used(3, termsOf({ units: 100, windowMs: 10_000 }));
    expect(retryMs(view, 1, T0)).toBe(50);
  });

  it("is never less than what a hub that has counted all of it would say", () => {
    const useAt = fc.record({ atMs: fc.nat(9_999), units: fc.integer({ min: 1, max: 5 }) });
    fc.assert(
      fc.property(
        fc.array(useAt, { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 1, max: 5 }),
        (uses, cost) => {
          const units = uses.reduce((sum, use) => sum + use.units, 0);
          const terms = termsOf({ units: Math.max(units, cost), windowMs: 10_000, consistency: "regional" });
          const view = createLimitView(terms, T0);
          const hub = usedHub("weur");
          for (const use of uses.toSorted((one, other) => one.atMs - other.atMs)) {
            takeAlone(view, use.units, T0 + use.atMs);
            noteUse(hub, terms, "s", T0 + use.atMs, use.units, T0 + use.atMs);
          }
          const now = T0 + 9_999;
          const ask = { terms, need: cost, want: 0, held: 0, unreported: 0 };
          const hubsMs = leaseUnits(hub, ask, "s", now).retryMs;
          expect(retryMs(view, cost, now)).toBeGreaterThanOrEqual(Math.min(hubsMs, terms.windowMs));
        },
      ),
    );
  });
});
