import { describe, it } from "vitest";
import { Outcome } from "../../../src/resilience/outcome.ts";
import { createRandom } from "../../../src/resilience/random.ts";
import type { TargetLoads } from "../../../src/resilience/target-choice.ts";
import { createTargetLoads, drainTargets } from "../../../src/resilience/target-choice.ts";
import type { TargetEjections } from "../../../src/resilience/target-ejection.ts";
import {
  EJECT_BASE_MS,
  EJECT_CONSECUTIVE,
  EJECT_CONSECUTIVE_BACK,
  EJECT_JITTER,
  EJECT_LONGEST_MS,
  EJECT_MINIMUM_CALLS,
  HEALTHY_PERIOD_MS,
  RETURN_FIRST_SHARE,
  RETURN_MS,
  createTargetEjections,
  followTargets,
  noteTargetResult,
  takeMoves,
} from "../../../src/resilience/target-ejection.ts";
import { fc, test } from "./property.ts";

const START_MS = 1_800_000_000_000;
const random = createRandom(1);

function ejectionsOf(weights: readonly number[] = [1, 1, 1]): {
  loads: TargetLoads;
  ejections: TargetEjections;
} {
  const loads = createTargetLoads(weights);
  const ejections = createTargetEjections(loads);
  if (ejections === null) throw new Error("one target alone");
  return { loads, ejections };
}

function note(
  ejections: TargetEjections,
  target: number,
  outcome: Outcome,
  now: number,
  startedAt = now,
): boolean {
  return noteTargetResult(ejections, { target, startedAt }, outcome, now, random);
}

function fail(ejections: TargetEjections, target: number, times: number, now: number): void {
  for (let time = 0; time < times; time++) note(ejections, target, Outcome.failRemote, now);
}

/** Ejects the first target and gives how long it is out. */
function eject(ejections: TargetEjections, now: number, times = EJECT_CONSECUTIVE): number {
  fail(ejections, 0, times, now);
  return ejections.health[0].ejectedUntil - now;
}

/** Half of the target's calls fail, never two in a row; the others fail once in `everyNth`. */
function alternate(ejections: TargetEjections, calls: number, others: number, everyNth: number): void {
  for (let call = 0; call < others; call++) {
    note(ejections, 1, call % everyNth === 0 ? Outcome.failRemote : Outcome.ok, START_MS);
  }
  for (let call = 0; call < calls; call++) {
    note(ejections, 0, call % 2 === 0 ? Outcome.ok : Outcome.failRemote, START_MS + 100);
  }
}

describe("the ejection of a target", () => {
  it.for([Outcome.failRemote, Outcome.failLocal])(
    "takes five failures in a row (%i)",
    (outcome, { expect }) => {
      const { loads, ejections } = ejectionsOf();
      for (let index = 1; index < EJECT_CONSECUTIVE; index++) {
        expect(note(ejections, 0, outcome, START_MS)).toBe(false);
      }
      expect([...loads.weights]).toEqual([1, 1, 1]);
      expect(note(ejections, 0, outcome, START_MS), "answered by the ejection").toBe(true);
      expect([...loads.weights]).toEqual([0, 1, 1]);
      expect(loads.totalWeight).toBe(2);
      expect(takeMoves(ejections)).toMatchObject([
        {
          kind: "ejected",
          target: 0,
          at: START_MS,
          reason: "consecutive",
          consecutive: 5,
          calls: 5,
          strikes: 1,
        },
      ]);
      expect(takeMoves(ejections)).toEqual([]);
    },
  );

  it("Envoy: a success resets the failures in a row, an ignored call changes nothing", ({ expect }) => {
    const { loads, ejections } = ejectionsOf();
    fail(ejections, 0, EJECT_CONSECUTIVE - 1, START_MS);
    note(ejections, 0, Outcome.ok, START_MS);
    fail(ejections, 0, EJECT_CONSECUTIVE - 1, START_MS);
    for (let index = 0; index < 10; index++) note(ejections, 0, Outcome.ignored, START_MS);
    expect(loads.weights[0]).toBe(1);
    fail(ejections, 0, 1, START_MS);
    expect(loads.weights[0]).toBe(0);
  });

  it("takes half of twenty calls while the others are well", ({ expect }) => {
    const { ejections } = ejectionsOf();
    alternate(ejections, EJECT_MINIMUM_CALLS - 1, EJECT_MINIMUM_CALLS, 5);
    expect(ejections.health[0].place).toBe("in");
    note(ejections, 0, Outcome.failRemote, START_MS + 100);
    expect(takeMoves(ejections)).toMatchObject([{ kind: "ejected", reason: "failure-rate", failures: 10 }]);
  });

  it.for([
    { case: "too few calls of the others", others: EJECT_MINIMUM_CALLS - 1, everyNth: 100 },
    { case: "others that fail as well", others: 40, everyNth: 4 },
  ])("on a rate: not with $case", ({ others, everyNth }, { expect }) => {
    const { ejections } = ejectionsOf();
    alternate(ejections, 40, others, everyNth);
    expect(ejections.health[0].place).toBe("in");
  });

  it("does not count calls of more than ten seconds ago in a rate", ({ expect }) => {
    const { ejections } = ejectionsOf();
    alternate(ejections, EJECT_MINIMUM_CALLS - 1, 40, 100);
    note(ejections, 0, Outcome.failRemote, START_MS + 11_000);
    expect(ejections.health[0].place).toBe("in");
  });

  it("one target alone is never ejected, and half of the weight always stays", ({ expect }) => {
    expect(createTargetEjections(createTargetLoads([1]))).toBeNull();
    const { loads, ejections } = ejectionsOf([1, 3]);
    fail(ejections, 1, 20, START_MS);
    expect([...loads.weights]).toEqual([1, 3]);
    expect(ejections.health[1].tally, "counted once and not done").toEqual({ ejections: 0, withheld: 1 });
    fail(ejections, 0, EJECT_CONSECUTIVE, START_MS);
    expect([...loads.weights]).toEqual([0, 3]);
  });

  it("what could not be ejected is, at its next failure, once there is room", ({ expect }) => {
    const { loads, ejections } = ejectionsOf([1, 1]);
    eject(ejections, START_MS);
    fail(ejections, 1, 50, START_MS);
    expect([...loads.weights]).toEqual([0, 1]);
    const back = ejections.health[0].ejectedUntil;
    fail(ejections, 1, 1, back);
    expect([...loads.weights]).toEqual([RETURN_FIRST_SHARE, 0]);
  });
});

describe("the return of a target", () => {
  it("comes by time alone, with a tenth of the weight at first and all of it after ten seconds", ({
    expect,
  }) => {
    const { loads, ejections } = ejectionsOf([4, 8]);
    const back = START_MS + eject(ejections, START_MS);
    followTargets(ejections, back - 1);
    expect([...loads.weights]).toEqual([0, 8]);
    followTargets(ejections, back);
    expect(loads.weights[0]).toBeCloseTo(0.4);
    followTargets(ejections, back + RETURN_MS / 2);
    expect(loads.weights[0]).toBeCloseTo(4 * 0.55);
    followTargets(ejections, back + RETURN_MS);
    expect([...loads.weights, loads.totalWeight]).toEqual([4, 8, 12]);
    expect(ejections.nextChangeAt).toBe(Number.POSITIVE_INFINITY);
    expect(takeMoves(ejections).map(({ kind }) => kind)).toEqual(["ejected", "returned"]);
  });

  it("two failures in a row end it, and the next time is longer", ({ expect }) => {
    const { ejections } = ejectionsOf();
    const back = START_MS + eject(ejections, START_MS);
    fail(ejections, 0, EJECT_CONSECUTIVE_BACK - 1, back);
    expect(ejections.health[0].place).toBe("returning");
    fail(ejections, 0, 1, back + 1);
    expect(takeMoves(ejections).at(-1)).toMatchObject({ kind: "ejected", reason: "relapse", strikes: 2 });
    expect(ejections.health[0].ejectedUntil - back).toBeGreaterThan(2 * EJECT_BASE_MS * (1 - EJECT_JITTER));
  });

  it("once it has shown to be well after its return it may fail as often as any other", ({ expect }) => {
    const { ejections } = ejectionsOf();
    const back = START_MS + eject(ejections, START_MS);
    note(ejections, 0, Outcome.ok, back + RETURN_MS);
    fail(ejections, 0, EJECT_CONSECUTIVE - 1, back + RETURN_MS);
    expect(ejections.health[0].place).toBe("in");
    fail(ejections, 0, 1, back + RETURN_MS);
    expect(ejections.health[0].place).toBe("ejected");
  });

  it("Envoy: times grow by the base up to the cap, and shrink by one for each healthy period", ({
    expect,
  }) => {
    const { ejections } = ejectionsOf();
    const [own] = ejections.health;
    let now = START_MS;
    for (let times = 1; times <= 40; times++) {
      const fullMs = Math.min(EJECT_LONGEST_MS, times * EJECT_BASE_MS);
      const outMs = eject(ejections, now);
      expect(outMs).toBeLessThanOrEqual(fullMs);
      expect(outMs).toBeGreaterThanOrEqual(fullMs * (1 - EJECT_JITTER));
      now = own.ejectedUntil;
    }
    const before = own.strikes;
    for (let period = 1; period <= 3; period++) {
      note(ejections, 0, Outcome.ok, now + period * HEALTHY_PERIOD_MS - 1);
      expect(own.strikes).toBe(before - period + 1);
      note(ejections, 0, Outcome.ok, now + period * HEALTHY_PERIOD_MS);
      expect(own.strikes).toBe(before - period);
    }
    note(ejections, 0, Outcome.ok, now + 100 * HEALTHY_PERIOD_MS);
    expect(eject(ejections, now + 100 * HEALTHY_PERIOD_MS), "the base again").toBeLessThanOrEqual(
      EJECT_BASE_MS,
    );
  });

  it("calls that began before the ejection neither extend nor end it, nor speak afterwards", ({ expect }) => {
    const { ejections } = ejectionsOf();
    const [own] = ejections.health;
    const back = START_MS + eject(ejections, START_MS);
    for (let call = 0; call < 20; call++) {
      expect(note(ejections, 0, Outcome.failLocal, START_MS + 500, START_MS - 1)).toBe(true);
      expect(note(ejections, 0, Outcome.ok, START_MS + 500, START_MS - 1)).toBe(false);
    }
    expect(own).toMatchObject({ place: "ejected", ejectedUntil: back, strikes: 1, tally: { ejections: 1 } });
    for (let call = 0; call < 20; call++) {
      expect(note(ejections, 0, Outcome.failLocal, back + 500, START_MS - 1)).toBe(false);
    }
    expect(own).toMatchObject({ place: "returning", consecutive: 0, strikes: 1 });
  });
});

describe("drains and ejections", () => {
  it("neither ends the other", ({ expect }) => {
    const { loads, ejections } = ejectionsOf();
    const back = START_MS + eject(ejections, START_MS);
    drainTargets(loads, (target) => target === 0);
    drainTargets(loads, () => false);
    expect([...loads.weights]).toEqual([0, 1, 1]);
    drainTargets(loads, (target) => target === 0);
    followTargets(ejections, back + RETURN_MS);
    expect([...loads.weights], "the ejection is over, the drain is not").toEqual([0, 1, 1]);
    drainTargets(loads, () => false);
    expect([...loads.weights]).toEqual([1, 1, 1]);
  });

  it("when an operator leaves only ejected targets they get traffic, and none when nothing is left", ({
    expect,
  }) => {
    const { loads, ejections } = ejectionsOf([1, 1]);
    eject(ejections, START_MS);
    drainTargets(loads, (target) => target === 1);
    expect([...loads.weights]).toEqual([1, 0]);
    expect(note(ejections, 0, Outcome.failRemote, START_MS + 1), "now it speaks for the upstream").toBe(
      false,
    );
    drainTargets(loads, () => true);
    expect(loads.totalWeight).toBe(0);
    drainTargets(loads, () => false);
    expect([...loads.weights]).toEqual([0, 1]);
  });

  it.for([
    { half: "of what is not drained", first: [2], last: 3 },
    { half: "of all, or an end of the drain would leave less", first: [0, 1], last: 2 },
  ])("half stays $half", ({ first, last }, { expect }) => {
    const { loads, ejections } = ejectionsOf([1, 1, 1, 1]);
    const drainFirstTwo = (): void => drainTargets(loads, (target) => target < 2);
    if (last === 3) drainFirstTwo();
    for (const target of first) fail(ejections, target, EJECT_CONSECUTIVE, START_MS);
    drainFirstTwo();
    fail(ejections, last, EJECT_CONSECUTIVE, START_MS);
    const places = ejections.health.map(({ place }) => place);
    expect(places).toEqual([0, 1, 2, 3].map((target) => (first.includes(target) ? "ejected" : "in")));
    expect(ejections.health[last].tally.withheld).toBe(1);
  });

  const steps = fc.array(
    fc.oneof(
      {
        weight: 8,
        arbitrary: fc.record({
          target: fc.nat({ max: 4 }),
          ok: fc.boolean(),
          times: fc.integer({ min: 1, max: 8 }),
          tookMs: fc.nat({ max: 20_000 }),
        }),
      },
      { weight: 1, arbitrary: fc.record({ drained: fc.nat({ max: 31 }) }) },
      { weight: 4, arbitrary: fc.record({ waitMs: fc.nat({ max: 12_000 }) }) },
    ),
    { minLength: 1, maxLength: 60 },
  );
  const weightLists = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 2, maxLength: 5 });

  test("half of the weight stays, something always does, and in the end all of it is back", ({ expect }) => {
    fc.assert(
      fc.property(weightLists, steps, (weights, moves) => {
        const { loads, ejections } = ejectionsOf(weights);
        const all = loads.totalWeight;
        let now = START_MS;
        for (const move of moves) {
          if ("waitMs" in move) now += move.waitMs;
          else if ("drained" in move) drainTargets(loads, (target) => ((move.drained >> target) & 1) === 1);
          else {
            const outcome = move.ok ? Outcome.ok : Outcome.failRemote;
            for (let time = 0; time < move.times; time++) {
              note(ejections, move.target % weights.length, outcome, now, now - move.tookMs);
            }
          }
          followTargets(ejections, now);
          const ejected = ejections.health.map(({ place }) => place === "ejected");
          const ejectedWeight = weights.reduce(
            (sum, weight, target) => sum + (ejected[target] ? weight : 0),
            0,
          );
          expect(ejectedWeight).toBeLessThanOrEqual(all / 2);
          expect(loads.totalWeight > 0).toBe(loads.drained.includes(0));
          const isLeft = ejected.some((isOut, target) => !isOut && loads.drained[target] === 0);
          for (const [target, isOut] of ejected.entries()) {
            if (loads.drained[target] === 1 || (isOut && isLeft)) expect(loads.weights[target]).toBe(0);
            else expect(loads.weights[target]).toBeGreaterThan(0);
          }
        }
        drainTargets(loads, () => false);
        followTargets(ejections, now + EJECT_LONGEST_MS + RETURN_MS);
        expect([...loads.weights, loads.totalWeight]).toEqual([...weights, all]);
      }),
    );
  });

  test("looking more often changes nothing but when it is noticed", ({ expect }) => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 25_000 }), { maxLength: 30 }), (looks) => {
        const often = ejectionsOf();
        const once = ejectionsOf();
        for (const { ejections } of [often, once]) {
          for (let time = 0; time < EJECT_CONSECUTIVE; time++) {
            noteTargetResult(
              ejections,
              { target: 0, startedAt: START_MS },
              Outcome.failRemote,
              START_MS,
              createRandom(7),
            );
          }
        }
        const inOrder = looks.toSorted((a, b) => a - b);
        for (const afterMs of inOrder) followTargets(often.ejections, START_MS + afterMs);
        for (const { ejections } of [often, once]) followTargets(ejections, START_MS + 25_200);
        expect([...often.loads.weights]).toEqual([...once.loads.weights]);
        expect(often.ejections.health[0].place).toBe(once.ejections.health[0].place);
      }),
    );
  });
});
