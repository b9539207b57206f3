// How many jobs go out after a circuit was open: none, a few, more and more, and never many more than are
// admitted.

import { describe, expect, it } from "vitest";
import { createBook } from "../../../src/delivery/core/book.ts";
import {
  FIRST_JOBS,
  MAX_JOBS,
  OFFER,
  STEP_MS,
  notePace,
  roomToPublish,
} from "../../../src/delivery/core/pace.ts";
import type { DeliveryOutcome } from "../../../src/delivery/core/protocol.ts";

const OK: DeliveryOutcome = { kind: "succeeded", result: { status: 200, headers: [], body: null } };
const SHED: DeliveryOutcome = { kind: "deferred", forMs: 1_000, reason: "shed" };
const FAILED: DeliveryOutcome = {
  kind: "failed",
  status: 500,
  error: null,
  retryAfterMs: null,
  result: null,
};
const T0 = 1_000_000;

type Second = Partial<Record<"ok" | "shed" | "failed", number>>;

/** A queue whose circuit was open until just now; `step` is a second in which that came of its jobs. */
function paused(): { readonly step: (second: Second) => number } {
  const book = createBook({ kind: "queue", queue: "q", shard: 0 }, T0);
  let now = T0;
  notePace(book, { kind: "deferred", forMs: STEP_MS, reason: "circuit_open" }, now);
  expect(roomToPublish(book, now)).toBe(0);
  now += STEP_MS;
  expect(roomToPublish(book, now)).toBe(FIRST_JOBS);
  const step = ({ ok = 0, shed = 0, failed = 0 }: Second): number => {
    for (let job = 0; job < ok; job++) notePace(book, OK, now);
    for (let job = 0; job < shed; job++) notePace(book, SHED, now);
    for (let job = 0; job < failed; job++) notePace(book, FAILED, now);
    now += STEP_MS;
    return roomToPublish(book, now);
  };
  return { step };
}

describe("after a pause", () => {
  it("twice as many go out each second while things go well, until there is no limit", () => {
    const { step } = paused();
    let size = FIRST_JOBS;
    while (2 * size <= MAX_JOBS) expect(step({ ok: size })).toBe((size *= 2));
    expect(step({ ok: size })).toBe(Number.POSITIVE_INFINITY);
  });

  it("no more go out while nothing goes well", () => {
    const { step } = paused();
    expect(step({})).toBe(FIRST_JOBS);
    expect(step({ failed: FIRST_JOBS })).toBe(FIRST_JOBS);
  });

  it("a ramp is offered so many times what it admits, failed tries too, and always a few", () => {
    const { step } = paused();
    expect(step({ ok: 2, shed: 4 })).toBe(OFFER * 2);
    expect(step({ ok: 2, failed: 1, shed: 5 })).toBe(OFFER * 3);
    expect(step({ ok: 10, shed: 2 })).toBe(2 * OFFER * 3);
    expect(step({ shed: 24 })).toBe(FIRST_JOBS);
  });

  it("there is a limit as long as some are put off", () => {
    const { step } = paused();
    let size = FIRST_JOBS;
    for (let second = 0; second < 12; second++) size = step({ ok: size - 1, shed: 1 });
    expect(size).toBe(MAX_JOBS);
    expect(step({ ok: MAX_JOBS })).toBe(Number.POSITIVE_INFINITY);
  });
});
