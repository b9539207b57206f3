// One try: ask the breaker, take a permit (waiting for it if need be), choose a target, fetch. Whatever
// was taken ends at the response headers; the body streams on without holding anything.

import { parseRetryAfterMs } from "../http/retry-after.ts";
import type { SampleFate } from "../resilience/concurrency-limit.ts";
import { SampleFate as Fate } from "../resilience/concurrency-limit.ts";
import type { Breaker } from "../resilience/breaker.ts";
import { NOT_ADMITTED } from "../resilience/breaker.ts";
import { tryTimeoutMs } from "../resilience/deadline.ts";
import { Outcome } from "../resilience/outcome.ts";
import { NO_PERMIT, returnPermit, takePermit } from "../resilience/permits.ts";
import { SYNC_MS } from "../region/replica.ts";
import { wantsProbe } from "../resilience/regional-breaker.ts";
import { NO_TARGET, chooseTarget } from "../resilience/target-choice.ts";
import { leaveBulkhead } from "../resilience/bulkhead.ts";
import type { UpstreamControl } from "../resilience/upstream-control.ts";
import {
  LEASE_SLACK_MS,
  admitTry,
  cancelTry,
  finishTry,
  noteOverload,
  refreshTargets,
  takeUpstreamPermit,
} from "../resilience/upstream-control.ts";
import type { Exchange } from "./exchange.ts";
import { newSpanId } from "./identity.ts";
import { isUpgrade } from "./outbound-request.ts";
import { TIMED_OUT } from "./timeout.ts";
import { waited } from "./trace.ts";
import type { Attempt } from "./tries.ts";
import { Verdict, problemOf } from "./verdict.ts";
import { waitForPermit } from "./waiting.ts";

/** Of no generation: the breaker takes no result of a call that an operator has let through. */
const FORCED_TOKEN = -2;

/** Runs one try. `admit` means that `x.response` holds an answer, good or bad. */
export async function runTry(x: Exchange, attempt: Attempt): Promise<Verdict> {
  const { control, plan } = attempt.upstream;
  const askedAt = Date.now();
  const forced = attempt.upstream.forced?.breaker ?? null;
  if (forced === "open") return refuseByOperator(x, attempt, askedAt);
  refreshTargets(control, askedAt);
  if (control.targets.totalWeight <= 0) return refuseWithoutTarget(x, attempt);
  let token = forced === "closed" ? FORCED_TOKEN : admitTry(control, askedAt);
  if (token === NOT_ADMITTED && mayProbe(control, askedAt)) token = await askForProbe(x, control);
  x.engine.telemetry.breakerSeen(plan, control.breaker);
  if (token === NOT_ADMITTED) return refuseByBreaker(x, attempt, askedAt);
  x.explanation?.note("breaker", forced === null ? "ok" : "forced", breakerNumbers(control.breaker));
  let permit = takeUpstreamPermit(control, x.trafficClass, askedAt);
  if (permit === NO_PERMIT) {
    permit = await waited(x, waitForPermit(control.bulkhead, x.trafficClass, x.deadlineAt, askedAt));
  }
  if (permit === NO_PERMIT) return refuseWithoutPermit(x, attempt, token);
  const { permits } = control.bulkhead;
  const startedAt = Date.now();
  x.explanation?.note("permit", "ok", {
    inflight: permits.inUse,
    limit: permits.limit,
    waitedMs: startedAt - askedAt,
  });
  if (startedAt >= x.deadlineAt) {
    cancelTry(control, token, startedAt);
    leaveBulkhead(control.bulkhead, permit, startedAt);
    return Verdict.deadlineExceeded;
  }
  const inflight = permits.inUse;
  const result = await fetchTarget(x, attempt, startedAt, startedAt - askedAt).catch((bug: unknown) => {
    cancelTry(control, token, Date.now());
    leaveBulkhead(control.bulkhead, permit, Date.now());
    throw bug;
  });
  const now = Date.now();
  // A clock that is set back must not make a sum fall: a hub refuses reports of less than nothing.
  const latencyMs = Math.max(0, now - startedAt);
  endTry(x, result, now);
  const retryAfterAt = result.response === null ? 0 : retryAfterOf(result.response, now);
  attempt.isCrowdedOut = finishTry(
    control,
    token,
    permit,
    {
      target: attempt.lastTarget,
      outcome: result.outcome,
      fate: result.fate,
      latencyMs,
      startedAt,
      inflight,
      retryAfterAt,
    },
    now,
    x.engine.random,
  );
  x.response = result.response;
  x.engine.telemetry.tried(x.request.method, plan.index, result.outcome, latencyMs);
  x.engine.telemetry.breakerSeen(plan, control.breaker);
  x.engine.telemetry.targetsSeen(plan, control.ejections);
  return result.verdict;
}

/**
 * A call that the breaker refuses, though its open time is over, may be the probe: where the hub has not been
 * heard for a while it is asked before the refusal, not behind it.
 */
function mayProbe({ breaker }: UpstreamControl, now: number): boolean {
  return breaker !== null && wantsProbe(breaker, SYNC_MS, now);
}

/** The breaker's token once the hub has been asked, and a moment has passed for it to answer. */
async function askForProbe(x: Exchange, control: UpstreamControl): Promise<number> {
  const { hub } = x.engine;
  if (hub === null) return NOT_ADMITTED;
  const heard = new Promise<boolean>((resolve) => {
    if (!hub.link.hear(() => resolve(true))) resolve(false);
  });
  hub.keepBegun(x.shell);
  return (await waited(x, heard)) ? admitTry(control, Date.now()) : NOT_ADMITTED;
}

function endTry(x: Exchange, { verdict, response }: Fetched, now: number): void {
  x.trace?.end(now, response?.status ?? null, verdict === Verdict.admit ? null : problemOf(verdict));
}

interface Fetched {
  readonly verdict: Verdict;
  readonly outcome: Outcome;
  readonly fate: SampleFate | null;
  readonly response: Response | null;
}

const IGNORED = { outcome: Outcome.ignored, fate: null, response: null } as const;

async function fetchTarget(
  x: Exchange,
  attempt: Attempt,
  startedAt: number,
  waitedMs: number,
): Promise<Fetched> {
  const { control, targets, plan } = attempt.upstream;
  const index = chooseTarget(control.targets, x.engine.random, attempt.lastTarget);
  // All of them were drained while it waited for its permit.
  if (index === NO_TARGET) return { verdict: refuseWithoutTarget(x, attempt), ...IGNORED };
  attempt.lastTarget = index;
  const remainingMs = x.deadlineAt - startedAt;
  const timeoutMs = tryTimeoutMs(plan.timeoutMs, remainingMs);
  const { path, body } = attempt;
  x.trace?.begin({
    spanId: newSpanId(x.engine.random),
    startMs: startedAt,
    baseUrl: targets[index].baseUrl,
    path,
    target: index,
    phase: control.breaker?.state.phase ?? "none",
    waitedMs,
  });
  const answer = attempt.send(x, { target: targets[index], path, body, remainingMs, timeoutMs });
  const inflight = control.targets.inflight[index];
  const slot = takePermit(inflight, startedAt, timeoutMs + LEASE_SLACK_MS);
  x.sent = true;
  try {
    const response = await answer;
    if (response === TIMED_OUT) return await judgeTimeout(x, attempt, timeoutMs);
    return judgeAnswer(x, response, index, Date.now() - startedAt);
  } catch (error) {
    return await judgeFailure(x, attempt, error);
  } finally {
    returnPermit(inflight, slot);
  }
}

/** 5xx is the upstream's failure; Cloudflare's own 520 to 530 are ours; anything below 500 is an answer. */
function judgeAnswer(x: Exchange, response: Response, target: number, latencyMs: number): Fetched {
  const { status } = response;
  // A switch of protocols that nobody asked for is no answer either.
  const isValid = status === 101 ? isUpgrade(x) : status >= 200 && status <= 599;
  x.explanation?.note("try", isValid ? "answered" : "upstream_invalid", { status, target, ms: latencyMs });
  if (!isValid) {
    return { verdict: Verdict.upstreamInvalid, outcome: Outcome.failRemote, fate: null, response: null };
  }
  if (status < 500) {
    const fate = status === 429 ? Fate.throttled : Fate.served;
    return { verdict: Verdict.admit, outcome: Outcome.ok, fate, response };
  }
  const outcome = status >= 520 && status <= 530 ? Outcome.failLocal : Outcome.failRemote;
  return { verdict: Verdict.admit, outcome, fate: status === 503 ? Fate.refused : null, response };
}

// What a client does with its own body must not speak against the upstream, or anybody could open a breaker
// for everybody else. A large body whose arrival nobody followed is no evidence either way.

async function judgeFailure(x: Exchange, attempt: Attempt, error: unknown): Promise<Fetched> {
  if (attempt.body.tooLarge()) return { verdict: Verdict.bodyTooLarge, ...IGNORED };
  const arrival = await attempt.body.arrival();
  if (arrival === "broken") {
    x.explanation?.note("try", "bad_request", { target: attempt.lastTarget });
    return { verdict: Verdict.badRequest, ...IGNORED };
  }
  x.explanation?.note("try", "upstream_unreachable", { target: attempt.lastTarget });
  x.failure = error instanceof Error ? error.message : String(error);
  if (arrival === "unknown") return { verdict: Verdict.upstreamUnreachable, ...IGNORED };
  return { verdict: Verdict.upstreamUnreachable, outcome: Outcome.failLocal, fate: null, response: null };
}

async function judgeTimeout(x: Exchange, attempt: Attempt, timeoutMs: number): Promise<Fetched> {
  const cutByDeadline = timeoutMs < attempt.upstream.plan.timeoutMs;
  const verdict = cutByDeadline ? Verdict.deadlineExceeded : Verdict.upstreamTimeout;
  x.explanation?.note("try", problemOf(verdict), {
    target: attempt.lastTarget,
    timeoutMs: Math.round(timeoutMs),
  });
  // A client that gives little time must not be able to speak against the upstream either.
  if (cutByDeadline && x.deadlineShortened) return { verdict, ...IGNORED };
  if ((await attempt.body.arrival()) !== "whole") return { verdict, ...IGNORED };
  return { verdict, outcome: Outcome.failLocal, fate: Fate.timedOut, response: null };
}

function refuseByBreaker(x: Exchange, attempt: Attempt, now: number): Verdict {
  const { breaker } = attempt.upstream.control;
  const state = breaker?.state;
  x.retryAfterMs = state?.phase === "open" ? state.openUntil - now : 0;
  const openForMs = Math.max(0, Math.ceil(x.retryAfterMs));
  x.explanation?.note("breaker", "circuit_open", { ...breakerNumbers(breaker), openForMs });
  return Verdict.circuitOpen;
}

function refuseByOperator(x: Exchange, attempt: Attempt, now: number): Verdict {
  const until = attempt.upstream.forced?.until ?? now;
  x.retryAfterMs = Math.max(0, until - now);
  x.explanation?.note("breaker", "circuit_open", { phase: "forced", openForMs: Math.ceil(x.retryAfterMs) });
  return Verdict.circuitOpen;
}

/** The call that the breaker has admitted is not made. */
function refuseWithoutPermit(x: Exchange, { upstream: { control } }: Attempt, token: number): Verdict {
  const { permits, line } = control.bulkhead;
  cancelTry(control, token, Date.now());
  noteOverload(control);
  const numbers = { inflight: permits.inUse, limit: permits.limit, waiting: line.length };
  x.explanation?.note("permit", "concurrency_limit", numbers);
  return Verdict.upstreamConcurrency;
}

function refuseWithoutTarget(x: Exchange, attempt: Attempt): Verdict {
  x.explanation?.note("target", "no_target", { targets: attempt.upstream.plan.targets.length });
  return Verdict.noTarget;
}

function breakerNumbers(breaker: Breaker | null): Record<string, string | number> {
  return { phase: breaker?.state.phase ?? "none", generation: breaker?.state.generation ?? 0 };
}

function retryAfterOf(response: Response, now: number): number {
  if (response.status !== 503 && response.status !== 429) return 0;
  const value = response.headers.get("retry-after");
  const waitMs = value === null ? null : parseRetryAfterMs(value, now);
  return waitMs === null ? 0 : now + waitMs;
}
