import { DEFAULT_BREAKER } from "../../../src/resilience/breaker-state.ts";
import { describe, it } from "vitest";
import type { Breaker } from "../../../src/resilience/breaker.ts";
import {
  NOT_ADMITTED,
  admitCall,
  createBreaker,
  noteRetryAfter,
  phaseAt,
  recordResult,
} from "../../../src/resilience/breaker.ts";
import { HELD_SHARE, rampShare } from "../../../src/resilience/breaker-ramp.ts";
import { Outcome } from "../../../src/resilience/outcome.ts";
import type { BreakerVerdict } from "../../../src/resilience/regional-breaker.ts";
import {
  EMERGENCY_MS,
  VERDICT_MS,
  expectRegion,
  followVerdict,
  hasUrgentNews,
  isRegionInCharge,
  takeNews,
  wantsLease,
} from "../../../src/resilience/regional-breaker.ts";

const LEASE_MS = 11_000;

function verdict(generation: number, phase: BreakerVerdict["phase"], more: Partial<BreakerVerdict> = {}) {
  return { generation, phase, openForMs: 0, rampedMs: 0, lease: 0, leaseMs: 0, ...more };
}

function call(breaker: Breaker, outcome: Outcome, now: number, times = 1): void {
  for (let index = 0; index < times; index++) {
    recordResult(breaker, admitCall(breaker, now, LEASE_MS), outcome, false, now, 1);
  }
}

/** A breaker under its region's verdict, at 0. */
function following(first: BreakerVerdict = verdict(1, "closed")): Breaker {
  const breaker = createBreaker(DEFAULT_BREAKER);
  expectRegion(breaker);
  followVerdict(breaker, first, 0);
  return breaker;
}

function isAdmitted(breaker: Breaker, now: number): boolean {
  return admitCall(breaker, now, LEASE_MS) !== NOT_ADMITTED;
}

function needsLease({ regional }: Breaker, now: number): boolean {
  return regional !== null && wantsLease(regional, now);
}

function isUrgent({ regional }: Breaker): boolean {
  return regional !== null && hasUrgentNews(regional);
}

describe("an opening on the isolate's own evidence", () => {
  it("is one move, also when the region confirms it with another open time", ({ expect }) => {
    const breaker = following();
    call(breaker, Outcome.failRemote, 10, 5);
    const own = breaker.lastTransition;
    expect(own).toMatchObject({ from: "closed", to: "open", reason: "consecutive" });
    followVerdict(breaker, verdict(2, "open", { openForMs: 700 }), 20);
    expect(breaker.lastTransition).toBe(own);
    expect(breaker.state).toMatchObject({ phase: "open", openUntil: 720 });
  });
});

describe("a promised probe", () => {
  const opened = verdict(2, "open", { openForMs: 1_000, lease: 1, leaseMs: 3_000 });

  it("outlasts the news that the region is half-open", ({ expect }) => {
    const breaker = following();
    followVerdict(breaker, opened, 100);
    followVerdict(breaker, verdict(3, "half-open"), 1_200);
    expect([isAdmitted(breaker, 1_300), isAdmitted(breaker, 1_300)]).toEqual([true, false]);
    expect(breaker.regional?.started).toBe(1);
  });

  it.for([
    ["its time is over", verdict(3, "half-open"), 3_200],
    ["the region has opened anew since", verdict(5, "half-open"), 1_200],
    ["a newer lease comes", verdict(3, "half-open", { lease: 4, leaseMs: 0 }), 1_200],
  ] as const)("is none when %s", ([, next, at], { expect }) => {
    const breaker = following();
    followVerdict(breaker, opened, 100);
    followVerdict(breaker, next, at);
    expect(isAdmitted(breaker, at)).toBe(false);
  });
});

describe("what is reported", () => {
  it("is what was seen since the last report, once", ({ expect }) => {
    const breaker = following();
    call(breaker, Outcome.ok, 10, 3);
    call(breaker, Outcome.failRemote, 10, 2);
    call(breaker, Outcome.failLocal, 10);
    call(breaker, Outcome.ignored, 10);
    recordResult(breaker, admitCall(breaker, 10, LEASE_MS), Outcome.ok, true, 10, 1);
    const news = { generation: 1, ok: 4, failRemote: 2, failLocal: 1, slow: 1, consecutive: false };
    expect(takeNews(breaker, 20)).toMatchObject(news);
    expect(takeNews(breaker, 20)).toBeNull();
  });

  it("includes what was seen before the first verdict", ({ expect }) => {
    const breaker = createBreaker(DEFAULT_BREAKER);
    expect(takeNews(breaker, 0)).toBeNull();
    expectRegion(breaker);
    call(breaker, Outcome.failRemote, 0);
    expect(takeNews(breaker, 10)).toMatchObject({ generation: 0, failRemote: 1 });
    call(breaker, Outcome.failRemote, 15);
    followVerdict(breaker, verdict(4, "closed"), 20);
    expect(takeNews(breaker, 30)).toMatchObject({ generation: 4, failRemote: 1 });
  });

  it("is nothing that belongs to an earlier generation", ({ expect }) => {
    const breaker = following();
    const token = admitCall(breaker, 0, LEASE_MS);
    call(breaker, Outcome.failRemote, 0);
    followVerdict(breaker, verdict(2, "open", { openForMs: 1_000 }), 10);
    recordResult(breaker, token, Outcome.failRemote, false, 20, 1);
    expect(takeNews(breaker, 30)).toBeNull();
  });

  it("is nothing that nobody took for a whole window", ({ expect }) => {
    const breaker = following();
    call(breaker, Outcome.failRemote, 0);
    call(breaker, Outcome.ok, 9_999);
    expect(takeNews(breaker, 10_000)).toBeNull();
    call(breaker, Outcome.failRemote, 11_000);
    call(breaker, Outcome.ok, 21_000);
    expect(takeNews(breaker, 21_000)).toMatchObject({ ok: 1, failRemote: 0 });
  });

  it("says for how long the upstream asked to be left alone", ({ expect }) => {
    const breaker = following();
    noteRetryAfter(breaker, 5_000);
    noteRetryAfter(breaker, 3_000);
    call(breaker, Outcome.failRemote, 1_000);
    expect(takeNews(breaker, 1_000)).toMatchObject({ retryAfterMs: 4_000 });
    expect(takeNews(breaker, 1_000)).toBeNull();
  });
});

describe("while the region decides", () => {
  it("opens on a rate that it sees by itself for a short time, and says so at once", ({ expect }) => {
    const breaker = following();
    for (let index = 0; index < 50; index++) {
      call(breaker, Outcome.failRemote, index, 4);
      call(breaker, Outcome.ok, index);
    }
    expect(phaseAt(breaker, 50)).toBe("open");
    expect(breaker.regional === null ? false : hasUrgentNews(breaker.regional)).toBe(true);
    expect(phaseAt(breaker, 50 + EMERGENCY_MS)).not.toBe("open");
  });

  it("opens at once on consecutive failures, for a short time that the region may end or extend", ({
    expect,
  }) => {
    const breaker = following();
    call(breaker, Outcome.failRemote, 0, 5);
    expect(isAdmitted(breaker, 1)).toBe(false);
    expect(isUrgent(breaker)).toBe(true);
    expect(takeNews(breaker, 5)).toMatchObject({ failRemote: 5, consecutive: true });
    expect(isUrgent(breaker)).toBe(false);
    followVerdict(breaker, verdict(1, "closed"), 10);
    expect(isAdmitted(breaker, 999)).toBe(false);
    expect(isAdmitted(breaker, EMERGENCY_MS)).toBe(true);
    call(breaker, Outcome.failRemote, 3_000, 5);
    followVerdict(breaker, verdict(2, "open", { openForMs: 8_000 }), 3_010);
    expect(isAdmitted(breaker, 3_000 + EMERGENCY_MS)).toBe(false);
    expect(phaseAt(breaker, 11_009)).toBe("open");
  });

  it("does not report consecutive failures that are long past", ({ expect }) => {
    const breaker = following();
    call(breaker, Outcome.failRemote, 0, 5);
    expect(takeNews(breaker, EMERGENCY_MS)).toMatchObject({ failRemote: 5, consecutive: false });
  });

  it("goes on with the region's ramp after an opening of its own", ({ expect }) => {
    const breaker = following(verdict(5, "ramp", { rampedMs: 1_000 }));
    expect(rampShare(breaker, 0)).toBeCloseTo(0.1);
    call(breaker, Outcome.failRemote, 0, 5);
    expect(isAdmitted(breaker, 100)).toBe(false);
    expect(isAdmitted(breaker, EMERGENCY_MS)).toBe(true);
    expect(rampShare(breaker, EMERGENCY_MS)).toBeCloseTo(0.3);
  });

  it("ramps at the region's pace, from where the region is", ({ expect }) => {
    const breaker = following(verdict(5, "ramp", { rampedMs: 1_000 }));
    followVerdict(breaker, verdict(5, "ramp", { rampedMs: 2_000, pace: 5 }), 1_000);
    expect(rampShare(breaker, 1_000)).toBeCloseTo(0.2);
    expect(rampShare(breaker, 2_000)).toBeCloseTo(0.7);
    followVerdict(breaker, verdict(5, "ramp", { rampedMs: 5_000 }), 2_000);
    expect(rampShare(breaker, 3_000)).toBeCloseTo(0.6);
  });

  it("goes on trying while the region holds the ramp, whatever fails", ({ expect }) => {
    const breaker = following(verdict(5, "ramp", { pace: 0 }));
    call(breaker, Outcome.failRemote, 0, 50);
    expect(isAdmitted(breaker, 30_000)).toBe(true);
    expect(breaker.state.phase).toBe("ramp");
    expect(rampShare(breaker, 30_000)).toBe(HELD_SHARE);
  });

  it("refuses when its open time is over, until the region says what comes next", ({ expect }) => {
    const breaker = following(verdict(2, "open", { openForMs: 1_000 }));
    expect(isAdmitted(breaker, 5_000)).toBe(false);
    followVerdict(breaker, verdict(2, "open", { openForMs: 3_000 }), 5_000);
    expect(breaker.state).toMatchObject({ phase: "open", openUntil: 8_000 });
    followVerdict(breaker, verdict(3, "half-open"), 8_000);
    expect(isAdmitted(breaker, 8_000)).toBe(false);
  });

  it("probes once per lease, says so at once, and leaves the verdict to the region", ({ expect }) => {
    const breaker = following(verdict(3, "half-open", { lease: 9, leaseMs: 100 }));
    expect(needsLease(breaker, 0)).toBe(false);
    const token = admitCall(breaker, 50, LEASE_MS);
    expect(token).not.toBe(NOT_ADMITTED);
    expect(isAdmitted(breaker, 50)).toBe(false);
    expect(isUrgent(breaker)).toBe(true);
    expect(takeNews(breaker, 50)).toMatchObject({ generation: 3, started: 9, probes: [] });
    expect(isUrgent(breaker)).toBe(false);
    recordResult(breaker, token, Outcome.failRemote, false, 60, 1);
    expect(isUrgent(breaker)).toBe(true);
    expect(takeNews(breaker, 60)).toMatchObject({ started: 0, probes: [{ lease: 9, good: false }] });
    expect(phaseAt(breaker, 60)).toBe("half-open");
  });

  it("gives a lease back when the call was not made", ({ expect }) => {
    const breaker = following(verdict(3, "half-open", { lease: 9, leaseMs: 100 }));
    call(breaker, Outcome.ignored, 0);
    expect(takeNews(breaker, 0)).toMatchObject({ probes: [{ lease: 9, good: null }] });
  });

  it("uses no lease that is over or of another generation", ({ expect }) => {
    const late = following(verdict(3, "half-open", { lease: 9, leaseMs: 100 }));
    expect(needsLease(late, 100)).toBe(true);
    expect(isAdmitted(late, 100)).toBe(false);
    const other = following(verdict(3, "half-open", { lease: 9, leaseMs: 1_000 }));
    followVerdict(other, verdict(4, "open", { openForMs: 1 }), 10);
    followVerdict(other, verdict(5, "half-open"), 20);
    expect(isAdmitted(other, 30)).toBe(false);
  });

  it("is not moved back by an answer that comes late", ({ expect }) => {
    const breaker = following(verdict(5, "closed"));
    followVerdict(breaker, verdict(4, "open", { openForMs: 9_000 }), 10);
    expect(isAdmitted(breaker, 20)).toBe(true);
    expect(breaker.regional?.generation).toBe(5);
  });
});

describe("without the hub", () => {
  it("trusts a verdict however old it is, until it has asked for another in vain", ({ expect }) => {
    const breaker = following(verdict(2, "open", { openForMs: 1_000 }));
    expect(isRegionInCharge(breaker, 1e6)).toBe(true);
    expect(isAdmitted(breaker, 1e6)).toBe(false);
    takeNews(breaker, 1e6);
    takeNews(breaker, 1e6 + 3_000);
    expect(isRegionInCharge(breaker, 1e6 + VERDICT_MS - 1)).toBe(true);
    expect(isRegionInCharge(breaker, 1e6 + VERDICT_MS)).toBe(false);
    expect(isAdmitted(breaker, 1e6 + VERDICT_MS)).toBe(true);
    expect(phaseAt(breaker, 1e6 + VERDICT_MS)).toBe("half-open");
  });

  it("opens on a rate and heals by itself", ({ expect }) => {
    const breaker = following();
    takeNews(breaker, 0);
    for (let index = 0; index < 10; index++) {
      call(breaker, Outcome.ok, 5_000);
      call(breaker, Outcome.failRemote, 5_000);
    }
    expect(breaker.lastTransition?.reason).toBe("failure-rate");
    call(breaker, Outcome.ok, 6_000, 3);
    expect(phaseAt(breaker, 6_000)).toBe("ramp");
    expect(phaseAt(breaker, 16_000)).toBe("closed");
  });

  it("follows when the hub is back, even when nothing has changed there", ({ expect }) => {
    const breaker = following();
    takeNews(breaker, 0);
    call(breaker, Outcome.failRemote, 4_000, 5);
    noteRetryAfter(breaker, 20_000);
    call(breaker, Outcome.failRemote, 5_000, 5);
    expect(phaseAt(breaker, 5_000)).toBe("open");
    followVerdict(breaker, verdict(2, "open", { openForMs: 500 }), 5_100);
    takeNews(breaker, 5_100);
    expect(isAdmitted(breaker, 9_200)).toBe(true);
    expect(phaseAt(breaker, 9_200)).toBe("half-open");
    followVerdict(breaker, verdict(2, "open", { openForMs: 7_000 }), 9_300);
    expect(phaseAt(breaker, 9_300)).toBe("open");
    expect(isRegionInCharge(breaker, 9_300)).toBe(true);
  });

  it("follows a hub that starts over, when the old verdict is no longer in force", ({ expect }) => {
    const breaker = following(verdict(9, "open", { openForMs: 60_000 }));
    takeNews(breaker, 0);
    followVerdict(breaker, verdict(1, "closed"), 100);
    expect(isAdmitted(breaker, 100)).toBe(false);
    followVerdict(breaker, verdict(1, "closed"), VERDICT_MS);
    expect(isAdmitted(breaker, VERDICT_MS)).toBe(true);
  });
});
