// The overload scenarios, each a function of a policy and a seed that gives a run as plain data.
// Capacity is `servers * 1000 / serviceMs` requests per second; a mix is P0 / P1 / P2 in percent.

import type { PolicyFactory } from "./policy.ts";
import type { Change, RunResult, Scenario } from "./run.ts";
import { runScenario } from "./run.ts";
import type { UpstreamModelOptions } from "./upstream-model.ts";
import { capacityOf } from "./upstream-model.ts";

/** Ten requests of 100 ms at a time, the rest in a queue: 100/s. */
export const SMALL_UPSTREAM: UpstreamModelOptions = {
  servers: 10,
  serviceMs: 100,
  service: "fixed",
  beyond: "queue",
  networkMs: 1,
};

/** A hundred requests of 100 ms at a time, of scattered length: 1,000/s. */
export const LARGE_UPSTREAM: UpstreamModelOptions = {
  ...SMALL_UPSTREAM,
  servers: 100,
  service: "exponential",
};

export const USUAL_MIX = [0.2, 0.3, 0.5] as const;
/** The important part of an overload never asks for more than this share of the capacity. */
const LARGEST_CRITICAL_SHARE = 0.6;

const DEFAULTS = {
  upstream: SMALL_UPSTREAM,
  users: 300,
  deadlineMs: 30_000,
  idempotent: true,
  changes: [] as readonly Change[],
};

export type ScenarioOptions = { readonly policy: PolicyFactory; readonly seed: number } & Partial<
  Pick<Scenario, "durationMs" | "upstream" | "users" | "deadlineMs" | "idempotent" | "userOf" | "cancelled">
>;

/** Arrivals per second by class for a load that is `times` the capacity. */
export function offeredRates(upstream: UpstreamModelOptions, times: number): readonly number[] {
  const capacity = capacityOf(upstream);
  const offered = capacity * times;
  const critical = Math.min(offered * USUAL_MIX[0], capacity * LARGEST_CRITICAL_SHARE);
  const rest = (offered - critical) / (USUAL_MIX[1] + USUAL_MIX[2]);
  return [critical, rest * USUAL_MIX[1], rest * USUAL_MIX[2], 0];
}

/** S1: a steady load of `times` the capacity. */
export function steadyLoad(options: ScenarioOptions, times: number): RunResult {
  const { upstream } = { ...DEFAULTS, ...options };
  const rates = offeredRates(upstream, times);
  return runScenario({ durationMs: 60_000, ...DEFAULTS, ...options, rates: () => rates });
}

/** S2: half the capacity, then five times it from 10 s to 30 s, then half again. */
export function loadStep(options: ScenarioOptions): RunResult {
  const { upstream } = { ...DEFAULTS, ...options };
  const [calm, storm] = [offeredRates(upstream, 0.5), offeredRates(upstream, 5)];
  const rates = (atMs: number): readonly number[] => (atMs >= 10_000 && atMs < 30_000 ? storm : calm);
  return runScenario({ durationMs: 50_000, ...DEFAULTS, ...options, rates });
}

export const SPIKE_BEGINS_MS = 10_000;

/** S3: at 0.6 of the capacity, what can be missed multiplies by twelve from 10 s to 40 s. */
export function prefetchSpike(options: ScenarioOptions): RunResult {
  const { upstream } = { ...DEFAULTS, ...options };
  const calm = USUAL_MIX.map((share) => share * 0.6 * capacityOf(upstream));
  const spike = [calm[0], calm[1], calm[2] * 12];
  const rates = (atMs: number): readonly number[] =>
    atMs >= SPIKE_BEGINS_MS && atMs < 40_000 ? spike : calm;
  return runScenario({ durationMs: 50_000, ...DEFAULTS, ...options, rates });
}

/** Two hundred requests of 20 ms at a time: far more than is offered. */
export const ROOMY_UPSTREAM: UpstreamModelOptions = { ...SMALL_UPSTREAM, servers: 200, serviceMs: 20 };
export const SLOW_FROM_MS = 10_000;

/** S4: 200/s at an upstream with room to spare; from 10 s on it takes 30 times as long, without errors. */
export function slowUpstream(options: ScenarioOptions): RunResult {
  const rates = USUAL_MIX.map((share) => share * 200);
  const changes: readonly Change[] = [{ atMs: SLOW_FROM_MS, apply: (model) => void (model.slowFactor = 30) }];
  const upstream = ROOMY_UPSTREAM;
  return runScenario({ durationMs: 40_000, ...DEFAULTS, upstream, ...options, changes, rates: () => rates });
}

/** S5: it refuses every connection from the first second on; `perSecond` are offered. */
export function deadUpstream(options: ScenarioOptions, perSecond: number): RunResult {
  const rates = USUAL_MIX.map((share) => share * perSecond);
  const changes: readonly Change[] = [{ atMs: 0, apply: (model) => void (model.mode = "refusing") }];
  return runScenario({ durationMs: 60_000, ...DEFAULTS, ...options, changes, rates: () => rates });
}

export const OUTAGE_BEGINS_MS = 10_000;
export const OUTAGE_ENDS_MS = 40_000;

/** S6: it refuses connections from 10 s to 40 s; `perSecond` are offered throughout. */
export function outage(options: ScenarioOptions, perSecond: number): RunResult {
  const rates = USUAL_MIX.map((share) => share * perSecond);
  const changes: readonly Change[] = [
    { atMs: OUTAGE_BEGINS_MS, apply: (model) => void (model.mode = "refusing") },
    { atMs: OUTAGE_ENDS_MS, apply: (model) => void (model.mode = "up") },
  ];
  return runScenario({ durationMs: 80_000, ...DEFAULTS, ...options, changes, rates: () => rates });
}

/** A server that is brought down for good by retries: 300/s at most, 280/s offered. */
export const METASTABLE_UPSTREAM: UpstreamModelOptions = { ...SMALL_UPSTREAM, servers: 30 };
export const CUT_BEGINS_MS = 10_000;
export const CUT_ENDS_MS = 20_000;

/** S7: a network cut of 10 s at 93 % load, callers that repeat what took longer than a second. */
export function networkCut(options: ScenarioOptions): RunResult {
  const rates = USUAL_MIX.map((share) => share * 280);
  const changes: readonly Change[] = [
    { atMs: CUT_BEGINS_MS, apply: (model) => void (model.mode = "silent") },
    { atMs: CUT_ENDS_MS, apply: (model) => void (model.mode = "up") },
  ];
  const upstream = METASTABLE_UPSTREAM;
  return runScenario({ durationMs: 60_000, ...DEFAULTS, upstream, ...options, changes, rates: () => rates });
}

/** S8: five seconds up, five seconds down, over and over, at half the capacity. */
export function flapping(options: ScenarioOptions): RunResult {
  const durationMs = options.durationMs ?? 600_000;
  const { upstream } = { ...DEFAULTS, ...options };
  const rates = offeredRates(upstream, 0.5);
  const changes: Change[] = [];
  for (let atMs = 5000; atMs < durationMs; atMs += 5000) {
    const mode = (atMs / 5000) % 2 === 1 ? "refusing" : "up";
    changes.push({ atMs, apply: (model) => void (model.mode = mode) });
  }
  return runScenario({ ...DEFAULTS, ...options, durationMs, changes, rates: () => rates });
}
