// Random sagas against random upstreams and dying executors. What must come out is worked out by an oracle
// that knows nothing of attempts, leases or events: only who does what when asked.

import { fc } from "../resilience/property.ts";
import { describe, it } from "vitest";
import type { StepDefinition } from "../../../src/saga/core/definition.ts";
import { operate } from "../../../src/saga/core/operate.ts";
import type { StepPlan, StepShape } from "./world.ts";
import { World, define } from "./world.ts";

interface Fate {
  readonly phases: ReadonlySet<string>;
  /** Steps whose effects stand in the end. */
  readonly standing: ReadonlySet<string>;
}

/** How a step ends, seen from its upstream alone. */
function fateOf(step: StepDefinition, { forward }: StepPlan): "done" | "failed" | "unknown" {
  if (forward === "refuse") return "failed";
  if (forward === "down-always") return step.outcome === null ? "unknown" : "failed";
  if (forward === "lost-always") return step.outcome === null ? "unknown" : "done";
  return "done";
}

function ids(steps: readonly StepDefinition[]): ReadonlySet<string> {
  return new Set(steps.map(({ id }) => id));
}

/** What the upstreams saw decides how far a group that fails came: its steps begin in any order. */
function expected({ definition, plans, seen, done }: World): Fate {
  const isCalled = ({ id }: StepDefinition): boolean => seen.some(({ step }) => step === id);
  const isReal = ({ id }: StepDefinition): boolean => done.has(`seed-${id}-forward-1`);
  const begun: StepDefinition[] = [];
  for (const group of definition.groups) {
    begun.push(...group.filter(isCalled));
    const fates = group.map((step) => fateOf(step, plans[step.id]));
    if (fates.every((fate) => fate === "done")) continue;
    const [{ kind }] = group;
    if (kind === "retriable" || (kind === "pivot" && fates[0] === "unknown")) {
      return { phases: new Set(["parked"]), standing: ids(begun.filter(isReal)) };
    }
    const standing = begun.filter((step) => isReal(step) && !canUndo(step, plans[step.id]));
    const isStuck = standing.some(({ compensation }) => compensation.kind === "call");
    // A step that was called and not done may be undone all the same, to be sure.
    const mayStick = begun.some(({ id }) => plans[id].undo === "down-always");
    const phases = isStuck ? ["parked"] : mayStick ? ["parked", "compensated"] : ["compensated"];
    return { phases: new Set(phases), standing: ids(standing) };
  }
  return { phases: new Set(["completed"]), standing: ids(begun) };
}

function canUndo({ compensation }: StepDefinition, { undo }: StepPlan): boolean {
  return compensation.kind === "call" && undo !== "refuse" && undo !== "down-always";
}

const shape: fc.Arbitrary<StepShape> = fc
  .record({
    kind: fc.constant("compensatable" as const),
    hasOutcome: fc.boolean(),
    undo: fc.constantFrom("by-key" as const, "by-output" as const, "none" as const),
  })
  // Undoing by an output that is lost needs a person: a case of its own.
  .map((made) => (made.undo === "by-output" ? { ...made, hasOutcome: true } : made));

const plan: fc.Arbitrary<StepPlan> = fc
  .record({
    forward: fc.constantFrom(
      "ok",
      "ok",
      "ok",
      "refuse",
      "lost-once",
      "lost-always",
      "down-once",
      "down-always",
    ),
    undo: fc.constantFrom("ok", "ok", "refuse", "down-once", "down-always", "lost-once"),
  } as const)
  .map((made) => {
    const mayFail = made.forward === "refuse" || made.forward.startsWith("down");
    return mayFail && made.undo === "down-always" ? { ...made, undo: "ok" as const } : made;
  });

const saga = fc.record({
  before: fc.array(fc.array(shape, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 4 }),
  pivot: fc.option(fc.boolean()),
  after: fc.array(fc.boolean(), { maxLength: 2 }),
  plans: fc.array(plan, { minLength: 16, maxLength: 16 }),
  chances: fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })),
  crashes: fc.integer({ min: 0, max: 3 }),
});

type Made = typeof saga extends fc.Arbitrary<infer Value> ? Value : never;

function build({ before, pivot, after, plans, chances, crashes }: Made): World {
  const groups: StepShape[][] = before.map((group) => [...group]);
  if (pivot !== null) groups.push([{ kind: "pivot", hasOutcome: pivot, undo: "none" }]);
  for (const hasOutcome of after) groups.push([{ kind: "retriable", hasOutcome, undo: "none" }]);
  const definition = define(groups);
  const byStep = Object.fromEntries(
    definition.groups.flat().map(({ id }, index) => [id, plans[index % plans.length]]),
  );
  const chance = (): number => chances.next().value ?? 0;
  return new World(definition, byStep, chance, crashes);
}

function standingSteps(world: World): ReadonlySet<string> {
  return new Set([...world.effects].map((key) => key.split("-")[1]));
}

describe("whatever fails and dies", { timeout: 60_000 }, () => {
  it("ends as the oracle says, on the upstreams' side too", ({ expect }) => {
    fc.assert(
      fc.property(saga, (made) => {
        const world = build(made);
        world.run();
        const { phases, standing } = expected(world);
        expect([...phases]).toContain(world.state.phase);
        expect(standingSteps(world)).toEqual(standing);
      }),
      { numRuns: 600 },
    );
  });

  it("uses one key per step and direction, and each effect happens once", ({ expect }) => {
    fc.assert(
      fc.property(saga, (made) => {
        const world = build(made);
        world.run();
        const keys = new Map<string, Set<string | null>>();
        for (const { step, direction, key } of world.seen) {
          if (direction === "outcome") continue;
          const name = `${step} ${direction}`;
          keys.set(name, (keys.get(name) ?? new Set()).add(key));
        }
        for (const [name, used] of keys) expect(used.size, name).toBe(1);
        for (const [key, count] of world.done) expect(count, key).toBe(1);
      }),
      { numRuns: 400 },
    );
  });

  it("undoes in the reverse order of beginning, and nothing after the pivot", ({ expect }) => {
    fc.assert(
      fc.property(saga, (made) => {
        const world = build(made);
        world.run();
        const undone = [
          ...new Set(world.seen.filter(({ direction }) => direction === "undo").map(({ step }) => step)),
        ];
        const begun = world.state.steps
          .filter(({ order }) => order !== null)
          .toSorted((one, other) => (one.order ?? 0) - (other.order ?? 0))
          .map(({ id }) => id);
        expect(undone).toEqual(begun.filter((step) => undone.includes(step)).toReversed());
        if (world.state.passedPivot) expect(undone).toEqual([]);
      }),
      { numRuns: 600 },
    );
  });

  it("a cancel at any moment undoes everything, or comes too late and changes nothing", ({ expect }) => {
    fc.assert(
      fc.property(saga, fc.integer({ min: 0, max: 20 }), (made, when) => {
        const world = build(made);
        let commands = 0;
        let accepted = false;
        world.run((self) => {
          if (commands++ !== when) return;
          const operation = { kind: "cancel", note: null, abandon: false } as const;
          const outcome = operate(self.definition, self.state, operation, self.now);
          if (outcome.kind !== "done") return;
          accepted = true;
          self.state = outcome.state;
        });
        if (!accepted) {
          if (world.state.stop?.reason !== "cancelled") {
            expect([...expected(world).phases]).toContain(world.state.phase);
          }
          return;
        }
        expect(["compensated", "parked"]).toContain(world.state.phase);
        for (const step of world.definition.groups.flat()) {
          const stands = standingSteps(world).has(step.id);
          if (stands) expect(canUndo(step, world.plans[step.id]), step.id).toBe(false);
        }
      }),
      { numRuns: 500 },
    );
  });
});
