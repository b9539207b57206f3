// When a consumer asks for more time: while jobs of its claim are open, before its lease is over, and never
// for what it has been told is not its own any more.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { HeldLease, RENEW_AFTER_MS, leaseMsFor } from "../../../src/delivery/consumer-leases.ts";
import type { RenewReply, RenewRequest } from "../../../src/delivery/core/protocol.ts";
import { MAX_LEASE_MS } from "../../../src/delivery/core/protocol.ts";

const DELIVERY_MS = 15_000;
const LEASE_MS = leaseMsFor(DELIVERY_MS);

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(console, "error").mockImplementation(() => {});
});

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

function hold(ids: readonly string[], answer: (request: RenewRequest) => Promise<RenewReply>) {
  const asked: RenewRequest[] = [];
  const terms = { outbox: "queue.q.0", fence: 7, leaseMs: LEASE_MS, until: Date.now() + LEASE_MS };
  const lease = new HeldLease(terms, ids, (request) => {
    asked.push(request);
    return answer(request);
  });
  return { lease, asked };
}

function holdsAll({ ids }: RenewRequest): Promise<RenewReply> {
  return Promise.resolve({ kind: "answered", held: ids });
}

describe("a lease", () => {
  it("lasts for a delivery beyond its renewal, and no longer than the outbox allows", () => {
    expect(LEASE_MS - RENEW_AFTER_MS).toBeGreaterThan(DELIVERY_MS);
    expect(leaseMsFor(3_600_000)).toBe(MAX_LEASE_MS);
  });

  it("is renewed for the jobs that are open, and not once all are done", async () => {
    const { lease, asked } = hold(["a", "b"], holdsAll);
    await vi.advanceTimersByTimeAsync(RENEW_AFTER_MS - 1);
    expect(asked).toEqual([]);
    lease.done("a");
    await vi.advanceTimersByTimeAsync(1);
    expect(asked).toEqual([{ ids: ["b"], fence: 7, leaseMs: LEASE_MS }]);
    await vi.advanceTimersByTimeAsync(3 * RENEW_AFTER_MS);
    expect(asked).toHaveLength(4);
    lease.done("b");
    await vi.advanceTimersByTimeAsync(10 * RENEW_AFTER_MS);
    expect(asked).toHaveLength(4);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("covers a delivery as long as it is renewed, asking at once where its time is too short", async () => {
    const { lease, asked } = hold(["a"], holdsAll);
    expect(await lease.covers("a", DELIVERY_MS)).toBe(true);
    expect(asked).toEqual([]);
    expect(await lease.covers("a", LEASE_MS)).toBe(true);
    vi.setSystemTime(Date.now() + LEASE_MS);
    expect(await lease.covers("a", DELIVERY_MS)).toBe(true);
    expect(asked).toHaveLength(1);
    expect(await lease.covers("a", LEASE_MS + 1)).toBe(false);
  });

  it("covers nothing that is another's by now", async () => {
    const { lease } = hold(["a", "b"], () => Promise.resolve({ kind: "answered", held: ["b"] }));
    await vi.advanceTimersByTimeAsync(RENEW_AFTER_MS);
    expect(await lease.covers("a", 1)).toBe(false);
    expect(await lease.covers("b", DELIVERY_MS)).toBe(true);
  });

  it("is asked for again every second while the outbox does not answer, and ends by itself", async () => {
    const { lease, asked } = hold(["a"], () => Promise.reject(new Error("aborted")));
    await vi.advanceTimersByTimeAsync(RENEW_AFTER_MS + 3_000);
    expect(asked).toHaveLength(4);
    await vi.advanceTimersByTimeAsync(LEASE_MS);
    expect(await lease.covers("a", 1)).toBe(false);
  });

  it("of a claim that gave nothing starts no timer", () => {
    hold([], holdsAll);
    expect(vi.getTimerCount()).toBe(0);
  });
});
