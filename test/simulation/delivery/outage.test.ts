// An upstream that answers 500 for ten minutes while 200 jobs a second go on coming, and an outbox whose
// object dies meanwhile: nothing is lost, the upstream sees probes and what noticed the outage, nothing else,
// and what has piled up is done within five minutes. TIDEGATE_FAULT_RUNS=100: so many seeds.

import { expect, it } from "vitest";
import { DEFAULT_OPTIONS } from "../harness/tidegate-options.ts";
import { simulateOutage } from "./outage.ts";

const MINUTE_MS = 60_000;
const DOWN_MS = 10 * MINUTE_MS;
const PER_SECOND = 200;
const SERVERS = 100;
const SERVICE_MS = 100;
const ATTEMPTS = 10;
const SEEDS = Number(process.env.TIDEGATE_FAULT_RUNS || 1);
const FIRST_SEED = Number(process.env.TIDEGATE_FAULT_FIRST || 1);
/** Of the object, over all; what it knows of the circuit it learns again after each. */
const CRASHES = 20;

function outageOf(seed: number, crashes: number) {
  const downFromMs = MINUTE_MS;
  const downUntilMs = downFromMs + DOWN_MS;
  return simulateOutage({
    seed,
    perSecond: PER_SECOND,
    downFromMs,
    downUntilMs,
    untilMs: downUntilMs + 5 * MINUTE_MS,
    invocations: 20,
    servers: SERVERS,
    serviceMs: SERVICE_MS,
    crashes,
    terms: {
      highWatermark: 20_000,
      resumeAt: 0.7,
      alertAt: 10_000,
      maxAgeMs: 24 * 60 * MINUTE_MS,
      retry: { attempts: ATTEMPTS, delayMs: 1_000, maxDelayMs: 60_000 },
      onDeadHead: "block",
    },
  });
}

it("loses nothing, tries little and drains soon", { timeout: 60_000 + SEEDS * 60_000 }, () => {
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
    const crashes = seed % 4 === 0 ? 0 : CRASHES;
    const result = outageOf(seed, crashes);
    console.info(`seed ${seed}: ${JSON.stringify(result)}`);
    const { accepted, delivered, dead, left, failures, reopenings } = result;
    expect([accepted - delivered - left, dead], `seed ${seed}`).toEqual([0, 0]);
    // One probe each time that the circuit may close, and it is the probe's failure that opens it again.
    expect(failures, `seed ${seed}`).toMatchObject({ probes: reopenings, other: 0 });
    // What was sent before the circuit opened: a row of failures, and what was under way behind them.
    const consecutive = DEFAULT_OPTIONS.upstream.breaker?.consecutive ?? 0;
    const underWay = (PER_SECOND * SERVICE_MS) / 1_000;
    expect(failures.noticing).toBeGreaterThanOrEqual(consecutive);
    expect(failures.noticing, `seed ${seed}`).toBeLessThanOrEqual(consecutive + 2 * underWay);
    // No try was counted that the upstream did not see, and none was forgotten, whatever died in between.
    expect(result.failedTries, `seed ${seed}`).toBe(failures.noticing + failures.probes);
    // The probes are not always the same job's: it would be out of tries in an outage that the others wait
    // out.
    expect(result.mostTries, `seed ${seed}`).toBeLessThan(ATTEMPTS);
    // What an outage costs does not grow with what waits: not even one row for each job that was taken in.
    expect(result.trialRows).toBeLessThan(accepted / (crashes === 0 ? 10 : 4));
    expect(result.deepest).toBeLessThanOrEqual(20_000);
    expect(result.drainedAfterMs ?? Number.POSITIVE_INFINITY, `seed ${seed}`).toBeLessThanOrEqual(
      5 * MINUTE_MS,
    );
    expect(result.mostAtOnce).toBeLessThanOrEqual(SERVERS);
    // Requests are counted as they come: a second may begin with those of the one before.
    expect(result.mostPerSecond).toBeLessThanOrEqual((SERVERS * 1_000) / SERVICE_MS);
  }
});
