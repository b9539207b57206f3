import { describe, it } from "vitest";
import {
  ANSWER_RESERVE_MS,
  MAXIMUM_ESTIMATED_SHARE,
  MINIMUM_LATENCIES,
  createDeadlineGuard,
  deadlineAt,
  isHopeless,
  tryTimeoutMs,
} from "../../../src/resilience/deadline.ts";
import { fc, test } from "./property.ts";

describe("deadlines", () => {
  test("a client's wish can only bring the end nearer", () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), fc.option(fc.nat()), (now, routeMs, wishedMs) => {
        const end = deadlineAt(now, routeMs, wishedMs);
        return end <= now + routeMs && (wishedMs === null || end <= now + wishedMs);
      }),
    );
  });

  it("what has passed is hopeless, however little is known", ({ expect }) => {
    const guard = createDeadlineGuard();
    expect([0, -1].map((remainingMs) => isHopeless(guard, remainingMs, 0, 0, 1000))).toEqual([true, true]);
  });

  it("no estimate refuses before enough latencies are known", ({ expect }) => {
    const guard = createDeadlineGuard();
    for (let index = 0; index < 10; index++) isHopeless(guard, 1000, 100, MINIMUM_LATENCIES, 0);
    expect(isHopeless(guard, 10, 100, MINIMUM_LATENCIES - 1, 0)).toBe(false);
    expect(isHopeless(guard, 10, 100, MINIMUM_LATENCIES, 0)).toBe(true);
    expect(isHopeless(guard, 100, 100, MINIMUM_LATENCIES, 0)).toBe(false);
  });

  it("finagle: the estimate refuses at most a fifth of the requests of ten seconds", ({ expect }) => {
    const guard = createDeadlineGuard();
    const answers = Array.from({ length: 1000 }, (_, index) => isHopeless(guard, 1, 100, 1000, index * 9));
    expect(answers.filter(Boolean).length).toBe(1000 * MAXIMUM_ESTIMATED_SHARE);
  });

  it("starts counting anew after ten seconds", ({ expect }) => {
    const guard = createDeadlineGuard();
    for (let index = 0; index < 100; index++) isHopeless(guard, 1, 100, 1000, 0);
    isHopeless(guard, 1, 100, 1000, 10_000);
    expect(guard).toMatchObject({ seen: 1, refused: 0 });
  });

  test("a try ends with its own timeout or before the request does, and always takes some time", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 60_000 }),
        fc.integer({ min: -10, max: 60_000 }),
        (timeoutMs, remainingMs) => {
          const ms = tryTimeoutMs(timeoutMs, remainingMs);
          return ms >= 1 && ms <= timeoutMs && (ms === 1 || ms <= remainingMs - ANSWER_RESERVE_MS);
        },
      ),
    );
  });
});
