import { describe, it } from "vitest";
import type { Breaker, BreakerOptions } from "../../../src/resilience/breaker.ts";
import {
  NOT_ADMITTED,
  admitCall,
  createBreaker,
  failureRate,
  noteRetryAfter,
  phaseAt,
  recordResult,
} from "../../../src/resilience/breaker.ts";
import { rampShare } from "../../../src/resilience/breaker-ramp.ts";
import { Outcome } from "../../../src/resilience/outcome.ts";
import { fc, test } from "./property.ts";

const LEASE_MS = 11_000;
const DEFAULTS: BreakerOptions = {
  failureRate: 0.5,
  slowCallMs: null,
  slowCallRate: 0.8,
  minimumCalls: 20,
  windowMs: 10_000,
  consecutive: 1000,
  openForMs: 1000,
  maxOpenForMs: 10_000,
  probes: 3,
  rampUpMs: 10_000,
};

function call(breaker: Breaker, outcome: Outcome, now: number, slow = false, random = 1): void {
  recordResult(breaker, admitCall(breaker, now, LEASE_MS), outcome, slow, now, random);
}

function calls(breaker: Breaker, count: number, outcome: Outcome, now: number, slow = false): void {
  for (let index = 0; index < count; index++) call(breaker, outcome, now, slow);
}

/** A breaker that has opened at 0 for a second. */
function opened(options: Partial<BreakerOptions> = {}): Breaker {
  const breaker = createBreaker({ ...DEFAULTS, ...options, consecutive: 5 });
  calls(breaker, 5, Outcome.failRemote, 0);
  return breaker;
}

/** Sends good probes until the breaker leaves half-open. */
function heal(breaker: Breaker, now: number): void {
  for (let probe = 0; probe < 20 && phaseAt(breaker, now) === "half-open"; probe++) {
    call(breaker, Outcome.ok, now);
  }
}

function ramping(options: Partial<BreakerOptions> = {}): Breaker {
  const breaker = opened(options);
  heal(breaker, 1000);
  return breaker;
}

function openUntil(breaker: Breaker): number {
  return breaker.state.phase === "open" ? breaker.state.openUntil : Number.NaN;
}

describe("closed", () => {
  it("resilience4j: starts closed", ({ expect }) => {
    expect(phaseAt(createBreaker(DEFAULTS), 0)).toBe("closed");
  });

  it("resilience4j: the rate is unknown below the minimum of calls, and never trips there", ({ expect }) => {
    const breaker = createBreaker(DEFAULTS);
    calls(breaker, 19, Outcome.failRemote, 0);
    expect(failureRate(breaker, 0)).toBe(-1);
    expect(phaseAt(breaker, 0)).toBe("closed");
    calls(breaker, 1, Outcome.failRemote, 0);
    expect(phaseAt(breaker, 0)).toBe("open");
  });

  it("resilience4j: trips at the failure rate, not above it", ({ expect }) => {
    const breaker = createBreaker(DEFAULTS);
    calls(breaker, 11, Outcome.ok, 0);
    calls(breaker, 10, Outcome.failRemote, 0);
    expect(phaseAt(breaker, 0)).toBe("closed");
    calls(breaker, 1, Outcome.failRemote, 0);
    expect(breaker.lastTransition).toMatchObject({
      to: "open",
      reason: "failure-rate",
      calls: 22,
      failures: 11,
    });
  });

  it("resilience4j: trips on slow calls without any error", ({ expect }) => {
    const breaker = createBreaker({ ...DEFAULTS, slowCallMs: 100 });
    calls(breaker, 4, Outcome.ok, 0);
    calls(breaker, 15, Outcome.ok, 0, true);
    expect(phaseAt(breaker, 0)).toBe("closed");
    calls(breaker, 1, Outcome.ok, 0, true);
    expect(breaker.lastTransition).toMatchObject({ reason: "slow-rate", calls: 20, slow: 16, failures: 0 });
  });

  it("resilience4j: both rates at once are one transition", ({ expect }) => {
    const breaker = createBreaker({ ...DEFAULTS, slowCallMs: 100 });
    calls(breaker, 20, Outcome.failRemote, 0, true);
    expect(breaker.state.generation).toBe(2);
    expect(breaker.lastTransition?.reason).toBe("failure-rate");
  });

  it("gobreaker: consecutive failures trip at once, whatever the minimum says", ({ expect }) => {
    const breaker = createBreaker({ ...DEFAULTS, consecutive: 5 });
    calls(breaker, 4, Outcome.failLocal, 0);
    expect(phaseAt(breaker, 0)).toBe("closed");
    calls(breaker, 1, Outcome.failRemote, 0);
    expect(breaker.lastTransition?.reason).toBe("consecutive");
  });

  it("envoy: a success resets the consecutive counter", ({ expect }) => {
    const breaker = createBreaker({ ...DEFAULTS, minimumCalls: 1000, consecutive: 5 });
    for (let round = 0; round < 50; round++) {
      calls(breaker, 4, Outcome.failRemote, 0);
      calls(breaker, 1, Outcome.ok, 0);
    }
    expect(phaseAt(breaker, 0)).toBe("closed");
  });

  it("failsafe-go: an ignored result counts neither way", ({ expect }) => {
    const breaker = createBreaker({ ...DEFAULTS, consecutive: 5 });
    calls(breaker, 4, Outcome.failRemote, 0);
    calls(breaker, 100, Outcome.ignored, 0);
    expect(failureRate(breaker, 0)).toBe(-1);
    calls(breaker, 1, Outcome.failRemote, 0);
    expect(phaseAt(breaker, 0)).toBe("open");
  });

  it("cockatiel: failures from before an idle gap do not trip", ({ expect }) => {
    const breaker = createBreaker(DEFAULTS);
    calls(breaker, 19, Outcome.failRemote, 0);
    calls(breaker, 19, Outcome.failRemote, 60_000);
    expect(phaseAt(breaker, 60_000)).toBe("closed");
  });

  it("trips wrongly once in a thousand windows at most when a tenth of the calls fail by chance", ({
    expect,
  }) => {
    let seed = 1;
    const uniform = (): number => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
    let trips = 0;
    for (let window = 0; window < 1000; window++) {
      const breaker = createBreaker({ ...DEFAULTS, consecutive: 5 });
      for (let index = 0; index < 20; index++) {
        call(breaker, uniform() < 0.1 ? Outcome.failRemote : Outcome.ok, 0);
      }
      if (phaseAt(breaker, 0) === "open") trips++;
    }
    expect(trips).toBeLessThanOrEqual(2);
  });
});

describe("open", () => {
  it("resilience4j: refuses everything until its time is over, then half-opens lazily", ({ expect }) => {
    const breaker = opened();
    expect(admitCall(breaker, 999, LEASE_MS)).toBe(NOT_ADMITTED);
    expect(breaker.state.phase).toBe("open");
    expect(phaseAt(breaker, 1000)).toBe("half-open");
    expect(breaker.state.phase).toBe("open");
    expect(admitCall(breaker, 1000, LEASE_MS)).not.toBe(NOT_ADMITTED);
    expect(breaker.state.phase).toBe("half-open");
  });

  it("envoy: a breaker that is open is not opened again by results that come late", ({ expect }) => {
    const breaker = createBreaker({ ...DEFAULTS, consecutive: 5 });
    const tokens = Array.from({ length: 50 }, () => admitCall(breaker, 0, LEASE_MS));
    for (const token of tokens) recordResult(breaker, token, Outcome.failRemote, false, 1, 1);
    expect(breaker.strikes).toBe(1);
    expect(openUntil(breaker)).toBe(1001);
  });

  it("envoy: open time grows per opening, is capped, and decays with health", ({ expect }) => {
    const breaker = opened();
    const times = [openUntil(breaker)];
    let now = openUntil(breaker);
    for (let opening = 0; opening < 14; opening++) {
      call(breaker, Outcome.failRemote, now);
      times.push(openUntil(breaker) - now);
      now = openUntil(breaker);
    }
    // For ten seconds it is tried once a second; it may be over soon.
    expect(times.slice(0, 10)).toEqual(Array.from({ length: 10 }, () => 1000));
    expect(times.slice(10)).toEqual([2000, 4000, 8000, 10_000, 10_000]);
    heal(breaker, now);
    admitCall(breaker, now + DEFAULTS.rampUpMs, LEASE_MS);
    const healthyUntil = now + DEFAULTS.rampUpMs + 25_000;
    calls(breaker, 5, Outcome.failRemote, healthyUntil);
    // Five strikes were held; two healthy spells of 10 s took two of them, this opening adds one.
    expect(openUntil(breaker) - healthyUntil).toBe(8000);
  });

  it("apisix: long health brings the open time back to its start", ({ expect }) => {
    const breaker = opened();
    for (let opening = 0; opening < 16; opening++) call(breaker, Outcome.failRemote, openUntil(breaker));
    const healed = openUntil(breaker);
    heal(breaker, healed);
    admitCall(breaker, healed + DEFAULTS.rampUpMs, LEASE_MS);
    calls(breaker, 5, Outcome.failRemote, healed + 120_000);
    expect(openUntil(breaker) - healed - 120_000).toBe(1000);
  });

  it("closing alone does not take strikes back: flapping is punished", ({ expect }) => {
    const breaker = opened();
    heal(breaker, 1000);
    admitCall(breaker, 1000 + DEFAULTS.rampUpMs, LEASE_MS);
    expect(breaker.state.phase).toBe("closed");
    calls(breaker, 5, Outcome.failRemote, 12_000);
    expect(openUntil(breaker) - 12_000).toBe(2000);
  });

  test("finagle: jitter keeps every open time between half of its step and all of it, and probes apart", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 20 }), (randoms) => {
        const breaker = createBreaker({ ...DEFAULTS, consecutive: 1 });
        let now = 0;
        let full = 1000;
        return randoms.every((random, index) => {
          if (now >= 10_000) full = Math.min(10_000, full * 2);
          call(breaker, Outcome.failRemote, now, false, random);
          const openFor = openUntil(breaker) - now;
          now = openUntil(breaker);
          const least = index === 0 ? full / 2 : Math.max(1000, full / 2);
          return openFor >= least - 1e-6 && openFor <= full + 1e-6;
        });
      }),
    );
  });

  it("waits as long as the upstream asked, within the maximum", ({ expect }) => {
    const waits = [3000, 60_000].map((retryAfterMs) => {
      const breaker = createBreaker({ ...DEFAULTS, consecutive: 1 });
      noteRetryAfter(breaker, retryAfterMs);
      call(breaker, Outcome.failRemote, 0);
      return openUntil(breaker);
    });
    expect(waits).toEqual([3000, 10_000]);
  });
});

describe("half-open", () => {
  it("opossum: one probe at a time at first; the others are refused at once", ({ expect }) => {
    const breaker = opened();
    expect(admitCall(breaker, 1000, LEASE_MS)).not.toBe(NOT_ADMITTED);
    for (let index = 0; index < 10; index++) expect(admitCall(breaker, 1001, LEASE_MS)).toBe(NOT_ADMITTED);
  });

  it("resilience4j: never gives out more probes than are still needed", ({ expect }) => {
    const breaker = opened({ probes: 4 });
    call(breaker, Outcome.ok, 1000);
    const second = [1, 2, 3].map(() => admitCall(breaker, 1001, LEASE_MS));
    expect(second.filter((token) => token !== NOT_ADMITTED)).toHaveLength(2);
    for (const token of second.slice(0, 2)) recordResult(breaker, token, Outcome.ok, false, 1002, 1);
    const last = [1, 2].map(() => admitCall(breaker, 1003, LEASE_MS));
    expect(last.filter((token) => token !== NOT_ADMITTED)).toHaveLength(1);
  });

  it("resilience4j: leaves half-open only when all probes are in", ({ expect }) => {
    const breaker = opened();
    call(breaker, Outcome.ok, 1000);
    call(breaker, Outcome.ok, 1000);
    expect(breaker.state.phase).toBe("half-open");
    call(breaker, Outcome.ok, 1000);
    expect(breaker.state.phase).toBe("ramp");
    expect(breaker.lastTransition).toMatchObject({ to: "ramp", reason: "probes-good", goodProbes: 3 });
  });

  it("cockatiel: the first bad probe opens again", ({ expect }) => {
    const breaker = opened();
    call(breaker, Outcome.ok, 1000);
    call(breaker, Outcome.failLocal, 1000);
    expect(breaker.lastTransition).toMatchObject({
      from: "half-open",
      to: "open",
      reason: "probe-failed",
      goodProbes: 1,
    });
    expect(openUntil(breaker)).toBe(2000);
  });

  it("opossum: the minimum of calls does not apply to probes", ({ expect }) => {
    const breaker = opened({ minimumCalls: 1_000_000 });
    call(breaker, Outcome.failRemote, 1000);
    expect(breaker.state.phase).toBe("open");
  });

  it("resilience4j: a slow probe opens again where slow calls count", ({ expect }) => {
    const breaker = opened({ slowCallMs: 100 });
    call(breaker, Outcome.ok, 1000, true);
    expect(breaker.state.phase).toBe("open");
  });

  it("resilience4j, finagle: an ignored result gives the lease back and decides nothing", ({ expect }) => {
    const breaker = opened();
    call(breaker, Outcome.ignored, 1000);
    expect(breaker.state.phase).toBe("half-open");
    expect(admitCall(breaker, 1001, LEASE_MS)).not.toBe(NOT_ADMITTED);
  });

  it("resilience4j: entering again gives a full set of probes", ({ expect }) => {
    const breaker = opened();
    call(breaker, Outcome.ok, 1000);
    call(breaker, Outcome.failRemote, 1000);
    call(breaker, Outcome.ok, 3000);
    call(breaker, Outcome.ok, 3000);
    expect(breaker.state.phase).toBe("half-open");
  });

  it("polly: a probe that never comes back does not keep it half-open for ever", ({ expect }) => {
    const breaker = opened();
    admitCall(breaker, 1000, LEASE_MS);
    expect(admitCall(breaker, 1000 + LEASE_MS - 1, LEASE_MS)).toBe(NOT_ADMITTED);
    expect(admitCall(breaker, 1000 + LEASE_MS, LEASE_MS)).not.toBe(NOT_ADMITTED);
  });

  it("a probe whose lease has ended decides nothing when it comes back late", ({ expect }) => {
    const breaker = opened();
    const lost = admitCall(breaker, 1000, LEASE_MS);
    admitCall(breaker, 1000 + LEASE_MS, LEASE_MS);
    recordResult(breaker, lost, Outcome.failRemote, false, 1001 + LEASE_MS, 1);
    expect(breaker.state.phase).toBe("half-open");
  });

  it("a probe reports once", ({ expect }) => {
    const breaker = opened();
    const token = admitCall(breaker, 1000, LEASE_MS);
    for (let index = 0; index < 5; index++) recordResult(breaker, token, Outcome.ok, false, 1001, 1);
    expect(breaker.state).toMatchObject({ phase: "half-open", good: 1 });
  });
});

describe("generations", () => {
  it("gobreaker: results of an older generation change nothing", ({ expect }) => {
    const breaker = createBreaker({ ...DEFAULTS, consecutive: 5 });
    const old = Array.from({ length: 20 }, () => admitCall(breaker, 0, LEASE_MS));
    calls(breaker, 5, Outcome.failRemote, 0);
    admitCall(breaker, 1000, LEASE_MS);
    for (const token of old) recordResult(breaker, token, Outcome.failRemote, false, 1001, 1);
    expect(breaker.state.phase).toBe("half-open");
    expect(breaker.strikes).toBe(1);
  });

  it("gobreaker: nor do they when the breaker has healed meanwhile", ({ expect }) => {
    const breaker = createBreaker({ ...DEFAULTS, consecutive: 5 });
    const old = Array.from({ length: 20 }, () => admitCall(breaker, 0, LEASE_MS));
    calls(breaker, 5, Outcome.failRemote, 0);
    heal(breaker, 1000);
    for (const token of old) recordResult(breaker, token, Outcome.failRemote, false, 2000, 1);
    expect(breaker.state).toMatchObject({ phase: "ramp", calls: 0 });
    call(breaker, Outcome.ok, 1000 + DEFAULTS.rampUpMs);
    for (const token of old) recordResult(breaker, token, Outcome.failRemote, false, 12_000, 1);
    expect(breaker.state.phase).toBe("closed");
  });

  it("resilience4j: never goes from closed to half-open, nor to its own phase", ({ expect }) => {
    const allowed = [
      "closed>open",
      "open>half-open",
      "half-open>ramp",
      "half-open>open",
      "ramp>closed",
      "ramp>open",
    ];
    const event = fc.record({
      waitMs: fc.integer({ min: 0, max: 3000 }),
      outcome: fc.constantFrom(Outcome.ok, Outcome.ok, Outcome.ok, Outcome.failRemote, Outcome.ignored),
      pending: fc.boolean(),
    });
    const seen = new Set<string>();
    fc.assert(
      fc.property(fc.array(event, { minLength: 20, maxLength: 150 }), (events) => {
        const breaker = createBreaker({ ...DEFAULTS, consecutive: 2 });
        const waiting: number[] = [];
        let now = 0;
        const note = (): void => {
          const { lastTransition } = breaker;
          if (lastTransition !== null) seen.add(`${lastTransition.from}>${lastTransition.to}`);
        };
        for (const { waitMs, outcome, pending } of events) {
          now += waitMs;
          const token = admitCall(breaker, now, LEASE_MS);
          note();
          if (pending) waiting.push(token);
          else recordResult(breaker, token, outcome, false, now, 0.5);
          note();
          if (waiting.length > 3) {
            recordResult(breaker, waiting.shift() ?? NOT_ADMITTED, outcome, false, now, 0.5);
          }
          note();
        }
      }),
    );
    expect([...seen].filter((change) => !allowed.includes(change))).toEqual([]);
    expect(seen.size).toBe(allowed.length);
  });
});

describe("ramp", () => {
  it("traefik: traffic comes back linearly, from one percent on", ({ expect }) => {
    const breaker = ramping();
    expect([1000, 1050, 2000, 6000, 11_000].map((now) => rampShare(breaker, now))).toEqual([
      0.01, 0.01, 0.1, 0.5, 1,
    ]);
  });

  it("closes when the ramp is over, with an empty window", ({ expect }) => {
    const breaker = ramping({ minimumCalls: 4 });
    calls(breaker, 20, Outcome.ok, 10_500);
    calls(breaker, 4, Outcome.failRemote, 10_500);
    expect(phaseAt(breaker, 10_999)).toBe("ramp");
    expect(admitCall(breaker, 11_000, LEASE_MS)).not.toBe(NOT_ADMITTED);
    expect(breaker.state.phase).toBe("closed");
    expect(failureRate(breaker, 11_000)).toBe(-1);
  });

  it("traefik: a quarter of at least ten calls failing opens again", ({ expect }) => {
    const breaker = ramping();
    calls(breaker, 7, Outcome.ok, 2000);
    calls(breaker, 2, Outcome.failRemote, 2000);
    expect(breaker.state.phase).toBe("ramp");
    calls(breaker, 1, Outcome.failRemote, 2000);
    expect(breaker.lastTransition).toMatchObject({ from: "ramp", to: "open", reason: "ramp-failed" });
  });

  it("consecutive failures open again before there are ten calls", ({ expect }) => {
    const breaker = ramping();
    calls(breaker, 5, Outcome.failRemote, 2000);
    expect(breaker.state.phase).toBe("open");
  });

  it("without a ramp it closes on the last good probe", ({ expect }) => {
    expect(ramping({ rampUpMs: 0 }).state.phase).toBe("closed");
  });
});
