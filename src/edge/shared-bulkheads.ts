// Bulkheads that an isolate shares with the others of its region: a tenant's over all upstreams, a route's.
// Each has what is configured until the hub has said how much of it is this isolate's.

import type { BulkheadAnswer, BulkheadAsk } from "../hub/load-protocol.ts";
import { MAX_BULKHEAD_CHARS } from "../hub/load-protocol.ts";
import type { Bulkhead } from "../resilience/bulkhead.ts";
import { resizeBulkhead } from "../resilience/bulkhead.ts";
import type { Permits } from "../resilience/permits.ts";
import type { Engine } from "./engine.ts";

export interface SharedBulkhead {
  readonly name: string;
  readonly max: number;
  readonly permits: Permits;
  /** null: there is no line in front. */
  readonly bulkhead: Bulkhead | null;
}

type Bounded = Pick<Engine, "plan" | "tenantPermits" | "routeBulkheads">;

/**
 * All of an engine's, under the names that the whole region knows them by; a name may be too long for that.
 */
export function sharedBulkheads({ plan, tenantPermits, routeBulkheads }: Bounded): SharedBulkhead[] {
  const tenants = plan.tenants.flatMap(({ name, index }) => {
    const permits = tenantPermits[index];
    return permits === null ? [] : [{ name: `tenant:${name}`, max: permits.limit, permits, bulkhead: null }];
  });
  const routes = plan.routes.flatMap(({ name, index }) => {
    const bulkhead = routeBulkheads[index];
    if (bulkhead === null) return [];
    const { permits } = bulkhead;
    return [{ name: `route:${name}`, max: permits.limit, permits, bulkhead }];
  });
  return [...tenants, ...routes].filter(({ name }) => name.length <= MAX_BULKHEAD_CHARS);
}

/** Those that anything is in, or that are narrower than configured. */
export function askForBulkheads(shared: readonly SharedBulkhead[]): BulkheadAsk[] {
  return shared.flatMap(({ name, max, permits, bulkhead }) => {
    const waiting = bulkhead?.line.length ?? 0;
    const isIdle = permits.inUse + waiting === 0 && permits.limit >= max;
    return isIdle ? [] : [{ name, max, inUse: permits.inUse, waiting }];
  });
}

/** Takes the hub's word in: how much of each is this isolate's. */
export function followBulkheads(
  shared: ReadonlyMap<string, SharedBulkhead>,
  answers: readonly BulkheadAnswer[],
  now: number,
): void {
  for (const { name, limit } of answers) {
    const known = shared.get(name);
    if (known !== undefined) resize(known, Math.min(limit, known.max), now);
  }
}

/** Without a hub each isolate has what is configured. */
export function widenBulkheads(shared: readonly SharedBulkhead[], now: number): void {
  for (const each of shared) resize(each, each.max, now);
}

/** New room goes to those who stand in line. */
function resize({ permits, bulkhead }: SharedBulkhead, limit: number, now: number): void {
  if (bulkhead === null) permits.limit = limit;
  else resizeBulkhead(bulkhead, limit, now);
}
