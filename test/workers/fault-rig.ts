// What the tests of faults share: seeded runs. TIDEGATE_FAULT_RUNS (`npm run faults -- --seeds 100`) makes
// them many; a failing run names its seed.

import { abortAllDurableObjects } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, vi } from "vitest";
import { createRandom, nextRandom } from "../../src/resilience/random.ts";
import { claim, OK, settle, stopClock, type Stub } from "./outbox-rig.ts";

const DEFAULT_RUNS = 3;
/** TIDEGATE_FAULT_FIRST=6650: the first seed, to repeat one. */
const FIRST_SEED = Number(env.FAULT_FIRST || 1);
const AT_ONCE = 10;

export const RUNS = Number(env.FAULT_RUNS || DEFAULT_RUNS);
/** For tests with a long form. */
export const FAULT_TIMEOUT = { timeout: 60_000 + RUNS * 30_000 };

/** Each test of the file has a clock that stands still, a silent console, and objects of its own. */
export function stopClockForEach(): ReturnType<typeof stopClock> {
  let clock: ReturnType<typeof stopClock>;
  beforeEach(() => {
    clock = stopClock();
    vi.spyOn(console, "error").mockImplementation(() => {});
    vi.spyOn(console, "log").mockImplementation(() => {});
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    clock.restore();
    await abortAllDurableObjects();
    // There may be thousands.
  }, FAULT_TIMEOUT.timeout);
  return { advance: (ms) => clock.advance(ms), restore: () => clock.restore() };
}

export interface Chance {
  readonly seed: number;
  /** A whole number from `least` to `most`. */
  between(least: number, most: number): number;
  pick<Item>(list: readonly Item[]): Item;
  shuffled<Item>(list: readonly Item[]): Item[];
}

export function chanceOf(seed: number): Chance {
  const random = createRandom(seed);
  const between = (least: number, most: number): number =>
    least + Math.floor(nextRandom(random) * (most - least + 1));
  return {
    seed,
    between,
    pick: (list) => list[between(0, list.length - 1)],
    shuffled(list) {
      const rest = [...list];
      return list.map(() => rest.splice(between(0, rest.length - 1), 1)[0]);
    },
  };
}

/** Runs `run` once for each seed, several at a time. */
export async function forSeeds(
  runs: number,
  run: (chance: Chance) => Promise<void>,
  atOnce = AT_ONCE,
): Promise<void> {
  let next = FIRST_SEED;
  const lane = async (): Promise<void> => {
    for (let seed = next++; seed < FIRST_SEED + runs; seed = next++) {
      try {
        await run(chanceOf(seed));
      } catch (error) {
        throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}`, {
          cause: error,
        });
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, runs) }, lane));
}

/** Delivers jobs as a consumer would for which all goes well; how many it got. */
export async function deliverAll(stub: Stub, ids: readonly string[]): Promise<number> {
  const jobs = (await claim(stub, ids)).filter((each) => each.kind === "claimed");
  await settle(stub, jobs, OK);
  return jobs.length;
}
