// Regions under faults, by seed: what must hold at every step holds, and a simulator that could not fail
// would not find the mistakes that are planted here. `npm run simulate` runs more of them.

import { describe, it } from "vitest";
import { FIXTURES } from "./regions/fixtures.ts";
import { loseHub } from "./regions/limit-probes.ts";
import { PLANTED_FLAWS } from "./regions/planted-flaws.ts";
import { SCENARIOS, scenarioNamed } from "./regions/scenarios.ts";
import { commandFor, simulate } from "./regions/simulate.ts";

const SEEDS = 12;
const MOST_SEEDS_TO_FIND = 60;

describe("regions that exchange states", () => {
  it.for(SCENARIOS.map((scenario, at) => [scenario.name, scenario, at] as const))(
    "hold their invariants through %s",
    { timeout: 60_000 },
    ([, scenario, at], { expect }) => {
      for (let seed = at * 1_000; seed < at * 1_000 + SEEDS; seed++) {
        const result = simulate(scenario, seed);
        expect(result.violation, commandFor(result)).toBeNull();
        expect(result.requests).toBeGreaterThan(0);
      }
    },
  );

  it.for(FIXTURES)("come out right of $scenario with seed $seed: $found", (fixture, { expect }) => {
    const result = simulate(scenarioNamed(fixture.scenario), fixture.seed);
    expect(result.violation, commandFor(result)).toBeNull();
  });

  it("repeat a run exactly from its seed", ({ expect }) => {
    const scenario = scenarioNamed("everything");
    expect(simulate(scenario, 7)).toEqual(simulate(scenario, 7));
    expect(simulate(scenario, 7)).not.toEqual(simulate(scenario, 8));
  });
});

describe("the simulator", () => {
  it.for(PLANTED_FLAWS)("notices $name", { timeout: 60_000 }, (flaw, { expect }) => {
    const scenario = scenarioNamed(flaw.scenario);
    let found: string | null = null;
    for (let seed = 1; seed <= MOST_SEEDS_TO_FIND && found === null; seed++) {
      found = simulate(scenario, seed, flaw.plant()).invariant;
    }
    expect(flaw.breaks).toContain(found);
  });
});

describe("a region whose hub is gone for a minute", () => {
  it.for([1, 2, 3])("refuses nothing below the limit and counts everything (seed %s)", (seed, { expect }) => {
    const { offered, refused, counted, admitted } = loseHub(seed, "allow");
    expect(offered[1]).toBeGreaterThan(100);
    expect(refused).toEqual([0, 0, 0]);
    expect(counted).toEqual([admitted, admitted]);
  });

  it.for([1, 2, 3])("refuses where that is configured (seed %s)", (seed, { expect }) => {
    const { offered, refused, counted, admitted } = loseHub(seed, "deny");
    expect(refused[0]).toBe(0);
    expect(refused[1]).toBeGreaterThan(0.95 * offered[1]);
    expect(refused[2]).toBeLessThan(0.05 * offered[2]);
    expect(counted).toEqual([admitted, admitted]);
  });
});
