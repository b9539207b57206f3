// The stages that take something of an upstream: a place below the cursor, permits. Each can be given back,
// and is when a later stage refuses. All decide at once; only a full route bulkhead may make one wait.

import { enterBulkhead, leaveBulkhead } from "../resilience/bulkhead.ts";
import { positionWithinLevel } from "../resilience/level.ts";
import { NO_PERMIT, returnPermit, takePermit } from "../resilience/permits.ts";
import { returnTenantShare, takeTenantShare } from "../resilience/tenant-share.ts";
import { regionPermitsOf } from "../resilience/upstream-loops.ts";
import { LEASE_SLACK_MS, admitLevel, noteArrival, settleRequest } from "../resilience/upstream-control.ts";
import type { Exchange } from "./exchange.ts";
import { isOperatorsRefusal } from "./overrides.ts";
import { Verdict } from "./verdict.ts";
import { waitForPermit } from "./waiting.ts";

/** Counts the arrival and asks the upstream's cursor. */
export function passCursor(x: Exchange): Verdict {
  const { upstream } = x;
  // What is stored for later does not burden the upstream now; its queue has bounds of its own.
  if (x.queue !== null || x.saga !== null || x.event !== null) return Verdict.admit;
  if (upstream === null) return Verdict.internalError;
  const { control } = upstream;
  noteArrival(control, x.level, x.startedAt);
  x.unsettled = true;
  const pinned = upstream.forced?.cursor ?? null;
  const position = x.level === control.shed.cursor ? positionWithinLevel(x.requestId) : 0;
  const passes = pinned === null ? admitLevel(control, x.level, position) : x.level < pinned;
  x.explanation?.note("shed", passes ? "ok" : "shed", {
    level: x.level,
    cursor: pinned ?? control.shed.cursor,
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
    const { control } = upstream;
    const { share: wanted } = engine.plan.tenants[tenant];
    const most = wanted * regionPermitsOf(control, x.startedAt);
    const part = wanted * control.bulkhead.permits.limit;
    x.sharePermit = takeTenantShare(share, part, most, x.startedAt, ttlMs);
    x.explanation?.note("share", x.sharePermit === NO_PERMIT ? "concurrency_limit" : "ok", {
      inflight: share.permits.inUse,
      limit: share.permits.limit,
    });
    if (x.sharePermit === NO_PERMIT) return Verdict.tenantConcurrency;
  }
  return Verdict.admit;
}

/** The route's bulkhead. A promise only when the request has to stand in line. */
export function takeRoutePermit(x: Exchange): Verdict | Promise<Verdict> {
  const bulkhead = x.route === null ? null : x.engine.routeBulkheads[x.route.index];
  if (bulkhead === null) return Verdict.admit;
  x.routePermit = enterBulkhead(bulkhead, x.startedAt, x.trafficClass);
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
    if (share !== null) returnTenantShare(share, x.sharePermit, now);
    if (own !== null) returnPermit(own, x.tenantPermit);
  }
  x.routePermit = NO_PERMIT;
  x.sharePermit = NO_PERMIT;
  x.tenantPermit = NO_PERMIT;
}

/**
 * Tells the upstream's loop what became of the request that it has counted as an arrival. A caller's own
 * bounds say nothing about it, nor does what an operator forces.
 */
export function settleArrival(x: Exchange, verdict: Verdict): void {
  if (!x.unsettled || x.upstream === null) return;
  x.unsettled = false;
  if (verdict === Verdict.tenantConcurrency || verdict === Verdict.routeConcurrency) return;
  if (verdict === Verdict.rateLimited || verdict === Verdict.quotaExceeded) return;
  if (verdict === Verdict.bodyTooLarge || verdict === Verdict.badRequest) return;
  if (isOperatorsRefusal(x.upstream, verdict)) return;
  const status = x.response?.status ?? 0;
  settleRequest(x.upstream.control, verdict === Verdict.admit && status < 500 && status !== 429);
}
