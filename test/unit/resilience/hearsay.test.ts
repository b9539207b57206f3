// What an isolate knows of a circuit that it has no traffic for.

import { DEFAULT_BREAKER } from "../../../src/resilience/breaker-state.ts";
import { describe, it } from "vitest";
import {
  NOT_ADMITTED,
  admitCall,
  createBreaker,
  phaseAt,
  recordResult,
} from "../../../src/resilience/breaker.ts";
import { hearOpen } from "../../../src/resilience/hearsay.ts";
import { Outcome } from "../../../src/resilience/outcome.ts";
import { followVerdict, takeNews } from "../../../src/resilience/regional-breaker.ts";

const OPEN = { generation: 7, phase: "open", openForMs: 4_000, rampedMs: 0, lease: 0, leaseMs: 0 } as const;
const LEASE_MS = 1_000;

describe("a circuit that is said to be open", () => {
  it("lets no call pass until its time is over, and then all of them", ({ expect }) => {
    const breaker = createBreaker(DEFAULT_BREAKER);
    hearOpen(breaker, OPEN, 0);
    expect(admitCall(breaker, 3_999, LEASE_MS)).toBe(NOT_ADMITTED);
    expect(phaseAt(breaker, 3_999)).toBe("open");
    expect(phaseAt(breaker, 4_000)).toBe("closed");
    const tokens = [0, 1, 2].map(() => admitCall(breaker, 60_000, LEASE_MS));
    expect(tokens).not.toContain(NOT_ADMITTED);
    expect(breaker.state.phase).toBe("closed");
  });

  it("leaves calls after it to count as those of an isolate that knows nothing", ({ expect }) => {
    const breaker = createBreaker(DEFAULT_BREAKER);
    hearOpen(breaker, OPEN, 0);
    recordResult(breaker, admitCall(breaker, 5_000, LEASE_MS), Outcome.failRemote, false, 5_000, 0);
    expect(takeNews(breaker, 5_001)).toMatchObject({ generation: 0, failRemote: 1 });
  });

  it("is replaced by what the hub says when it is asked", ({ expect }) => {
    const breaker = createBreaker(DEFAULT_BREAKER);
    hearOpen(breaker, OPEN, 0);
    followVerdict(breaker, { ...OPEN, phase: "half-open", generation: 8, openForMs: 0 }, 3_000);
    expect(admitCall(breaker, 10_000, LEASE_MS)).toBe(NOT_ADMITTED);
    followVerdict(breaker, { ...OPEN, phase: "closed", generation: 10, openForMs: 0 }, 11_000);
    expect(admitCall(breaker, 11_000, LEASE_MS)).not.toBe(NOT_ADMITTED);
  });
});
