// What a webhook's sender decides: when it tries again, what an answer means, when an endpoint is left
// alone.

import { describe, expect, it } from "vitest";
import { countsAgainstReceiver, judgeStatus } from "../../../../src/delivery/webhooks/core/answers.ts";
import {
  ALERTS_AT,
  DISABLE_AFTER_MS,
  HEALTHY,
  enableEndpoint,
  recordTry,
  type EndpointHealth,
  type HealthNotice,
} from "../../../../src/delivery/webhooks/core/endpoint-health.ts";
import { isOwnHeader } from "../../../../src/delivery/webhooks/core/own-headers.ts";
import {
  MAX_RETRY_AFTER_MS,
  MAX_TRIES,
  MIN_OVERLOAD_WAIT_MS,
  RETRY_WAITS_MS,
  nextTryInMs,
  readRetryAfterMs,
} from "../../../../src/delivery/webhooks/core/retry-schedule.ts";
import { fc } from "../../resilience/property.ts";

const HOUR = 3_600_000;
const NOW = Date.UTC(2026, 10, 24);

function wait(attempt: number, random = 0.5, retryAfterMs: number | null = null, isOverload = false) {
  return nextTryInMs({ attempt, isOverload, retryAfterMs }, random);
}

describe("the schedule", () => {
  it("has ten tries over 75 hours", () => {
    const waits = Array.from({ length: MAX_TRIES }, (_, index) => wait(index + 1));
    expect(MAX_TRIES).toBe(10);
    expect(waits).toEqual([...RETRY_WAITS_MS, null]);
    const hours = RETRY_WAITS_MS.reduce((sum, each) => sum + each, 0) / HOUR;
    expect(hours).toBeGreaterThan(75.5);
    expect(hours).toBeLessThan(75.7);
  });

  it("is spread by a fifth either way", () => {
    expect([wait(3, 0), wait(3, 1)]).toEqual([24 * 60_000, 36 * 60_000]);
  });

  it("gives a receiver that is overloaded a minute, even with the least jitter", () => {
    expect(wait(1, 0, null, true)).toBe(MIN_OVERLOAD_WAIT_MS);
    expect(wait(2, 0.5, null, true)).toBe(5 * 60_000);
  });

  it("waits as long as it is asked to, up to a day, and never less than it would anyway", () => {
    expect(wait(1, 0.5, 120_000)).toBe(120_000);
    expect(wait(2, 0.5, 1_000)).toBe(5 * 60_000);
    expect(wait(1, 0.5, MAX_RETRY_AFTER_MS)).toBe(24 * HOUR);
    expect(wait(1, 0.5, 10 * MAX_RETRY_AFTER_MS)).toBe(24 * HOUR);
    expect(wait(MAX_TRIES, 0.5, 1_000)).toBeNull();
  });

  it("of no tries again ends at once", () => {
    expect(nextTryInMs({ attempt: 1, isOverload: false, retryAfterMs: null }, 0.5, [])).toBeNull();
  });

  it.for<[string | null, number | null]>([
    ["120", 120_000],
    ["120.1", 121_000],
    [" 7 ", 7_000],
    ["0", 0],
    ["Tue, 24 Nov 2026 00:02:00 GMT", 120_000],
    ["Tue, 24 Nov 2020 00:02:00 GMT", 0],
    ["invalid", null],
    ["-1", null],
    ["1e3", null],
    ["", null],
    [null, null],
  ])("reads Retry-After: %s as %s ms", ([value, expected]) => {
    expect(readRetryAfterMs(value, NOW)).toBe(expected);
  });
});

describe("an answer", () => {
  it.for<[number, string]>([
    [200, "delivered"],
    [204, "delivered"],
    [299, "delivered"],
    [199, "failed"],
    [301, "failed"],
    [302, "failed"],
    [304, "failed"],
    [307, "failed"],
    [400, "failed"],
    [401, "failed"],
    [404, "failed"],
    [410, "gone"],
    [429, "failed"],
    [500, "failed"],
    [503, "failed"],
  ])("of %i: %s", ([status, kind]) => {
    expect(judgeStatus(status).kind).toBe(kind);
  });

  it("of 429 means overload, and no answer counts unless bytes could have arrived", () => {
    expect(judgeStatus(429)).toEqual({ kind: "failed", isOverload: true });
    expect(judgeStatus(500)).toEqual({ kind: "failed", isOverload: false });
    expect([null, "timeout" as const, "unreachable" as const].map(countsAgainstReceiver)).not.toContain(
      false,
    );
    expect([countsAgainstReceiver("target-refused"), countsAgainstReceiver("secret-unusable")]).toEqual([
      false,
      false,
    ]);
  });
});

function fail(count: number, from: EndpointHealth = HEALTHY, stepMs = 1_000) {
  const notices: HealthNotice[] = [];
  let health = from;
  for (let index = 0; index < count; index++) {
    const change = recordTry(health, "failed", NOW + index * stepMs);
    health = change.health;
    notices.push(...change.notices);
  }
  return { health, notices };
}

describe("an endpoint", () => {
  it("is not disabled by a hundred failures in a minute, but people are told once at each step", () => {
    const { health, notices } = fail(200);
    expect(health).toMatchObject({ disabled: null, failuresInRow: 200 });
    expect(notices).toEqual(ALERTS_AT.map((failuresInRow) => ({ kind: "alert", failuresInRow })));
    expect(fail(ALERTS_AT[0] - 1).notices).toEqual([]);
    expect(fail(50, health).notices).toEqual([]);
  });

  it("starts over after a success, and alerts again then", () => {
    const half = fail(60).health;
    const { health, notices } = recordTry(half, "delivered", NOW);
    expect([health, notices]).toEqual([HEALTHY, []]);
    expect(fail(50, health).notices).toEqual([{ kind: "alert", failuresInRow: 50 }]);
  });

  it("is disabled at once by 410, and enabled by a success or by hand", () => {
    const { health, notices } = recordTry(HEALTHY, "gone", NOW);
    expect(health.disabled).toEqual({ reason: "gone", at: NOW });
    expect(notices).toEqual([{ kind: "disabled", reason: "gone" }]);
    for (const change of [recordTry(health, "delivered", NOW), enableEndpoint(health)]) {
      expect(change).toEqual({ health: HEALTHY, notices: [{ kind: "enabled" }] });
    }
    expect(enableEndpoint(HEALTHY).notices).toEqual([]);
  });

  it("is disabled by five days of nothing but failure, to the millisecond", () => {
    const first = recordTry(HEALTHY, "failed", NOW).health;
    const middle = recordTry(first, "failed", NOW + DISABLE_AFTER_MS / 2).health;
    const justBefore = recordTry(middle, "failed", NOW + DISABLE_AFTER_MS - 1);
    expect(justBefore.health.disabled).toBeNull();
    const after = recordTry(middle, "failed", NOW + DISABLE_AFTER_MS);
    expect(after.health.disabled).toMatchObject({ reason: "days-of-failure" });
  });

  it("is not disabled by failures that lie far apart", () => {
    const { health } = fail(20, HEALTHY, DISABLE_AFTER_MS);
    expect(health.disabled).toBeNull();
    expect(health.failuresInRow).toBe(20);
  });

  it("never alerts twice for the same step of a run", () => {
    const outcomes = fc.array(fc.constantFrom("failed" as const, "failed" as const, "delivered" as const), {
      maxLength: 400,
    });
    fc.assert(
      fc.property(outcomes, (run) => {
        let health = HEALTHY;
        let alerts: number[] = [];
        for (const [index, outcome] of run.entries()) {
          const change = recordTry(health, outcome, NOW + index);
          health = change.health;
          if (outcome === "delivered") alerts = [];
          for (const notice of change.notices) if (notice.kind === "alert") alerts.push(notice.failuresInRow);
          expect(alerts).toEqual(alerts.toSorted((a, b) => a - b));
          expect(new Set(alerts).size).toBe(alerts.length);
        }
      }),
    );
  });
});

describe("an endpoint's own headers", () => {
  it("go along unless delivery or the connection has them", () => {
    for (const name of ["Authorization", "x-tenant", "X-Api-Key"]) expect(isOwnHeader(name, "v")).toBe(true);
    const refused = [
      "Host",
      "content-length",
      "Connection",
      "Webhook-Id",
      "CE-Id",
      "cf-ray",
      "x-tidegate-class",
    ];
    for (const name of [...refused, "a b", "", "content-type", "cookie"]) {
      expect([name, isOwnHeader(name, "v")]).toEqual([name, false]);
    }
    for (const value of ["a\r\nb", "\u0000", "\u20ac", "x".repeat(5_000)]) {
      expect(isOwnHeader("x-a", value)).toBe(false);
    }
  });
});
