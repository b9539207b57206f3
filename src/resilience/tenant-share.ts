// What one tenant may hold of an upstream's permits at this isolate: its share of them on average, and a
// little more for a moment, never more than its share of the region's. A share of an isolate's few permits is
// very few, and requests do not come evenly: of six a second that take 100 ms each, four are there at once
// every third minute.
//
//   at once    max(1, floor(share * limit))
//   or         m + (3 * sqrt(m) + 4) * (1 - m / (share * limit)), at most share * the region's limit
//              m: in flight on average of the last second
//
// So nobody is refused for scatter, and who asks for more all the time has its share. Without a mean of its
// own a tenant would be refused in calm times, too, and the more isolates there are, the more often.

import type { Permits } from "./permits.ts";
import { MAX_PERMITS, createPermits, returnPermit, takePermit } from "./permits.ts";

const MEAN_MS = 1_000;
const SCATTER = 3;
const LEAST_EXTRA = 4;

export interface TenantShare {
  readonly permits: Permits;
  /** In flight on average, and until when that is known. */
  mean: number;
  seenAt: number;
}

export function createTenantShare(): TenantShare {
  return { permits: createPermits(MAX_PERMITS), mean: 0, seenAt: Number.NEGATIVE_INFINITY };
}

/**
 * A permit's token, or NO_PERMIT. `part` and `most`: the tenant's share of the permits that the isolate
 * has, and of those that its region has, with fractions. Allocates nothing.
 */
export function takeTenantShare(
  share: TenantShare,
  part: number,
  most: number,
  now: number,
  ttlMs: number,
): number {
  noteMean(share, now);
  // An isolate that is alone has nothing beyond its own part to give.
  const bound = most > part ? Math.min(most, scatteredOf(share.mean, part)) : part;
  share.permits.limit = Math.max(1, Math.floor(Math.max(part, bound)));
  return takePermit(share.permits, now, ttlMs);
}

/** What a mean scatters to, the less the nearer it is to the tenant's part. */
function scatteredOf(mean: number, part: number): number {
  const room = 1 - mean / part;
  return room > 0 ? mean + room * (SCATTER * Math.sqrt(mean) + LEAST_EXTRA) : 0;
}

export function returnTenantShare(share: TenantShare, token: number, now: number): void {
  noteMean(share, now);
  returnPermit(share.permits, token);
}

function noteMean(share: TenantShare, now: number): void {
  const passedMs = now - share.seenAt;
  if (passedMs <= 0) return;
  share.seenAt = now;
  share.mean += Math.min(1, passedMs / MEAN_MS) * (share.permits.inUse - share.mean);
}
