import { describe, it } from "vitest";
import { NO_PERMIT } from "../../../src/resilience/permits.ts";
import { createRandom, nextRandom } from "../../../src/resilience/random.ts";
import {
  createTenantShare,
  returnTenantShare,
  takeTenantShare,
} from "../../../src/resilience/tenant-share.ts";

const TTL_MS = 10_000;

interface Load {
  readonly perSecond: number;
  readonly serviceMs: number;
  readonly part: number;
  readonly seconds: number;
}

/** Poisson arrivals of one tenant: the part that is refused, and how many are in flight on average. */
function run({ perSecond, serviceMs, part, seconds }: Load): { refused: number; mean: number } {
  const random = createRandom(7);
  const share = createTenantShare();
  const ends: { at: number; token: number }[] = [];
  let arrived = 0;
  let refused = 0;
  let busyMs = 0;
  for (let now = 0; now < seconds * 1000; now += (-Math.log(1 - nextRandom(random)) * 1000) / perSecond) {
    for (let end = ends[0]; end !== undefined && end.at <= now; end = ends[0]) {
      returnTenantShare(share, end.token, end.at);
      ends.shift();
    }
    arrived++;
    const token = takeTenantShare(share, part, 10 * part, now, TTL_MS);
    if (token === NO_PERMIT) refused++;
    else {
      ends.push({ at: now + serviceMs, token });
      busyMs += serviceMs;
    }
  }
  return { refused: refused / arrived, mean: busyMs / (seconds * 1000) };
}

describe("a tenant's share of an isolate's permits", () => {
  it("refuses nobody for scatter: six a second of 100 ms with a share of two and a half", ({ expect }) => {
    const { refused } = run({ perSecond: 6, serviceMs: 100, part: 2.5, seconds: 20_000 });
    expect(refused).toBeLessThan(0.001);
  });

  it.for([2.5, 6.4])("holds who asks for twenty times as much to %f on average", (part, { expect }) => {
    const { mean, refused } = run({ perSecond: 120, serviceMs: 100, part, seconds: 200 });
    expect(mean).toBeLessThan(1.05 * part);
    expect(mean).toBeGreaterThan(0.7 * part);
    expect(refused).toBeGreaterThan(0.3);
  });

  it("lets one in however small it is, and never many at once", ({ expect }) => {
    const share = createTenantShare();
    const taken = Array.from({ length: 50 }, () => takeTenantShare(share, 0.01, 100, 1000, TTL_MS));
    expect(taken.filter((token) => token !== NO_PERMIT).length).toBeLessThanOrEqual(4);
    const full = createTenantShare();
    expect(takeTenantShare(full, 0.01, 100, 0, TTL_MS)).not.toBe(NO_PERMIT);
    expect(takeTenantShare(full, 0.01, 100, 5000, TTL_MS)).toBe(NO_PERMIT);
  });

  it("is never more than its share of the region: one of one permit", ({ expect }) => {
    const share = createTenantShare();
    expect(takeTenantShare(share, 1, 1, 0, TTL_MS)).not.toBe(NO_PERMIT);
    expect(takeTenantShare(share, 1, 1, 10, TTL_MS)).toBe(NO_PERMIT);
    const wider = createTenantShare();
    const taken = Array.from({ length: 9 }, () => takeTenantShare(wider, 1, 2.9, 0, TTL_MS));
    expect(taken.filter((token) => token !== NO_PERMIT)).toHaveLength(2);
  });

  it("takes back what is never returned", ({ expect }) => {
    const share = createTenantShare();
    for (let index = 0; index < 3; index++) takeTenantShare(share, 3, 3, index, 100);
    expect(takeTenantShare(share, 3, 3, 5000, 100)).not.toBe(NO_PERMIT);
    expect(share.permits.inUse).toBe(1);
  });
});
