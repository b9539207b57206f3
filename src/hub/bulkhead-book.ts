// Bulkheads that all isolates of a region share, of tenants and of routes: who holds how much of each at the
// moment, and what part of the configured number an isolate may hold.

import type { Hub } from "./hub.ts";
import type { BulkheadAnswer, BulkheadAsk } from "./load-protocol.ts";
import type { Demands } from "./load-shares.ts";
import { expireDemands, looseShareOf, noteDemand } from "./load-shares.ts";

/** Bulkheads that one hub divides, at most. */
export const MAX_BULKHEADS = 5_000;

/** Notes what an isolate holds and says how much it may; null: there are too many bulkheads to follow. */
export function answerBulkheadAsk(
  hub: Hub,
  session: string,
  ask: BulkheadAsk,
  now: number,
): BulkheadAnswer | null {
  let demands = hub.bulkheads.get(ask.name);
  if (demands === undefined) {
    if (hub.bulkheads.size >= MAX_BULKHEADS) expireBulkheads(hub, now);
    if (hub.bulkheads.size >= MAX_BULKHEADS) return null;
    demands = new Map();
    hub.bulkheads.set(ask.name, demands);
  }
  noteDemand(demands, session, { at: now, inflight: ask.inUse, waiting: ask.waiting, servedPerMs: 0 });
  expireDemands(demands, now);
  return { name: ask.name, limit: Math.ceil(looseShareOf(demands, session, ask.max)) };
}

/** Forgets bulkheads that nobody uses. */
export function expireBulkheads(hub: Hub, now: number): void {
  for (const [name, demands] of hub.bulkheads) {
    expireDemands(demands, now);
    if (demands.size === 0) hub.bulkheads.delete(name);
  }
}

export type BulkheadBooks = Map<string, Demands>;
