// The route's limits. What can be decided from this isolate's own state is decided before anything else of
// the upstream is touched; a lease that must be waited for, and the ledger of an exact limit, come after the
// permits, so that nothing remote is asked for a request that is refused anyway.
//
// What a limit gave is given back when the request is refused and nothing has been sent. A shadow limit
// counts and refuses nothing, and never makes a request wait.

import type { LimitPlan } from "../config/plan.ts";
import type { LimitTerms } from "../hub/protocol.ts";
import { joinItems, rateLimitItem } from "../http/rate-limit-fields.ts";
import { returnRate, takeRate } from "../resilience/rate-limit.ts";
import type { LimitView } from "../region/limit-view.ts";
import { remainingUnits, takeAlone } from "../region/limit-view.ts";
import { resetMs, retryMs } from "../region/limit-waits.ts";
import type { WorkerHub } from "../region/worker-hub.ts";
import { takeLedgerUnits } from "./exact-limits.ts";
import type { Exchange } from "./exchange.ts";
import { keyOf } from "./limit-keys.ts";
import type { LimitTake } from "./limit-takes.ts";
import { UNAVAILABLE_RETRY_MS, noteLimit, refuseByLimit } from "./limit-takes.ts";
import { Verdict } from "./verdict.ts";

/** Takes the route's limits in order, as far as they are decided here; the first that refuses ends it. */
export function takeLimits(x: Exchange): Verdict {
  const { engine, route } = x;
  if (route === null || route.limits.length === 0) return Verdict.admit;
  const takes: LimitTake[] = [];
  x.limitTakes = takes;
  for (const index of route.limits) {
    const plan = engine.plan.limits[index];
    const take: LimitTake = {
      index,
      key: keyOf(x, plan.key),
      view: null,
      waiting: false,
      rowId: null,
      remaining: 0,
      resetMs: 0,
    };
    const verdict =
      plan.consistency === "local" || engine.hub === null
        ? takeLocal(x, plan, take, takes)
        : plan.consistency === "exact"
          ? deferLedger(take, takes)
          : takeShared(x, plan, engine.hub, take, takes);
    if (verdict !== Verdict.admit) return verdict;
  }
  return Verdict.admit;
}

/** Asks for what could not be decided here. A promise only where something has to be asked. */
export function awaitLimits(x: Exchange): Verdict | Promise<Verdict> {
  const { limitTakes, engine } = x;
  if (limitTakes === null) return Verdict.admit;
  const { hub } = engine;
  if (hub === null || !limitTakes.some(({ waiting }) => waiting)) {
    describeLimits(x, limitTakes);
    return Verdict.admit;
  }
  return askInOrder(x, hub, limitTakes);
}

/** Gives back what limits have taken: a request that is refused uses none up. */
export function returnLimits(x: Exchange): void {
  const { limitTakes, engine } = x;
  if (limitTakes !== null) for (const take of limitTakes) if (!take.waiting) returnTake(x, take);
  x.limitTakes = null;
  engine.hub?.keepBegun(x.shell);
  if (x.limitRefused < 0) x.rateLimit = null;
}

/** A limit that this isolate counts alone: because it is configured so, or because there is no hub at all. */
function takeLocal(x: Exchange, plan: LimitPlan, take: LimitTake, takes: LimitTake[]): Verdict {
  const limit = x.engine.limits[plan.index];
  const isDenied = plan.consistency !== "local" && plan.onUnavailable === "deny";
  const waitMs = isDenied ? UNAVAILABLE_RETRY_MS : takeRate(limit, take.key, x.startedAt);
  noteLimit(x, plan, waitMs === 0, limit.remaining, waitMs);
  if (waitMs > 0) return plan.shadow ? Verdict.admit : refuseByLimit(x, plan, waitMs);
  take.remaining = limit.remaining;
  take.resetMs = limit.resetMs;
  takes.push(take);
  return Verdict.admit;
}

function deferLedger(take: LimitTake, takes: LimitTake[]): Verdict {
  takes.push({ ...take, waiting: true });
  return Verdict.admit;
}

function takeShared(
  x: Exchange,
  plan: LimitPlan,
  hub: WorkerHub,
  unbound: LimitTake,
  takes: LimitTake[],
): Verdict {
  const view = hub.link.view(termsOf(plan, unbound.key));
  if (view === null) {
    const passes = plan.shadow || plan.onUnavailable === "allow";
    noteLimit(x, plan, passes, 0, UNAVAILABLE_RETRY_MS);
    return passes ? Verdict.admit : refuseByLimit(x, plan, UNAVAILABLE_RETRY_MS);
  }
  const take = { ...unbound, view };
  const outcome = hub.link.take(view, plan.cost, plan.onUnavailable);
  if (outcome === "ask" && !plan.shadow) {
    takes.push({ ...take, waiting: true });
    return Verdict.admit;
  }
  const passes = outcome === "taken" || (outcome === "ask" && takeAlone(view, plan.cost, x.startedAt));
  // What was taken just now is told along, or the hub would lease it once more.
  hub.link.prefetch(view);
  hub.keepBegun(x.shell);
  return concludeShared(x, plan, view, passes, () => takes.push(take));
}

/** Notes what a shared limit said; `keep` is called when the request holds units of it. */
function concludeShared(
  x: Exchange,
  plan: LimitPlan,
  view: LimitView,
  passes: boolean,
  keep: () => void,
): Verdict {
  const waitMs = passes ? 0 : retryMs(view, plan.cost, x.startedAt);
  noteLimit(x, plan, passes, passes ? remainingUnits(view, x.startedAt) : 0, waitMs);
  if (passes) keep();
  return passes || plan.shadow ? Verdict.admit : refuseByLimit(x, plan, waitMs);
}

async function askInOrder(x: Exchange, hub: WorkerHub, takes: readonly LimitTake[]): Promise<Verdict> {
  for (const take of takes) {
    if (!take.waiting) continue;
    const plan = x.engine.plan.limits[take.index];
    const verdict =
      take.view === null
        ? await takeLedgerUnits(x, plan, hub, take)
        : await waitForLease(x, plan, hub, take, take.view);
    if (verdict !== Verdict.admit) return verdict;
  }
  describeLimits(x, takes);
  return Verdict.admit;
}

function waitForLease(
  x: Exchange,
  plan: LimitPlan,
  hub: WorkerHub,
  take: LimitTake,
  view: LimitView,
): Promise<Verdict> {
  return new Promise((resolve) => {
    hub.link.wait(view, plan.cost, plan.onUnavailable, (passes) => {
      resolve(concludeShared(x, plan, view, passes, () => (take.waiting = false)));
    });
    hub.keepBegun(x.shell);
  });
}

function returnTake(x: Exchange, { index, key, view, rowId }: LimitTake): void {
  const { engine } = x;
  const plan = engine.plan.limits[index];
  if (view !== null) engine.hub?.link.giveBack(view, plan.cost, x.startedAt);
  else if (rowId !== null) engine.hub?.giveBack(plan.name, key, rowId);
  else if (plan.consistency === "local" || engine.hub === null) returnRate(engine.limits[index], key);
}

function termsOf(plan: LimitPlan, key: string): LimitTerms {
  const consistency =
    plan.consistency === "regional" || plan.consistency === "capped" ? plan.consistency : "global";
  return { limit: plan.name, key, consistency, units: plan.windowLimit, windowMs: Math.ceil(plan.windowMs) };
}

function describeLimits(x: Exchange, takes: readonly LimitTake[]): void {
  const { engine } = x;
  const items: string[] = [];
  const policies: string[] = [];
  for (const take of takes) {
    const { index, view } = take;
    if (engine.plan.limits[index].shadow) continue;
    const { quotedName, policyItem } = engine.limitLabels[index];
    const left = view === null ? take.remaining : remainingUnits(view, x.startedAt);
    const inMs = view === null ? take.resetMs : resetMs(view, x.startedAt);
    items.push(rateLimitItem(quotedName, left, inMs / 1000));
    policies.push(policyItem);
  }
  if (items.length === 0) return;
  x.rateLimit = joinItems(items);
  x.rateLimitPolicy = joinItems(policies);
}
