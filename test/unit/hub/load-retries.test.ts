// The retry budget of a region: whatever its isolates do, all of them together schedule no more retries than
// the budget of one that made all their requests.

import { describe } from "vitest";
import type { Hub } from "../../../src/hub/hub.ts";
import { NOTHING_STORED, bootHub } from "../../../src/hub/hub.ts";
import { answerLoadAsk, noteReportedLoad } from "../../../src/hub/load-book.ts";
import type { LoadVerdict } from "../../../src/hub/load-protocol.ts";
import { BUDGET_WINDOW_MS, FLOOR_RETRIES_PER_SECOND } from "../../../src/resilience/retry-budget.ts";
import type { UpstreamControl } from "../../../src/resilience/upstream-control.ts";
import {
  createUpstreamControl,
  noteArrival,
  noteOriginal,
  scheduleRetry,
} from "../../../src/resilience/upstream-control.ts";
import { followLoad, takeLoad } from "../../../src/resilience/upstream-loops.ts";
import { fc, test } from "../resilience/property.ts";

const START = 1_800_000_000_000;
const STEP_MS = 100;
const STEPS_PER_SYNC = 10;
const FLOOR = (FLOOR_RETRIES_PER_SECOND * BUDGET_WINDOW_MS) / 1000;

interface Step {
  readonly originals: number;
  readonly wanted: number;
}

interface Isolate {
  readonly name: string;
  readonly control: UpstreamControl;
  /** On its way. */
  verdict: LoadVerdict | null;
}

function isolateOf(name: string, share: number): Isolate {
  const concurrency = { max: 1000, waiting: 64, maxWaitMs: 100, adaptive: true };
  const options = { timeoutMs: 10_000, breaker: null, concurrency, retryBudget: share, targetWeights: [1] };
  return { name, control: createUpstreamControl(options), verdict: null };
}

function sync(hub: Hub, { name, control }: Isolate, share: number, now: number): LoadVerdict | null {
  const terms = { upstream: "shop", max: 1000, adaptive: true, retryShare: share };
  const news = takeLoad(control, now);
  if (news !== null) noteReportedLoad(hub, name, { terms, ...news }, now);
  return answerLoadAsk(hub, name, { terms, inflight: 0, waiting: 0, limit: 1000 }, now);
}

/** Originals and retries of all isolates, step by step. */
function simulate(share: number, plans: readonly (readonly Step[])[]): Step[] {
  const hub = bootHub("weur", 0, NOTHING_STORED, START);
  const isolates = plans.map((_, index) => isolateOf(`i${index}`, share));
  // Known from the beginning: before its first verdict an isolate is alone.
  for (const isolate of isolates) {
    const verdict = sync(hub, isolate, share, START);
    if (verdict !== null) followLoad(isolate.control, { ...verdict, retries: 0 }, START);
  }
  return plans[0].map((_, step) => {
    const now = START + (step + 1) * STEP_MS;
    const made = { originals: 0, wanted: 0 };
    for (const [index, isolate] of isolates.entries()) {
      const { control } = isolate;
      const plan = plans[index][step];
      const isDue = (step + index) % STEPS_PER_SYNC === 0;
      if (isDue) isolate.verdict = sync(hub, isolate, share, now);
      for (let count = 0; count < plan.originals; count++) {
        noteArrival(control, 200, now);
        noteOriginal(control, now);
      }
      made.originals += plan.originals;
      for (let count = 0; count < plan.wanted; count++) if (scheduleRetry(control, now)) made.wanted++;
      if (isDue || isolate.verdict === null) continue;
      followLoad(control, isolate.verdict, now);
      isolate.verdict = null;
    }
    return made;
  });
}

function sumOf(steps: readonly Step[], from: number, to: number, of: (step: Step) => number): number {
  return steps.slice(Math.max(0, from), to).reduce((sum, step) => sum + of(step), 0);
}

describe("the retries of a region", () => {
  test("are its share of the originals and the floor, however many isolates there are", ({ expect }) => {
    const step = fc.record({ originals: fc.nat({ max: 40 }), wanted: fc.nat({ max: 12 }) });
    const plan = fc.array(step, { minLength: 150, maxLength: 150 });
    // The budget counts by whole seconds: what it knows lies nine to ten of them back.
    const window = (BUDGET_WINDOW_MS - 1000) / STEP_MS;
    fc.assert(
      fc.property(
        fc.constantFrom(0, 0.1, 0.5),
        fc.array(plan, { minLength: 1, maxLength: 6 }),
        (share, plans) => {
          const steps = simulate(share, plans);
          for (let end = 1; end <= steps.length; end++) {
            const retries = sumOf(steps, end - window, end, ({ wanted }) => wanted);
            // A report is up to a second old, and so is what was granted on it.
            const originals = sumOf(steps, end - window - 30, end, (made) => made.originals);
            expect(retries).toBeLessThanOrEqual(share * originals + FLOOR);
          }
          // And they are granted: nearly all that are wanted under a budget that has room for them.
          const wanted = plans.reduce(
            (sum, one) => sum + sumOf(one, 0, one.length, (made) => made.wanted),
            0,
          );
          const retries = sumOf(steps, 0, steps.length, (made) => made.wanted);
          const originals = sumOf(steps, 0, steps.length, (made) => made.originals);
          expect(retries).toBeGreaterThanOrEqual(0.5 * Math.min(wanted, share * originals));
        },
      ),
      { numRuns: 20 },
    );
  });
});
