// The stages that take something: limits, a place below the cursor, permits. Each can be given back,
// and is when a later stage refuses. All decide at once; only a full route bulkhead may make one wait.

import type { LimitPlan } from "../config/plan.ts";
import { addressUser } from "../http/client-address.ts";
import { joinItems, rateLimitItem } from "../http/rate-limit-fields.ts";
import { retryAfterSeconds } from "../http/retry-after.ts";
import { enterBulkhead, leaveBulkhead } from "../resilience/bulkhead.ts";
import { positionWithinLevel } from "../resilience/level.ts";
import { NO_PERMIT, returnPermit, takePermit } from "../resilience/permits.ts";
import { returnRate, takeRate } from "../resilience/rate-limit.ts";
import { LEASE_SLACK_MS, admitLevel, noteArrival } from "../resilience/upstream-control.ts";
import { NOBODY } from "./api-keys.ts";
import type { Exchange } from "./exchange.ts";
import { Verdict } from "./verdict.ts";
import { waitForPermit } from "./waiting.ts";

/** Who shares a limit when neither consumer nor address is known. */
const UNKNOWN_CALLER = "unknown";

/** Header values that key a limit are told apart by this many characters. */
export const MAX_KEY_LENGTH = 128;

/** Takes the route's limits in order; the first that refuses ends it. A shadow limit only counts. */
export function takeLimits(x: Exchange): Verdict {
  const { engine, route } = x;
  if (route === null || route.limits.length === 0) return Verdict.admit;
  for (const index of route.limits) {
    const plan = engine.plan.limits[index];
    const limit = engine.limits[index];
    const waitMs = takeRate(limit, limitKey(x, plan), x.startedAt);
    x.explanation?.note("limit", waitMs === 0 ? "ok" : plan.shadow ? "shadow" : "rate_limited", {
      policy: plan.name,
      remaining: limit.remaining,
      waitMs: Math.ceil(waitMs),
    });
    if (waitMs > 0) engine.telemetry.limitRefused(index);
    if (!plan.shadow && waitMs > 0) {
      x.limitRefused = index;
      x.retryAfterMs = waitMs;
      const { quotedName, policyItem } = engine.limitLabels[index];
      x.rateLimit = rateLimitItem(quotedName, 0, retryAfterSeconds(waitMs));
      x.rateLimitPolicy = policyItem;
      return Verdict.rateLimited;
    }
    x.limitsTaken++;
  }
  describeLimits(x, route.limits);
  return Verdict.admit;
}

/** Counts the arrival and asks the upstream's cursor. */
export function passCursor(x: Exchange): Verdict {
  const { upstream } = x;
  if (upstream === null) return Verdict.internalError;
  const { control } = upstream;
  noteArrival(control, x.level, x.startedAt);
  x.unsettled = true;
  const position = x.level === control.shed.cursor ? positionWithinLevel(x.requestId) : 0;
  const passes = admitLevel(control, x.level, position);
  x.explanation?.note("shed", passes ? "ok" : "shed", {
    level: x.level,
    cursor: control.shed.cursor,
    fraction: control.shed.fraction.toFixed(3),
    cut: control.shed.cut.toFixed(3),
  });
  return passes ? Verdict.admit : Verdict.shed;
}

/** The tenant's own bounds: over all upstreams, then its share of this one. */
export function takeTenantPermits(x: Exchange): Verdict {
  const { engine, tenant, upstream } = x;
  if (tenant < 0 || upstream === null) return Verdict.admit;
  const ttlMs = x.deadlineAt - x.startedAt + LEASE_SLACK_MS;
  const own = engine.tenantPermits[tenant];
  if (own !== null) {
    x.tenantPermit = takePermit(own, x.startedAt, ttlMs);
    x.explanation?.note("tenant", x.tenantPermit === NO_PERMIT ? "concurrency_limit" : "ok", {
      inflight: own.inUse,
      limit: own.limit,
    });
    if (x.tenantPermit === NO_PERMIT) return Verdict.tenantConcurrency;
  }
  const share = upstream.tenantShares[tenant];
  if (share !== null) {
    share.limit = Math.max(
      1,
      Math.floor(engine.plan.tenants[tenant].share * upstream.control.bulkhead.permits.limit),
    );
    x.sharePermit = takePermit(share, x.startedAt, ttlMs);
    x.explanation?.note("share", x.sharePermit === NO_PERMIT ? "concurrency_limit" : "ok", {
      inflight: share.inUse,
      limit: share.limit,
    });
    if (x.sharePermit === NO_PERMIT) return Verdict.tenantConcurrency;
  }
  return Verdict.admit;
}

/** The route's bulkhead. A promise only when the request has to stand in line. */
export function takeRoutePermit(x: Exchange): Verdict | Promise<Verdict> {
  const bulkhead = x.route === null ? null : x.engine.routeBulkheads[x.route.index];
  if (bulkhead === null) return Verdict.admit;
  x.routePermit = enterBulkhead(bulkhead, x.startedAt);
  const { inUse, limit } = bulkhead.permits;
  if (x.routePermit !== NO_PERMIT) {
    x.explanation?.note("route", "ok", { inflight: inUse, limit });
    return Verdict.admit;
  }
  return waitForPermit(bulkhead, x.trafficClass, x.deadlineAt, x.startedAt).then((permit) => {
    x.routePermit = permit;
    x.explanation?.note("route", permit === NO_PERMIT ? "concurrency_limit" : "waited", {
      inflight: inUse,
      limit,
      waiting: bulkhead.line.length,
    });
    return permit === NO_PERMIT ? Verdict.routeConcurrency : Verdict.admit;
  });
}

/** Ends the tenant's and the route's permits: response headers are here, or the request was refused. */
export function returnPermits(x: Exchange, now: number): void {
  const { engine, tenant, upstream, route } = x;
  const bulkhead = route === null ? null : engine.routeBulkheads[route.index];
  if (bulkhead !== null && x.routePermit !== NO_PERMIT) leaveBulkhead(bulkhead, x.routePermit, now);
  if (tenant >= 0) {
    const share = upstream?.tenantShares[tenant] ?? null;
    const own = engine.tenantPermits[tenant];
    if (share !== null) returnPermit(share, x.sharePermit);
    if (own !== null) returnPermit(own, x.tenantPermit);
  }
  x.routePermit = NO_PERMIT;
  x.sharePermit = NO_PERMIT;
  x.tenantPermit = NO_PERMIT;
}

/** Gives back what limits have taken: a request that is denied uses none up. */
export function returnLimits(x: Exchange): void {
  const limits = x.route?.limits ?? [];
  for (let taken = 0; taken < x.limitsTaken; taken++) {
    const index = limits[taken];
    returnRate(x.engine.limits[index], limitKey(x, x.engine.plan.limits[index]));
  }
  x.limitsTaken = 0;
  if (x.limitRefused < 0) x.rateLimit = null;
}

/** Keys of one limit never meet: consumers count up from 0, tenants down from -1, the rest is text. */
function limitKey(x: Exchange, plan: LimitPlan): string | number {
  const { key } = plan;
  switch (key.kind) {
    case "route":
      return x.route?.index ?? 0;
    case "tenant":
      return x.tenant >= 0 ? -1 - x.tenant : callerKey(x);
    case "consumer":
      return callerKey(x);
    case "ip":
      return addressKey(x);
    case "header":
      return x.request.headers.get(key.header)?.slice(0, MAX_KEY_LENGTH) ?? addressKey(x);
  }
}

function callerKey(x: Exchange): string | number {
  return x.consumer === NOBODY ? addressKey(x) : x.consumer;
}

function addressKey(x: Exchange): string {
  return (x.inbound.clientAddress === null ? "" : addressUser(x.inbound.clientAddress)) || UNKNOWN_CALLER;
}

function describeLimits(x: Exchange, indices: readonly number[]): void {
  const { engine } = x;
  const items: string[] = [];
  const policies: string[] = [];
  for (const index of indices) {
    if (engine.plan.limits[index].shadow) continue;
    const { remaining, resetMs } = engine.limits[index];
    const { quotedName, policyItem } = engine.limitLabels[index];
    items.push(rateLimitItem(quotedName, remaining, resetMs / 1000));
    policies.push(policyItem);
  }
  if (items.length === 0) return;
  x.rateLimit = joinItems(items);
  x.rateLimitPolicy = joinItems(policies);
}
