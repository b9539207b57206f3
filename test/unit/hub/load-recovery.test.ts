import { describe, it } from "vitest";
import { createRecovery, cutOfReturn, followRecovery } from "../../../src/hub/load-recovery.ts";
import type { Recovery } from "../../../src/hub/load-recovery.ts";
import { bucketOf } from "../../../src/resilience/latency.ts";
import type { LoadNews } from "../../../src/resilience/load-sums.ts";
import type { RegionLimit } from "../../../src/resilience/region-limit.ts";
import { createRegionLimit } from "../../../src/resilience/region-limit.ts";
import type { BreakerPhase } from "../../../src/resilience/breaker.ts";

const NOTHING = { arrivals: [], settled: 0, ok: 0, signals: 0, lineBusyMs: 0, busyMs: 0, refusedInflight: 0 };

function served(count: number, latencyMs: number): LoadNews {
  const pairs = count === 0 ? [] : [bucketOf(latencyMs), count];
  const fates = { served: pairs, refused: 0, throttled: 0, timedOut: 0, originals: count, retries: 0 };
  return { ...NOTHING, spanMs: 1000, ...fates };
}

interface Step {
  readonly phase: BreakerPhase;
  readonly perSecond: number;
  readonly latencyMs: number;
  readonly isShedding: boolean;
}

function follow(recovery: Recovery, limit: RegionLimit, step: Step, now: number): boolean {
  const { phase, perSecond, latencyMs, isShedding } = step;
  const region = { servedPerMs: perSecond / 1000, isolates: 10, isShedding };
  return followRecovery(recovery, limit, served(perSecond / 10, latencyMs), region, phase, now);
}

/** The limit at the end of a ramp after an outage, where 100/s were served before it, at a limit of 400. */
function limitAfter(
  isShedding: boolean,
  afterMs = 100,
): { limit: RegionLimit; learns: boolean; recovery: Recovery; now: number } {
  const recovery = createRecovery();
  const limit = createRegionLimit(1000);
  limit.exact = 400;
  limit.baselineMs = 2000;
  limit.trial = { limit: 400, servedPerMs: 0.1 };
  let now = 0;
  let learns = true;
  const run = (phase: BreakerPhase, perSecond: number, latencyMs: number): void => {
    for (let report = 0; report < 100; report++) {
      learns = follow(recovery, limit, { phase, perSecond, latencyMs, isShedding }, (now += 100));
    }
  };
  run("closed", 100, 2000);
  run("open", 0, 0);
  run("half-open", 0, 0);
  if (learns) throw new Error("a limit learns nothing of an upstream that is away");
  run("ramp", 100, afterMs);
  follow(recovery, limit, { phase: "closed", perSecond: 100, latencyMs: afterMs, isShedding }, (now += 100));
  return { limit, learns, recovery, now };
}

describe("an upstream that comes back", () => {
  it("gets in flight what it served before, at the latency that it has now, and a little", ({ expect }) => {
    const { limit, learns } = limitAfter(true);
    // 100/s at 100 ms are 10 at a time; ten isolates need about as many besides.
    expect(limit.exact).toBeGreaterThan(18);
    expect(limit.exact).toBeLessThan(21.5);
    expect(learns).toBe(false);
  });

  it("gets twice that and more where it had never been full", ({ expect }) => {
    const [roomy, full] = [false, true].map((isShedding) => limitAfter(isShedding));
    expect(roomy.limit.exact).toBeGreaterThanOrEqual(2 * full.limit.exact);
    expect(roomy.limit.steadyUntil).toBe(0);
  });

  it("may queue what it serves in a tenth of a second, however long it takes for it", ({ expect }) => {
    const [quick, slow] = [100, 400].map((latencyMs) => limitAfter(true, latencyMs).limit);
    // 0.95 * 100/s for each ms of latency, and 0.95 * 10 of queue.
    const queues = [quick, slow].map(({ exact, baselineMs }) => exact - 0.095 * baselineMs);
    for (const queue of queues) expect(queue).toBeCloseTo(9.5, 1);
  });

  it("is kept at that for 25 s where it was full, and as long sheds all but a fifth more", ({ expect }) => {
    const { limit, recovery, now } = limitAfter(true);
    expect(limit.steadyUntil).toBe(now - 100 + 25_000);
    expect(cutOfReturn(recovery, 0.3)).toBeCloseTo(1 - 0.12 / 0.3, 2);
    expect(cutOfReturn(recovery, 0.1)).toBe(0);
    expect(cutOfReturn(recovery, 0)).toBe(0);
    expect(cutOfReturn(limitAfter(false).recovery, 0.3)).toBe(0);
    expect(cutOfReturn(createRecovery(), 0.3)).toBe(0);
  });

  it("is measured anew: its latency from before, and trials under way, are void", ({ expect }) => {
    const { limit } = limitAfter(true);
    expect(limit.baselineMs).toBeGreaterThan(90);
    expect(limit.baselineMs).toBeLessThan(115);
    expect(limit.trial).toBeNull();
  });

  it("keeps its limit where nothing is known of what it served", ({ expect }) => {
    const recovery = createRecovery();
    const limit = createRegionLimit(1000);
    limit.exact = 400;
    follow(recovery, limit, { phase: "open", perSecond: 0, latencyMs: 0, isShedding: true }, 100);
    follow(recovery, limit, { phase: "ramp", perSecond: 500, latencyMs: 100, isShedding: true }, 200);
    expect(limit.exact).toBe(400);
  });
});
