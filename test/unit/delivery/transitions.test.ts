// The retry schedule and what a job becomes after each outcome.

import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { DeliveryOutcome, QueueTerms } from "../../../src/delivery/core/protocol.ts";
import { deferralMs, retryWaitMs } from "../../../src/delivery/core/retry-schedule.ts";
import { NO_TRIAL } from "../../../src/delivery/core/storage.ts";
import {
  MAX_DEATHS,
  MAX_KEPT_ATTEMPTS,
  afterDeath,
  afterOutcome,
  withAttempt,
} from "../../../src/delivery/core/transitions.ts";

const RETRY = { attempts: 3, delayMs: 5_000, maxDelayMs: 60_000 };
const TERMS: QueueTerms = {
  highWatermark: 100,
  resumeAt: 0.7,
  alertAt: 50,
  maxAgeMs: 1e9,
  retry: RETRY,
  onDeadHead: "block",
};
const RESULT = { status: 200, headers: [], body: null };

function after(outcome: DeliveryOutcome, trial = NO_TRIAL, random = 0.5) {
  return afterOutcome(trial, TERMS, { outcome, tookMs: 7, fence: 9 }, { now: 1_000, random });
}

const failed = { kind: "failed", status: 503, error: null, retryAfterMs: null, result: null } as const;

describe("the retry schedule", () => {
  it("doubles from the delay up to its bound", () => {
    const waits = [1, 2, 3, 4, 5, 6, 100].map((attempts) => retryWaitMs(RETRY, attempts, null, 0.5));
    expect(waits).toEqual([5_000, 10_000, 20_000, 40_000, 60_000, 60_000, 60_000]);
  });

  it("waits as long as the upstream asks, as far as the bound allows", () => {
    expect(retryWaitMs(RETRY, 1, 30_000, 0.5)).toBe(30_000);
    expect(retryWaitMs(RETRY, 3, 1_000, 0.5)).toBe(20_000);
    expect(retryWaitMs(RETRY, 1, 1e12, 0.5)).toBe(60_000);
  });

  it("is spread by a fifth either way and never over its bounds", () => {
    const some = fc.record({ delayMs: fc.nat({ max: 1e6 }), maxDelayMs: fc.nat({ max: 1e7 }) });
    const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    fc.assert(
      fc.property(some, fc.integer({ min: 1, max: 100 }), chance, (retry, attempts, random) => {
        const base = Math.min(retry.delayMs * 2 ** (attempts - 1), retry.maxDelayMs);
        const waitMs = retryWaitMs(retry, attempts, null, random);
        expect(waitMs).toBeGreaterThanOrEqual(Math.floor(base * 0.8));
        expect(waitMs).toBeLessThanOrEqual(Math.min(Math.ceil(base * 1.2), retry.maxDelayMs));
      }),
    );
    expect(retryWaitMs(RETRY, 1, null, 0)).toBe(4_000);
    expect(retryWaitMs(RETRY, 1, null, 0.999_999)).toBe(6_000);
  });

  it("puts off for no less than was asked for", () => {
    expect(deferralMs(1_000, 0)).toBe(1_000);
    expect(deferralMs(1_000, 0.999_999)).toBe(1_200);
    expect(deferralMs(0, 0.5)).toBe(0);
  });
});

describe("an outcome", () => {
  it("that is an answer for good ends the job", () => {
    expect(after({ kind: "succeeded", result: RESULT })).toMatchObject({ kind: "end", status: "succeeded" });
    expect(after({ kind: "refused", result: { ...RESULT, status: 410 } })).toMatchObject({
      kind: "end",
      status: "failed",
      reason: "the upstream answered 410",
    });
  });

  it("that is a failure waits, and the last one is dead with its answer", () => {
    expect(after(failed)).toMatchObject({
      kind: "wait",
      trial: { attempts: 1, nextAt: 6_000, fence: 9 },
      attempt: { at: 1_000, status: 503, error: null, ms: 7 },
    });
    expect(after({ ...failed, result: RESULT }, { ...NO_TRIAL, attempts: 2 })).toMatchObject({
      kind: "end",
      status: "dead",
      result: RESULT,
      trial: { attempts: 3, diedAt: 1_000 },
    });
  });

  it("that puts off leaves the attempts as they are, however often", () => {
    let trial = { ...NO_TRIAL, attempts: 2 };
    for (let deferral = 1; deferral <= 1_000; deferral++) {
      const step = after({ kind: "deferred", forMs: 100, reason: "open" }, trial);
      expect(step).toMatchObject({
        kind: "wait",
        attempt: null,
        trial: { attempts: 2, deferrals: deferral },
      });
      trial = step.trial;
    }
  });

  it("that is poison is dead the second time, also with other failures between", () => {
    const first = after({ kind: "poison", error: "x" });
    expect(first).toMatchObject({ kind: "wait", trial: { strikes: 1, attempts: 0 } });
    const between = after({ kind: "deferred", forMs: 1, reason: "open" }, first.trial);
    expect(after({ kind: "poison", error: "x" }, between.trial)).toMatchObject({
      kind: "end",
      status: "dead",
    });
  });

  it("that never came is dead the third time", () => {
    let step = afterDeath(NO_TRIAL, 1, 10);
    for (let death = 2; death <= MAX_DEATHS; death++) {
      expect(step.kind).toBe("wait");
      step = afterDeath(step.trial, death, 10);
    }
    expect(step).toMatchObject({ kind: "end", status: "dead", trial: { deaths: MAX_DEATHS } });
  });

  it("is kept, up to a number of them", () => {
    const attempt = { at: 1, status: 500, error: null, ms: 1 };
    const full = Array.from({ length: MAX_KEPT_ATTEMPTS }, (_, at) => ({ ...attempt, at: -at }));
    expect(withAttempt(full, attempt)).toEqual([...full.slice(1), attempt]);
    expect(withAttempt(full, null)).toBe(full);
  });
});
