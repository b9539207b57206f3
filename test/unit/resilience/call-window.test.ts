import { describe, it } from "vitest";
import {
  WINDOW_SLOTS,
  advanceWindow,
  callCount,
  createCallWindow,
  localFailureCount,
  okCount,
  recordCall,
  remoteFailureCount,
  resetWindow,
  slowCount,
} from "../../../src/resilience/call-window.ts";
import { Outcome } from "../../../src/resilience/outcome.ts";
import { fc, test } from "./property.ts";

const WINDOW_MS = 10_000;
const SLOT_MS = WINDOW_MS / WINDOW_SLOTS;

interface Call {
  readonly at: number;
  readonly outcome: Outcome;
  readonly slow: boolean;
}

/** What a window should say: calls whose slot is among the last ten, by the latest time that it was told. */
class NaiveWindow {
  readonly #calls: { slot: number; outcome: Outcome; slow: boolean }[] = [];
  #slot = Number.NEGATIVE_INFINITY;

  record({ at, outcome, slow }: Call): void {
    if (outcome === Outcome.ignored) return;
    this.advance(at);
    this.#calls.push({ slot: this.#slot, outcome, slow });
  }

  advance(now: number): void {
    this.#slot = Math.max(this.#slot, Math.floor(now / SLOT_MS));
  }

  count(matches: (call: { outcome: Outcome; slow: boolean }) => boolean): number {
    return this.#calls.filter((call) => call.slot > this.#slot - WINDOW_SLOTS && matches(call)).length;
  }
}

describe("the call window", () => {
  test("agrees with a naive model over gaps of any length and clocks that step back", () => {
    const step = fc.oneof(
      fc.integer({ min: 0, max: 400 }),
      fc.integer({ min: 0, max: 30_000 }),
      fc.integer({ min: -15_000, max: -1 }),
      fc.constant(86_400_000),
    );
    const outcome = fc.constantFrom(Outcome.ok, Outcome.failRemote, Outcome.failLocal, Outcome.ignored);
    const calls = fc.array(fc.record({ step, outcome, slow: fc.boolean() }), { maxLength: 80 });
    fc.assert(
      fc.property(calls, (sequence) => {
        const window = createCallWindow(WINDOW_MS);
        const naive = new NaiveWindow();
        let now = 1_800_000_000_000;
        return sequence.every((entry) => {
          now += entry.step;
          const call = { at: now, outcome: entry.outcome, slow: entry.slow };
          recordCall(window, call.outcome, call.slow, now);
          naive.record(call);
          advanceWindow(window, now);
          naive.advance(now);
          return (
            okCount(window) === naive.count((known) => known.outcome === Outcome.ok) &&
            remoteFailureCount(window) === naive.count((known) => known.outcome === Outcome.failRemote) &&
            localFailureCount(window) === naive.count((known) => known.outcome === Outcome.failLocal) &&
            slowCount(window) === naive.count((known) => known.slow) &&
            callCount(window) === naive.count(() => true)
          );
        });
      }),
    );
  });

  it("resilience4j: a time window drops one slot at a time", ({ expect }) => {
    const window = createCallWindow(WINDOW_MS);
    for (let slot = 0; slot < WINDOW_SLOTS; slot++) recordCall(window, Outcome.ok, false, slot * SLOT_MS);
    expect(callCount(window)).toBe(10);
    advanceWindow(window, WINDOW_MS);
    expect(callCount(window)).toBe(9);
    advanceWindow(window, WINDOW_MS + 3 * SLOT_MS);
    expect(callCount(window)).toBe(6);
  });

  it("resilience4j: it is empty after a gap longer than itself", ({ expect }) => {
    const window = createCallWindow(WINDOW_MS);
    for (let index = 0; index < 100; index++) recordCall(window, Outcome.failRemote, true, 500);
    advanceWindow(window, 500 + WINDOW_MS + SLOT_MS);
    expect(callCount(window)).toBe(0);
    expect(slowCount(window)).toBe(0);
  });

  it("resilience4j: slow successes and slow failures count in both totals", ({ expect }) => {
    const window = createCallWindow(WINDOW_MS);
    recordCall(window, Outcome.ok, true, 0);
    recordCall(window, Outcome.failRemote, true, 0);
    expect([okCount(window), remoteFailureCount(window), slowCount(window)]).toEqual([1, 1, 2]);
  });

  it("tells failures of the upstream from those on this side of the wire", ({ expect }) => {
    const window = createCallWindow(WINDOW_MS);
    recordCall(window, Outcome.failLocal, false, 0);
    recordCall(window, Outcome.failRemote, false, 0);
    recordCall(window, Outcome.failRemote, false, 0);
    expect([localFailureCount(window), remoteFailureCount(window)]).toEqual([1, 2]);
  });

  it("forgets all on reset", ({ expect }) => {
    const window = createCallWindow(WINDOW_MS);
    recordCall(window, Outcome.ok, true, 0);
    resetWindow(window);
    expect([callCount(window), slowCount(window)]).toEqual([0, 0]);
  });
});
