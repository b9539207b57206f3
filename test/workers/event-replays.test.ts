// Events that a subscription has had are handed to it once more: which ones, at which rate, and what a death
// or a full outbox changes.

import { evictDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { SubscriptionRoute } from "../../src/delivery/core/event-protocol.ts";
import { event, eventIds, events, outboxOf, publish, subscription } from "./events-rig.ts";
import { stopClock } from "./outbox-rig.ts";

const SOON = { timeout: 5_000, interval: 10 };

const clocks: { restore(): void }[] = [];
afterEach(() => clocks.splice(0).forEach((clock) => clock.restore()));

/** Publishes these and pulls them empty: all was delivered. */
async function delivered(ids: readonly string[], changes: Partial<SubscriptionRoute> = {}) {
  const to = subscription(changes);
  await deliver(to, ids);
  return to;
}

async function deliver(to: SubscriptionRoute, ids: readonly string[]): Promise<void> {
  await publish(
    ids.map((id) => event(`${to.name}-${id}`)),
    [to],
  );
  await vi.waitFor(async () => expect((await outboxOf(to).describe()).depth).toBe(ids.length), SOON);
  expect(await take(to)).toEqual(ids);
}

/** Pulls and acknowledges what is there: the ids without the subscription's name. */
async function take(to: SubscriptionRoute): Promise<string[]> {
  const { depth } = await outboxOf(to).describe();
  if (depth === 0) return [];
  const reply = await outboxOf(to).pull({ max: 100, leaseMs: 30_000 });
  const jobs = reply.kind === "pulled" ? reply.jobs : [];
  const outcome = { kind: "succeeded" as const, result: { status: 200, headers: [], body: null } };
  await outboxOf(to).settle({
    settlements: jobs.map(({ id, fence }) => ({ id, fence, outcome, tookMs: 0 })),
  });
  return jobs.map(({ target }) =>
    target.kind === "event" ? target.event.id.slice(to.name.length + 1) : "a request",
  );
}

async function takeAll(to: SubscriptionRoute, count: number): Promise<string[]> {
  const taken: string[] = [];
  await vi.waitFor(async () => {
    taken.push(...(await take(to)));
    expect(taken.length).toBeGreaterThanOrEqual(count);
  }, SOON);
  return taken;
}

describe("a replay of events", () => {
  it("by id hands them on once more, in their order, and names the ones that nobody knows", async () => {
    const to = await delivered(["a", "b", "c"]);
    const ids = ["c", "a", "nobody"].map((id) => `${to.name}-${id}`);
    const reply = await events().replayEvents(to.name, { ids });
    expect(reply).toEqual({ kind: "replayed", ids: ids.slice(0, 2), unknown: ids.slice(2) });
    expect(await takeAll(to, 2)).toEqual(["a", "c"]);
    // And once more: each replay is one of its own.
    await events().replayEvents(to.name, { ids });
    expect(await takeAll(to, 2)).toEqual(["a", "c"]);
    expect(await take(to)).toEqual([]);
  });

  it("by time takes those of that time and of that subscription alone", async () => {
    const before = Date.now();
    const to = await delivered(["a", "b"]);
    const other = subscription({ events: ["track.*"] });
    await publish([event("elsewhere", { type: "track.seen" })], [other]);
    const until = Date.now() + 60_000;
    expect(await events().replayEvents(to.name, { since: before, until, rate: 1_000 })).toEqual({
      kind: "replaying",
      matching: 2,
    });
    expect(await takeAll(to, 2)).toEqual(["a", "b"]);
    const past = { since: 0, until: before - 60_000, rate: 1_000 };
    expect(await events().replayEvents(to.name, past)).toEqual({ kind: "replaying", matching: 0 });
    expect(await events().replayEvents("nobody", past)).toEqual({ kind: "no-events" });
    expect(await events().replayEvents(to.name, { ids: [] as string[] })).toMatchObject({ kind: "replayed" });
    const backwards = { since: 2, until: 1, rate: 1 };
    expect(await events().replayEvents(to.name, backwards)).toEqual({ kind: "malformed", field: "until" });
  });

  it("goes no faster than its rate", async () => {
    const to = await delivered(["a", "b", "c", "d"]);
    const clock = stopClock();
    clocks.push(clock);
    await events().replayEvents(to.name, { since: 0, until: Date.now(), rate: 2 });
    await events().wake();
    expect(await takeAll(to, 1)).toEqual(["a"]);
    await events().wake();
    expect(await take(to)).toEqual([]);
    clock.advance(1_000);
    await events().wake();
    expect(await takeAll(to, 2)).toEqual(["b", "c"]);
    expect((await events().describe()).pending?.[to.name]).toMatchObject({ replayed: 3 });
    clock.advance(1_000);
    await events().wake();
    expect(await takeAll(to, 1)).toEqual(["d"]);
    clock.advance(1_000);
    await events().wake();
    expect((await events().describe()).pending?.[to.name]).toMatchObject({ replayed: null });
  });

  it("goes on after a death, and hands nothing on twice", async () => {
    const ids = Array.from({ length: 30 }, (_, index) => String(index));
    const to = await delivered(ids);
    await events().replayEvents(to.name, { since: 0, until: Date.now() + 60_000, rate: 1_000 });
    await evictDurableObject(events());
    await vi.waitFor(async () => {
      await events().wake();
      expect((await events().describe()).pending?.[to.name]).toMatchObject({ replayed: null });
    }, SOON);
    const all = await eventIds(outboxOf(to));
    // Delivered rows hold no event any more; what was replayed does.
    expect(all.filter((id) => id !== null)).toEqual(ids.map((id) => `${to.name}-${id}`));
  });

  it("waits while the subscription is over its watermark", { timeout: 20_000 }, async () => {
    const { terms } = subscription();
    const to = await delivered(["a", "b"], { terms: { ...terms, highWatermark: 3, resumeAt: 0.4 } });
    await deliver(to, ["c", "d"]);
    await events().replayEvents(to.name, { since: 0, until: Date.now() + 60_000, rate: 1_000 });
    await vi.waitFor(async () => expect((await outboxOf(to).describe()).depth).toBe(3), SOON);
    expect(await take(to)).toEqual(["a", "b", "c"]);
    expect(await takeAll(to, 1)).toEqual(["d"]);
  });
});
