// What a limit has given to a request, and how a limit's word is noted and answered: shared by those that
// this isolate decides and those that a ledger does.

import type { LimitPlan } from "../config/plan.ts";
import { rateLimitItem } from "../http/rate-limit-fields.ts";
import { retryAfterSeconds } from "../http/retry-after.ts";
import type { LimitView } from "../region/limit-view.ts";
import type { Exchange } from "./exchange.ts";
import { Verdict, problemOf } from "./verdict.ts";

/** Where waiting helps but nobody can be asked how long. */
export const UNAVAILABLE_RETRY_MS = 1_000;

/** What one limit has given to a request, and what the answer says of it. */
export interface LimitTake {
  readonly index: number;
  readonly key: string;
  readonly view: LimitView | null;
  /** Whether a hub or a ledger has to be asked before the request may pass. */
  waiting: boolean;
  /** Of the row in an exact limit's ledger. */
  rowId: string | null;
  remaining: number;
  resetMs: number;
}

/** The refusal of one limit, with the numbers that the answer names. */
export function refuseByLimit(x: Exchange, plan: LimitPlan, waitMs: number): Verdict {
  x.limitRefused = plan.index;
  x.retryAfterMs = waitMs;
  const { quotedName, policyItem } = x.engine.limitLabels[plan.index];
  x.rateLimit = rateLimitItem(quotedName, 0, retryAfterSeconds(waitMs));
  x.rateLimitPolicy = policyItem;
  return refusalOf(plan);
}

/** Tells telemetry and whoever asked for an explanation what one limit said. */
export function noteLimit(
  x: Exchange,
  plan: LimitPlan,
  passes: boolean,
  remaining: number,
  waitMs: number,
): void {
  const verdict = passes ? "ok" : plan.shadow ? "shadow" : problemOf(refusalOf(plan));
  x.explanation?.note("limit", verdict, { policy: plan.name, remaining, waitMs: Math.ceil(waitMs) });
  if (!passes) x.engine.telemetry.limitRefused(plan.index);
}

/** What is counted to the unit is a quota, all else a rate. */
function refusalOf({ consistency }: LimitPlan): Exclude<Verdict, 0> {
  return consistency === "capped" || consistency === "exact" ? Verdict.quotaExceeded : Verdict.rateLimited;
}
