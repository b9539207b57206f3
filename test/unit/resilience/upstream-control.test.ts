import { DEFAULT_BREAKER } from "../../../src/resilience/breaker-state.ts";
import { describe, it } from "vitest";
import { NOT_ADMITTED } from "../../../src/resilience/breaker.ts";
import { SampleFate } from "../../../src/resilience/concurrency-limit.ts";
import { LEVEL_COUNT } from "../../../src/resilience/level.ts";
import { Outcome } from "../../../src/resilience/outcome.ts";
import { NO_PERMIT } from "../../../src/resilience/permits.ts";
import type {
  TryResult,
  UpstreamControl,
  UpstreamOptions,
} from "../../../src/resilience/upstream-control.ts";
import { createRandom } from "../../../src/resilience/random.ts";
import {
  LEASE_SLACK_MS,
  admitLevel,
  admitTry,
  cancelTry,
  createUpstreamControl,
  finishTry,
  noteArrival,
  noteOriginal,
  refreshTargets,
  scheduleRetry,
  settleRequest,
  takeUpstreamPermit,
} from "../../../src/resilience/upstream-control.ts";
import { createRamp } from "../../../src/resilience/breaker-ramp.ts";
import { RAMP_FLOOR_PER_SECOND } from "../../../src/resilience/upstream-loops.ts";

const random = createRandom(1);
const START_MS = 1_800_000_000_000;
const OPTIONS: UpstreamOptions = {
  timeoutMs: 10_000,
  breaker: DEFAULT_BREAKER,
  concurrency: { max: 1000, waiting: 64, maxWaitMs: 100, adaptive: true },
  retryBudget: 0.1,
  targetWeights: [1],
};

const GOOD: Pick<TryResult, "outcome" | "fate"> = { outcome: Outcome.ok, fate: SampleFate.served };
const FAILED: Pick<TryResult, "outcome" | "fate"> = { outcome: Outcome.failRemote, fate: null };
const REFUSED: Pick<TryResult, "outcome" | "fate"> = {
  outcome: Outcome.failRemote,
  fate: SampleFate.refused,
};

function controlOf(options: Partial<UpstreamOptions> = {}): UpstreamControl {
  return createUpstreamControl({ ...OPTIONS, ...options });
}

interface Held {
  readonly token: number;
  readonly permit: number;
  readonly startedAt: number;
  readonly inflight: number;
}

function begin(control: UpstreamControl, now: number): Held {
  const token = admitTry(control, now);
  const permit = token === NOT_ADMITTED ? NO_PERMIT : takeUpstreamPermit(control, 1, now);
  return { token, permit, startedAt: now, inflight: control.bulkhead.permits.inUse };
}

function finish(
  control: UpstreamControl,
  held: Held,
  what: Pick<TryResult, "outcome" | "fate">,
  now: number,
): void {
  const { token, permit, startedAt, inflight } = held;
  const result = { target: 0, ...what, latencyMs: now - startedAt, startedAt, inflight, retryAfterAt: 0 };
  finishTry(control, token, permit, result, now, random);
}

function run(control: UpstreamControl, what: Pick<TryResult, "outcome" | "fate">, now: number): void {
  finish(control, begin(control, now), what, now + 5);
}

describe("one upstream", () => {
  it("opens after five failures in a row and refuses from then on", ({ expect }) => {
    const control = controlOf();
    for (let index = 0; index < 5; index++) run(control, FAILED, START_MS);
    expect(begin(control, START_MS + 10).token).toBe(NOT_ADMITTED);
    expect(control.bulkhead.permits.inUse).toBe(0);
  });

  it("a burst of refusals of a full upstream lowers the limit and leaves the breaker closed", ({
    expect,
  }) => {
    const control = controlOf();
    const held = Array.from({ length: 30 }, () => begin(control, START_MS));
    for (const one of held.slice(10)) finish(control, one, REFUSED, START_MS + 2);
    expect(control.breaker?.state.phase).toBe("closed");
    expect(control.bulkhead.permits.limit).toBe(10);
    expect(control.bulkhead.permits.inUse).toBe(10);
  });

  it("an upstream that refuses everything is failing: the breaker opens", ({ expect }) => {
    const control = controlOf();
    for (let round = 0; round < 2; round++) {
      const held = Array.from({ length: 30 }, () => begin(control, START_MS + round * 100));
      for (const one of held) finish(control, one, REFUSED, START_MS + round * 100 + 20);
    }
    expect(control.breaker?.state.phase).toBe("open");
  });

  it("cockatiel: does not retry while open, nor while shedding", ({ expect }) => {
    const control = controlOf();
    noteOriginal(control, START_MS);
    expect(scheduleRetry(control, START_MS)).toBe(true);
    control.shed.cursor = LEVEL_COUNT - 1;
    expect(scheduleRetry(control, START_MS)).toBe(false);
    control.shed.cursor = LEVEL_COUNT;
    for (let index = 0; index < 5; index++) run(control, FAILED, START_MS);
    expect(scheduleRetry(control, START_MS + 1)).toBe(false);
    expect(scheduleRetry(controlOf({ retryBudget: null }), START_MS)).toBe(false);
  });

  it("resilience4j: without a breaker every call is admitted and nothing is recorded", ({ expect }) => {
    const control = controlOf({ breaker: null });
    for (let index = 0; index < 100; index++) run(control, FAILED, START_MS);
    expect(begin(control, START_MS).token).not.toBe(NOT_ADMITTED);
    expect(scheduleRetry(control, START_MS)).toBe(true);
  });

  it("one bad target of two is ejected and opens no breaker, nor do its late failures", ({ expect }) => {
    const control = controlOf({ targetWeights: [1, 1] });
    const held = Array.from({ length: 12 }, () => begin(control, START_MS));
    for (const one of held) finish(control, one, FAILED, START_MS + 5);
    expect(control.breaker?.state.phase).toBe("closed");
    expect([...control.targets.weights]).toEqual([0, 1]);
    refreshTargets(control, START_MS + 10_005);
    expect(control.targets.weights[0]).toBeGreaterThan(0);
  });

  it("ejects nothing while the breaker probes", ({ expect }) => {
    const control = controlOf({
      targetWeights: [1, 1],
      breaker: OPTIONS.breaker && { ...OPTIONS.breaker, consecutive: 2 },
    });
    for (let index = 0; index < 4; index++) run(control, FAILED, START_MS);
    let now = START_MS;
    for (let probe = 0; probe < 10; probe++) run(control, FAILED, (now += 11_000));
    expect(control.breaker?.state.phase).toBe("open");
    expect([...control.targets.weights]).toEqual([1, 1]);
  });

  it("a try that was not made gives its probe back", ({ expect }) => {
    const control = controlOf();
    for (let index = 0; index < 5; index++) run(control, FAILED, START_MS);
    const later = START_MS + 1100;
    const token = admitTry(control, later);
    expect(admitTry(control, later)).toBe(NOT_ADMITTED);
    cancelTry(control, token, later);
    expect(admitTry(control, later)).not.toBe(NOT_ADMITTED);
  });

  it("the permit of a request that never comes back is there again after its time-out", ({ expect }) => {
    const control = controlOf({ concurrency: { max: 1, waiting: 0, maxWaitMs: 100, adaptive: false } });
    begin(control, START_MS);
    expect(takeUpstreamPermit(control, 1, START_MS + OPTIONS.timeoutMs)).toBe(NO_PERMIT);
    expect(takeUpstreamPermit(control, 1, START_MS + OPTIONS.timeoutMs + LEASE_SLACK_MS)).not.toBe(NO_PERMIT);
  });

  it("refusals while the breaker is open do not move the cursor", ({ expect }) => {
    const control = controlOf();
    for (let index = 0; index < 5; index++) run(control, FAILED, START_MS);
    for (let index = 0; index < 500; index++) {
      noteArrival(control, index % LEVEL_COUNT, START_MS + index);
      settleRequest(control, false);
    }
    noteArrival(control, 0, START_MS + 3000);
    expect(control.shed.cursor).toBe(LEVEL_COUNT);
  });

  it("sheds the least important when most requests fail under overload", ({ expect }) => {
    const control = controlOf({ breaker: null });
    let now = START_MS;
    for (let index = 0; index < 4000; index++) {
      now += 2;
      const level = index % LEVEL_COUNT;
      noteArrival(control, level, now);
      const admitted = admitLevel(control, level, 0.5);
      if (admitted) run(control, index % 4 === 0 ? GOOD : REFUSED, now);
      settleRequest(control, admitted && index % 4 === 0);
    }
    expect(control.shed.cursor).toBeLessThan(LEVEL_COUNT / 2);
    expect(admitLevel(control, 0, 0.5)).toBe(true);
    expect(admitLevel(control, LEVEL_COUNT - 1, 0.5)).toBe(false);
  });

  it.for([
    { what: "all that is important", critical: 0.2, least: 0.97, most: 1 },
    { what: "a quarter of it where all is important", critical: 1, least: 0.2, most: 0.3 },
  ])("an upstream that is held gets $what, and nothing else", ({ critical, least, most }, { expect }) => {
    const control = controlOf();
    const { breaker } = control;
    if (breaker === null) throw new Error("it has a breaker");
    breaker.state = createRamp(2, 0, 0, START_MS);
    let now = START_MS;
    const passed = [0, 0];
    const offered = [0, 0];
    for (let index = 0; index < 2000; index++) {
      now += 5;
      const at = index % 10 < critical * 10 ? 0 : 1;
      const level = at * 256 + ((index * 41) % 128);
      noteArrival(control, level, now);
      const passes = admitLevel(control, level, (index % 7) / 7);
      settleRequest(control, false);
      if (index < 600) continue;
      offered[at]++;
      if (passes) passed[at]++;
    }
    expect(passed[0] / offered[0]).toBeGreaterThanOrEqual(least);
    expect(passed[0] / offered[0]).toBeLessThanOrEqual(most);
    expect(passed[1]).toBeLessThanOrEqual(0.03 * offered[1]);
  });

  it("a recovering upstream gets its share by importance, and always a trickle", ({ expect }) => {
    const control = controlOf();
    for (let index = 0; index < 5; index++) run(control, FAILED, START_MS);
    let now = START_MS;
    for (let index = 0; index < 220; index++) {
      now += 5;
      noteArrival(control, (index * 41) % (3 * 128), now);
      settleRequest(control, false);
    }
    for (let probe = 0; probe < 3; probe++) run(control, GOOD, now);
    expect(control.breaker?.state.phase).toBe("ramp");
    const passed: number[] = [];
    for (let second = 0; second < 10; second++) {
      let count = 0;
      for (let index = 0; index < 200; index++) {
        now += 5;
        const level = (index * 41) % (3 * 128);
        noteArrival(control, level, now);
        const passes = admitLevel(control, level, 0.5);
        if (passes) count++;
        settleRequest(control, passes);
      }
      passed.push(count);
    }
    expect(passed[1]).toBeGreaterThanOrEqual(RAMP_FLOOR_PER_SECOND);
    for (let second = 1; second < 9; second++) {
      expect(passed[second]).toBeLessThanOrEqual(200 * ((second + 1.5) / 10));
      expect(passed[second]).toBeGreaterThanOrEqual(200 * ((second - 0.5) / 10) - 10);
    }
  });
});
