import { describe, it } from "vitest";
import { createBreaker, phaseAt, recordResult, admitCall } from "../../../src/resilience/breaker.ts";
import type { Breaker } from "../../../src/resilience/breaker.ts";
import { Outcome } from "../../../src/resilience/outcome.ts";
import { createRandom, nextRandom } from "../../../src/resilience/random.ts";
import type { UsualFailures } from "../../../src/resilience/usual-failures.ts";
import {
  FEW_CALLS,
  createUsualFailures,
  forgetUnusual,
  isRowBeyondChance,
  isShareBeyondChance,
  noteUsual,
} from "../../../src/resilience/usual-failures.ts";

const WINDOW_MS = 10_000;
const OPTIONS = {
  failureRate: 0.5,
  slowCallMs: 100,
  slowCallRate: 0.8,
  minimumCalls: 20,
  windowMs: WINDOW_MS,
  consecutive: 5,
  openForMs: 1000,
  maxOpenForMs: 10_000,
  probes: 3,
  rampUpMs: 10_000,
};

/** Known from before: so many failures in a thousand calls. */
function usually(perThousand: number): UsualFailures {
  const usual = createUsualFailures();
  for (let period = 0; period < 10; period++) {
    noteUsual(usual, 1000, perThousand, WINDOW_MS, period * WINDOW_MS);
  }
  return usual;
}

function firstRow(usual: UsualFailures): number {
  for (let row = 1; ; row++) if (isRowBeyondChance(usual, row)) return row;
}

describe("a row of failures", () => {
  it.for([
    { perThousand: 0, row: 1 },
    { perThousand: 1, row: 4 },
    { perThousand: 10, row: 5 },
    { perThousand: 50, row: 8 },
    { perThousand: 100, row: 10 },
    { perThousand: 200, row: 15 },
    { perThousand: 900, row: 15 },
  ])(
    "is beyond chance from $row on where $perThousand in 1000 calls fail",
    ({ perThousand, row }, { expect }) => {
      expect(firstRow(usually(perThousand))).toBe(row);
    },
  );

  it("is held against the other calls of now while little is known from before", ({ expect }) => {
    const usual = createUsualFailures();
    noteUsual(usual, 100, 10, WINDOW_MS, 0);
    noteUsual(usual, 9, 9, WINDOW_MS, 1);
    expect(isRowBeyondChance(usual, 9)).toBe(false);
    noteUsual(usual, 1, 1, WINDOW_MS, 2);
    expect(isRowBeyondChance(usual, 10)).toBe(true);
    const fresh = createUsualFailures();
    noteUsual(fresh, 5, 5, WINDOW_MS, 0);
    expect(isRowBeyondChance(fresh, 5)).toBe(true);
  });
});

describe("a share of failures", () => {
  it("does not count before so many calls are known: then a row and a share are beyond chance", ({
    expect,
  }) => {
    const known = [FEW_CALLS - 1, FEW_CALLS].map((calls) => ({
      ...createUsualFailures(),
      calls,
      failures: calls / 10,
    }));
    expect(known.map((usual) => isRowBeyondChance(usual, 5))).toEqual([true, false]);
    expect(known.map((usual) => isShareBeyondChance(usual, 20, 10))).toEqual([true, false]);
  });

  it("is beyond chance with enough calls, or far enough from what is usual", ({ expect }) => {
    const usual = usually(100);
    expect(isShareBeyondChance(usual, 20, 10)).toBe(false);
    expect(isShareBeyondChance(usual, 20, 16)).toBe(true);
    expect(isShareBeyondChance(usual, 50, 25)).toBe(true);
    expect(isShareBeyondChance(usual, 1_000_000, 100_000)).toBe(false);
    expect(isShareBeyondChance(createUsualFailures(), 20, 10)).toBe(true);
  });
});

describe("what is usual", () => {
  it("is of the time before the window, and nothing that opened a breaker", ({ expect }) => {
    const usual = usually(0);
    noteUsual(usual, 1000, 900, WINDOW_MS, 11 * WINDOW_MS);
    expect(firstRow(usual)).toBe(1);
    forgetUnusual(usual);
    for (const period of [12, 13, 14]) noteUsual(usual, 1000, 0, WINDOW_MS, period * WINDOW_MS);
    expect(firstRow(usual)).toBe(1);
  });

  it("follows an upstream that has become better within some minutes", ({ expect }) => {
    const usual = usually(200);
    for (let period = 10; period < 120; period++) noteUsual(usual, 1000, 0, WINDOW_MS, period * WINDOW_MS);
    expect(firstRow(usual)).toBeLessThanOrEqual(5);
  });
});

function call(breaker: Breaker, outcome: Outcome, now: number, slow = false): void {
  recordResult(breaker, admitCall(breaker, now, 1000), outcome, slow, now, 1);
}

describe("a breaker", () => {
  it("opens on ten failures in a row, not on five, where a tenth of the calls fails by chance", ({
    expect,
  }) => {
    const breaker = createBreaker(OPTIONS);
    let now = 0;
    for (let index = 0; index < 3000; index++) {
      now += 20;
      call(breaker, index % 10 === 0 ? Outcome.failRemote : Outcome.ok, now);
    }
    for (let row = 1; row <= 9; row++) call(breaker, Outcome.failRemote, now);
    expect(phaseAt(breaker, now)).toBe("closed");
    call(breaker, Outcome.failRemote, now);
    expect(breaker.lastTransition).toMatchObject({ to: "open", reason: "consecutive" });
  });

  it("opens at no tenth of errors in six hours at 50/s (seed 1)", { timeout: 20_000 }, ({ expect }) => {
    const random = createRandom(1);
    const breaker = createBreaker(OPTIONS);
    for (let now = 0; now < 21_600_000; now += 20) {
      call(breaker, nextRandom(random) < 0.1 ? Outcome.failRemote : Outcome.ok, now);
      if (breaker.state.phase !== "closed") break;
    }
    expect(breaker.lastTransition).toBeNull();
  });

  it.for([
    { what: "failures", outcome: Outcome.failRemote, slow: false, reason: "failure-rate" },
    { what: "slow calls", outcome: Outcome.ok, slow: true, reason: "slow-rate" },
  ])(
    "opens on $what of late, however good the rest of the window was",
    ({ outcome, slow, reason }, { expect }) => {
      const breaker = createBreaker({ ...OPTIONS, consecutive: 1000 });
      for (let now = 0; now < 8000; now += 5) call(breaker, Outcome.ok, now);
      for (let now = 10_000; now < 10_095; now += 5) call(breaker, outcome, now, slow);
      expect(phaseAt(breaker, 10_095)).toBe("closed");
      call(breaker, outcome, 10_095, slow);
      expect(breaker.lastTransition).toMatchObject({ to: "open", reason });
    },
  );
});
