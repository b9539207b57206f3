// The isolate's decisions as src/edge/admission.ts and src/edge/try.ts make them, call by call, without
// the request around them. Each subject is one operation; its number keeps the loop from being optimised
// away.
import { admitCall, createBreaker, recordResult, type BreakerOptions } from "../../src/resilience/breaker.ts";
import { createBulkhead, enterBulkhead, leaveBulkhead } from "../../src/resilience/bulkhead.ts";
import { SampleFate } from "../../src/resilience/concurrency-limit.ts";
import { createShedLoop, passesCursor } from "../../src/resilience/cursor.ts";
import { deadlineAt, isHopeless, tryTimeoutMs } from "../../src/resilience/deadline.ts";
import { levelOfUser, positionWithinLevel } from "../../src/resilience/level.ts";
import { Outcome } from "../../src/resilience/outcome.ts";
import { createPermits, returnPermit, takePermit } from "../../src/resilience/permits.ts";
import { createRandom } from "../../src/resilience/random.ts";
import { createRateLimit, takeRate } from "../../src/resilience/rate-limit.ts";
import { NO_TARGET, chooseTarget } from "../../src/resilience/target-choice.ts";
import { createTenantShare, returnTenantShare, takeTenantShare } from "../../src/resilience/tenant-share.ts";
import type { TryResult } from "../../src/resilience/upstream-control.ts";
import {
  LEASE_SLACK_MS,
  admitLevel,
  admitTry,
  createUpstreamControl,
  finishTry,
  noteArrival,
  noteOriginal,
  refreshTargets,
  settleRequest,
  takeUpstreamPermit,
} from "../../src/resilience/upstream-control.ts";
import { regionPermitsOf } from "../../src/resilience/upstream-loops.ts";

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

export interface Subject {
  readonly name: string;
  readonly run: () => number;
}

const BREAKER: BreakerOptions = {
  failureRate: 0.5,
  slowCallMs: 5000,
  slowCallRate: 0.8,
  minimumCalls: 20,
  windowMs: 10_000,
  consecutive: 5,
  openForMs: 1000,
  maxOpenForMs: 10_000,
  probes: 3,
  rampUpMs: 10_000,
};
const DEADLINE_MS = 30_000;
const TIMEOUT_MS = 10_000;
const MAX = 1000;
const TENANT_SHARE = 0.5;
const USERS = 256;
/** A busy isolate: this many decisions share a millisecond. */
const PER_MS = 4;
const FIRST_MS = 1_790_000_000_000;

/** Like Date.now(): whole ms, too large for a small integer, hence one new number on the heap per ms. */
class Clock {
  // Not a field of numbers alone, or the engine would make a new number at every reading.
  #ms: number | null = null;
  #ops = 0;

  next(): number {
    if (this.#ms === null || ++this.#ops % PER_MS === 0) this.#ms = (this.#ms ?? FIRST_MS) + 1;
    return this.#ms;
  }
}

const users = Array.from({ length: USERS }, (_, index) => `198.18.0.${index}`);

/** What the bench itself costs. */
export const CLOCK_ALONE = "the bench's clock";

export const SUBJECTS: readonly Subject[] = [
  { name: CLOCK_ALONE, run: clockAlone() },
  { name: "whole decision and its result", run: wholeDecision() },
  { name: "breaker: admit and record", run: breakerCall() },
  { name: "cursor", run: cursorDecision() },
  { name: "open breaker: refuse", run: openReject() },
];

function clockAlone(): () => number {
  const clock = new Clock();
  return () => clock.next();
}

/** Everything from the user's level to the returned permits of a request that is admitted and served. */
function wholeDecision(): () => number {
  const clock = new Clock();
  const random = createRandom(1);
  const control = createUpstreamControl({
    timeoutMs: TIMEOUT_MS,
    breaker: BREAKER,
    concurrency: { max: MAX, waiting: 64, maxWaitMs: 100, adaptive: true },
    retryBudget: 0.1,
    targetWeights: [1, 1],
  });
  const rateLimit = createRateLimit({ rate: 1e6, perMs: 1000, burst: 1e6, cost: 1 });
  const tenant = createPermits(MAX);
  const share = createTenantShare();
  const route = createBulkhead({
    max: MAX,
    waiting: 64,
    maxWaitMs: 100,
    permitTtlMs: DEADLINE_MS + LEASE_SLACK_MS,
  });
  // What a try came to is the shell's record of its fetch, not part of the decision.
  const result: Mutable<TryResult> = {
    target: 0,
    outcome: Outcome.ok,
    fate: SampleFate.served,
    latencyMs: 20,
    startedAt: FIRST_MS,
    inflight: 1,
    retryAfterAt: 0,
  };
  let request = 0;
  return () => {
    const now = clock.next();
    const user = request++ % USERS;
    const level = levelOfUser(1, users[user], now);
    const deadline = deadlineAt(now, DEADLINE_MS, null);
    const remainingMs = deadline - now;
    const hopeless = isHopeless(control.deadlines, remainingMs, control.medianMs, control.latencies, now);
    if (hopeless || takeRate(rateLimit, user, now) > 0) return 0;
    noteArrival(control, level, now);
    const position = level === control.shed.cursor ? positionWithinLevel(users[user]) : 0;
    if (!admitLevel(control, level, position)) return 1;
    const ttlMs = deadline - now + LEASE_SLACK_MS;
    const tenantPermit = takePermit(tenant, now, ttlMs);
    const most = TENANT_SHARE * regionPermitsOf(control, now);
    const part = TENANT_SHARE * control.bulkhead.permits.limit;
    const sharePermit = takeTenantShare(share, part, most, now, ttlMs);
    const routePermit = enterBulkhead(route, now, 1);
    noteOriginal(control, now);
    refreshTargets(control, now);
    if (control.targets.totalWeight <= 0) return 2;
    const token = admitTry(control, now);
    const permit = takeUpstreamPermit(control, 1, now);
    const inflight = control.bulkhead.permits.inUse;
    const target = chooseTarget(control.targets, random, NO_TARGET);
    const timeoutMs = tryTimeoutMs(TIMEOUT_MS, deadline - now);
    const slot = takePermit(control.targets.inflight[target], now, timeoutMs + LEASE_SLACK_MS);
    returnPermit(control.targets.inflight[target], slot);
    result.target = target;
    result.startedAt = now;
    result.inflight = inflight;
    finishTry(control, token, permit, result, now, random);
    leaveBulkhead(route, routePermit, now);
    returnTenantShare(share, sharePermit, now);
    returnPermit(tenant, tenantPermit);
    settleRequest(control, true);
    return permit;
  };
}

function breakerCall(): () => number {
  const clock = new Clock();
  const breaker = createBreaker(BREAKER);
  return () => {
    const now = clock.next();
    const token = admitCall(breaker, now, TIMEOUT_MS);
    recordResult(breaker, token, Outcome.ok, false, now, 0.5);
    return token;
  };
}

function cursorDecision(): () => number {
  const loop = createShedLoop();
  loop.cursor = 300;
  loop.fraction = 0.5;
  let level = 0;
  return () => {
    level = (level + 7) & 511;
    return passesCursor(loop, level, 0.25) ? 1 : 0;
  };
}

function openReject(): () => number {
  const clock = new Clock();
  const breaker = createBreaker({ ...BREAKER, openForMs: 1e9, maxOpenForMs: 1e9 });
  for (let call = 0; call < BREAKER.consecutive; call++) {
    const now = clock.next();
    recordResult(breaker, admitCall(breaker, now, TIMEOUT_MS), Outcome.failRemote, false, now, 0.5);
  }
  return () => admitCall(breaker, clock.next(), TIMEOUT_MS);
}
