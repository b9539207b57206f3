// An upstream that answers 500 for ten minutes while 200 jobs a second go on coming: nothing is lost, the
// upstream sees probes and nothing else, and what has piled up is done within five minutes.

import { expect, it } from "vitest";
import { DEFAULT_OPTIONS } from "../harness/tidegate-options.ts";
import { simulateOutage } from "./outage.ts";

const MINUTE_MS = 60_000;
const DOWN_MS = 10 * MINUTE_MS;
const SERVERS = 100;
const SERVICE_MS = 100;

it("loses nothing, tries little and drains soon", { timeout: 120_000 }, () => {
  const downFromMs = MINUTE_MS;
  const downUntilMs = downFromMs + DOWN_MS;
  const result = simulateOutage({
    seed: 1,
    perSecond: 200,
    downFromMs,
    downUntilMs,
    untilMs: downUntilMs + 5 * MINUTE_MS,
    invocations: 20,
    servers: SERVERS,
    serviceMs: SERVICE_MS,
    terms: {
      highWatermark: 20_000,
      resumeAt: 0.7,
      alertAt: 10_000,
      maxAgeMs: 24 * 60 * MINUTE_MS,
      retry: { attempts: 10, delayMs: 1_000, maxDelayMs: 60_000 },
      onDeadHead: "block",
    },
  });
  console.info(JSON.stringify(result));
  const { accepted, delivered, dead, left } = result;
  expect([accepted - delivered - left, dead]).toEqual([0, 0]);
  // A half-open circuit gives so many probes at most; the first opening has what was under way before it.
  const probes = DEFAULT_OPTIONS.upstream.breaker?.probes ?? 0;
  expect(result.triesWhileDown).toBeLessThanOrEqual(SERVERS + result.openings * probes);
  // What an outage costs does not grow with what waits: not even one row for each job that was taken in.
  expect(result.trialRows).toBeLessThan(accepted / 10);
  expect(result.deepest).toBeLessThanOrEqual(20_000);
  expect(result.drainedAfterMs ?? Number.POSITIVE_INFINITY).toBeLessThanOrEqual(5 * MINUTE_MS);
  expect(result.mostAtOnce).toBeLessThanOrEqual(SERVERS);
  // Requests are counted as they come: a second may begin with those of the one before.
  expect(result.mostPerSecond).toBeLessThanOrEqual((SERVERS * 1_000) / SERVICE_MS);
});
