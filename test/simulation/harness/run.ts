// Runs one scenario and says what happened, as plain data: Poisson arrivals with a mix of classes and
// users, a policy, an upstream, and changes of that upstream on the way. The run goes on after the last
// arrival until every request has ended.

import type { RandomSource } from "../../../src/resilience/random.ts";
import { createRandom, nextRandom, nextUint32 } from "../../../src/resilience/random.ts";
import { VirtualClock } from "./clock.ts";
import type { Ending, PhaseChange, PolicyFactory, PolicyReading, SimulatedRequest, World } from "./policy.ts";
import type { UpstreamModelOptions } from "./upstream-model.ts";
import { UpstreamModel } from "./upstream-model.ts";

export interface Scenario {
  readonly seed: number;
  readonly durationMs: number;
  readonly policy: PolicyFactory;
  readonly upstream: UpstreamModelOptions;
  /** Arrivals per second of each class, P0 first, at a time of the run. */
  readonly rates: (atMs: number) => readonly number[];
  readonly users: number;
  readonly deadlineMs: number;
  readonly idempotent: boolean;
  readonly changes: readonly Change[];
  /** Who a request is of, instead of any of `users`. */
  readonly userOf?: (random: RandomSource, atMs: number) => string;
  /** The part of the requests whose clients go away, after up to `CANCELLED_WITHIN_MS`. */
  readonly cancelled?: number;
}

/** Something that happens to the upstream. */
export interface Change {
  readonly atMs: number;
  apply(upstream: UpstreamModel): void;
}

/** One second of a run, by the requests that arrived in it. */
export interface SecondTally {
  /** By class, P0 first. */
  readonly offered: number[];
  readonly ok: number[];
  /** Answers with success that were given in this second. */
  completedOk: number;
  reading: PolicyReading;
}

export interface ClassTally {
  offered: number;
  ok: number;
  readonly endings: Partial<Record<Ending, number>>;
  /** Of the successful ones, in ms, in the order of their answers. */
  readonly latencies: { readonly arrivedMs: number; readonly ms: number }[];
}

export interface RunResult {
  readonly policy: string;
  readonly seed: number;
  readonly durationMs: number;
  /** Requests per second that the upstream could serve. */
  readonly capacity: number;
  readonly classes: readonly ClassTally[];
  readonly seconds: readonly SecondTally[];
  /** What the upstream got, by second. */
  readonly upstreamArrivals: readonly number[];
  readonly upstreamRefused: number;
  readonly retries: number;
  readonly unjustRefusals: number;
  readonly levelBreaches: number;
  /** Permits that are still out a minute after everything has ended. */
  readonly permitsLeaked: number;
  /** Of each isolate's breaker. */
  readonly phaseChanges: readonly PhaseChange[];
  /** Of the breaker of the region; of the isolates, where there is none. */
  readonly regionChanges: readonly PhaseChange[];
}

const CLASSES = 4;
const CANCELLED_WITHIN_MS = 200;
/** Gaps longer than this are drawn again, so that a change of rates is seen soon. */
const LONGEST_GAP_MS = 10;

export function runScenario(scenario: Scenario): RunResult {
  const clock = new VirtualClock();
  const upstreamRandom = createRandom(scenario.seed ^ 0x5bd1e995);
  const upstream = new UpstreamModel(scenario.upstream, clock, upstreamRandom);
  const record = createRecord(scenario);
  const world: World = {
    clock,
    upstream,
    random: createRandom(scenario.seed ^ 0x27d4eb2f),
    conclude: (request, ending) => noteEnding(record, request, ending, clock.elapsedMs),
  };
  const policy = scenario.policy.create(world);
  for (const change of scenario.changes) clock.after(change.atMs, () => change.apply(upstream));
  for (const [second, tally] of record.seconds.entries()) {
    clock.after((second + 1) * 1000 - 0.001, () => {
      tally.reading = policy.read();
    });
  }
  planArrivals(scenario, clock, (request) => {
    noteArrival(record, request, clock.elapsedMs);
    policy.arrive(request);
  });
  clock.runUntil(Number.POSITIVE_INFINITY);
  const unfinished = record.open.size;
  if (unfinished > 0) throw new Error(`${unfinished} requests never ended (seed ${scenario.seed})`);
  return {
    policy: scenario.policy.name,
    seed: scenario.seed,
    durationMs: scenario.durationMs,
    capacity: upstream.capacity,
    classes: record.classes,
    seconds: record.seconds,
    upstreamArrivals: Array.from(upstream.arrivalsBySecond, (count) => count ?? 0),
    upstreamRefused: upstream.refused,
    retries: policy.retries,
    unjustRefusals: policy.unjustRefusals,
    levelBreaches: policy.levelBreaches,
    permitsLeaked: policy.permitsOutAt(clock.now + 60_000),
    phaseChanges: policy.phaseChanges,
    regionChanges: policy.regionChanges ?? policy.phaseChanges,
  };
}

function planArrivals(
  scenario: Scenario,
  clock: VirtualClock,
  arrive: (request: SimulatedRequest) => void,
): void {
  const random = createRandom(scenario.seed);
  let count = 0;
  const next = (): void => {
    const rates = scenario.rates(clock.elapsedMs);
    const total = rates.reduce((sum, rate) => sum + rate, 0);
    const gapMs = total === 0 ? Number.POSITIVE_INFINITY : (-Math.log(1 - nextRandom(random)) * 1000) / total;
    clock.after(Math.min(gapMs, LONGEST_GAP_MS), () => {
      if (clock.elapsedMs >= scenario.durationMs) return;
      if (gapMs <= LONGEST_GAP_MS) {
        arrive({
          id: `${scenario.seed}-${count++}`,
          trafficClass: drawClass(rates, total, random),
          user: scenario.userOf?.(random, clock.elapsedMs) ?? `user-${nextUint32(random) % scenario.users}`,
          deadlineAt: clock.now + scenario.deadlineMs,
          idempotent: scenario.idempotent,
          cancelAfterMs: drawCancel(scenario.cancelled ?? 0, random),
        });
      }
      next();
    });
  };
  next();
}

function drawClass(rates: readonly number[], total: number, random: RandomSource): number {
  let remaining = nextRandom(random) * total;
  for (const [trafficClass, rate] of rates.entries()) {
    remaining -= rate;
    if (remaining < 0) return trafficClass;
  }
  return rates.length - 1;
}

function drawCancel(part: number, random: RandomSource): number | null {
  if (part === 0 || nextRandom(random) >= part) return null;
  return CANCELLED_WITHIN_MS * nextRandom(random);
}

interface RunRecord {
  readonly classes: ClassTally[];
  readonly seconds: SecondTally[];
  /** Arrival times of requests that have not ended. */
  readonly open: Map<SimulatedRequest, number>;
}

function createRecord(scenario: Scenario): RunRecord {
  const reading = { cursor: 0, limit: 0, inflight: 0, waiting: 0, phase: "closed" };
  return {
    classes: Array.from({ length: CLASSES }, () => ({ offered: 0, ok: 0, endings: {}, latencies: [] })),
    seconds: Array.from({ length: Math.ceil(scenario.durationMs / 1000) }, () => ({
      offered: [0, 0, 0, 0],
      ok: [0, 0, 0, 0],
      completedOk: 0,
      reading,
    })),
    open: new Map(),
  };
}

function noteArrival(record: RunRecord, request: SimulatedRequest, atMs: number): void {
  record.open.set(request, atMs);
  record.classes[request.trafficClass].offered++;
  record.seconds[Math.floor(atMs / 1000)].offered[request.trafficClass]++;
}

function noteEnding(record: RunRecord, request: SimulatedRequest, ending: Ending, atMs: number): void {
  const arrivedMs = record.open.get(request);
  if (arrivedMs === undefined) throw new Error(`request ${request.id} ended twice`);
  record.open.delete(request);
  const tally = record.classes[request.trafficClass];
  tally.endings[ending] = (tally.endings[ending] ?? 0) + 1;
  if (ending !== "ok") return;
  tally.ok++;
  tally.latencies.push({ arrivedMs, ms: atMs - arrivedMs });
  record.seconds[Math.floor(arrivedMs / 1000)].ok[request.trafficClass]++;
  const second = record.seconds[Math.floor(atMs / 1000)];
  if (second !== undefined) second.completedOk++;
}
