// The tries of a request: breaker, permit, target, fetch, and again where that is worth it. The retry
// loop stands outside breaker and permit and holds no permit while it backs off.

import { parseRetryAfterMs } from "../http/retry-after.ts";
import { NO_TARGET } from "../resilience/target-choice.ts";
import { nextRandom } from "../resilience/random.ts";
import { backoffMs } from "../resilience/retry-budget.ts";
import { noteOriginal, scheduleRetry } from "../resilience/upstream-control.ts";
import type { Upstream } from "./engine.ts";
import type { Exchange } from "./exchange.ts";
import type { OutboundBody } from "./outbound-body.ts";
import { isUpgrade, upstreamPath } from "./outbound-request.ts";
import type { Carrier } from "./carrier.ts";
import { runTry } from "./try.ts";
import { Verdict } from "./verdict.ts";

const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]);
const NO_RETRY = -1;

/** What all tries of one request share, and what the last one has left for the next. */
export interface Attempt {
  readonly upstream: Upstream;
  readonly path: string;
  readonly body: OutboundBody;
  readonly send: Carrier["send"];
  /** The target of the try before, or NO_TARGET. */
  lastTarget: number;
  /** The last try was refused as one of too many, while others go well. */
  isCrowdedOut?: boolean;
}

/** Runs tries until one is final. On `admit`, `x.response` is the upstream's answer. */
export async function runTries(x: Exchange, upstream: Upstream): Promise<Verdict> {
  const attempts = attemptsOf(x, upstream);
  noteOriginal(upstream.control, x.startedAt);
  const attempt: Attempt = {
    upstream,
    path: upstreamPath(x),
    body: x.engine.carrier.bodyOf(x, {
      contentLength: x.inbound.contentLength,
      limitBytes: x.route?.bodyLimitBytes ?? 0,
      keep: attempts > 1,
    }),
    send: x.engine.carrier.send,
    lastTarget: NO_TARGET,
  };
  for (;;) {
    x.tries++;
    attempt.isCrowdedOut = false;
    const verdict = await runTry(x, attempt);
    const waitMs = x.tries < attempts ? retryDelay(x, verdict, attempt) : NO_RETRY;
    if (waitMs === NO_RETRY) {
      attempt.body.discard();
      return verdict;
    }
    x.explanation?.note("retry", "ok", { attempt: x.tries + 1, waitMs: Math.round(waitMs) });
    await x.response?.body?.cancel();
    x.response = null;
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}

/** How many tries a request may have: one, unless doing it twice does no harm. */
function attemptsOf(x: Exchange, upstream: Upstream): number {
  const { retry } = upstream.plan;
  const { method } = x.request;
  if (retry === null || isUpgrade(x)) return 1;
  return IDEMPOTENT.has(method) || x.inbound.idempotencyKey !== null ? retry.attempts : 1;
}

/** Ms to back off before the next try, or NO_RETRY. Counts against the budget when it gives a delay. */
function retryDelay(x: Exchange, verdict: Verdict, attempt: Attempt): number {
  const { retry } = attempt.upstream.plan;
  const { control } = attempt.upstream;
  if (retry === null || !isWorthRetrying(x, verdict) || !attempt.body.repeatable()) return NO_RETRY;
  const now = Date.now();
  const wishedMs = retryAfterOf(x.response, now);
  if (x.response?.status === 429 && wishedMs === null) return NO_RETRY;
  const jitteredMs = backoffMs(x.tries - 1, retry.delayMs, retry.maxDelayMs, nextRandom(x.engine.random));
  const waitMs = Math.max(jitteredMs, wishedMs ?? 0);
  if (now + waitMs + control.medianMs >= x.deadlineAt) return NO_RETRY;
  // The most important class is put back in line instead: it waits for a permit, before all others.
  const isPutBack = attempt.isCrowdedOut === true && x.trafficClass === 0;
  if (!scheduleRetry(control, now, isPutBack)) {
    x.explanation?.note("retry", "no_budget", { attempt: x.tries + 1 });
    return NO_RETRY;
  }
  x.engine.telemetry.retried(attempt.upstream.plan.index);
  return waitMs;
}

/** No connection, no answer in time, or an answer that says "not now". */
function isWorthRetrying(x: Exchange, verdict: Verdict): boolean {
  if (verdict === Verdict.upstreamUnreachable || verdict === Verdict.upstreamTimeout) return true;
  if (verdict !== Verdict.admit || x.response === null) return false;
  const { status } = x.response;
  return status === 429 || (status >= 502 && status <= 504) || (status >= 520 && status <= 530);
}

function retryAfterOf(response: Response | null, now: number): number | null {
  const value = response?.headers.get("retry-after") ?? null;
  return value === null ? null : parseRetryAfterMs(value, now);
}
