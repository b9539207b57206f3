// Events and their subscriptions inside workerd: what every subscription gets, whatever breaks on the way.

import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Outbox } from "../../durable-objects/outbox.ts";
import type { SubscriptionRoute } from "../../src/delivery/core/event-protocol.ts";
import type { Settlement } from "../../src/delivery/core/protocol.ts";
import { event, eventIds, events, outboxOf, publish, subscription } from "./events-rig.ts";
import { bind, stopClock, written } from "./outbox-rig.ts";

const clocks: { restore(): void }[] = [];
afterEach(() => clocks.splice(0).forEach((clock) => clock.restore()));

const SOON = { timeout: 5_000, interval: 10 };

describe("a published event", () => {
  it("gets to every subscription whose patterns mean its type, and to no other", async () => {
    const [all, orders, other] = [
      subscription(),
      subscription({ events: ["order.*"] }),
      subscription({ events: ["track.*", "order.sent"] }),
    ];
    const sent = [event("a"), event("b", { type: "track.seen" }), event("c", { type: "order.sent" })];
    expect((await publish(sent, [all, orders, other])).map(({ kind }) => kind)).toEqual(
      Array(3).fill("accepted"),
    );
    await vi.waitFor(async () => expect(await eventIds(outboxOf(all))).toEqual(["a", "b", "c"]), SOON);
    await vi.waitFor(async () => expect(await eventIds(outboxOf(orders))).toEqual(["a", "c"]), SOON);
    await vi.waitFor(async () => expect(await eventIds(outboxOf(other))).toEqual(["b", "c"]), SOON);
    await vi.waitFor(async () => expect((await events().describe()).depth).toBe(0), SOON);
  });

  it("comes out as it went in", async () => {
    const all = subscription();
    const bytes = new Uint8Array([0, 255, 10]);
    const sent = [
      event("bytes", {
        data: { kind: "bytes", bytes },
        dataContentType: "image/png",
        subject: "x",
        extensions: { n: 7, b: true },
      }),
      event("none", { data: { kind: "none" }, dataContentType: null, time: "2026-11-24T10:00:00Z" }),
      event("json", { data: { kind: "json", text: '{"ä": 1.0}' } }),
    ];
    await publish(sent, [all]);
    await vi.waitFor(async () => expect((await outboxOf(all).describe()).depth).toBe(3), SOON);
    const reply = await outboxOf(all).pull({ max: 10, leaseMs: 30_000 });
    expect(reply.kind === "pulled" ? reply.jobs.map(({ target }) => target) : reply).toEqual(
      sent.map((each) => ({ kind: "event", event: each })),
    );
  });

  for (const failpoint of ["before_publish", "after_publish", "before_mark", "mid_batch"] as const) {
    it(`gets there once when the outbox of the events dies at ${failpoint}`, async () => {
      const [one, two] = [subscription(), subscription()];
      await publish([event("first")], [one, two]);
      await vi.waitFor(async () => expect(await eventIds(outboxOf(two))).toEqual(["first"]), SOON);
      await bind(events(), { TIDEGATE_LOCAL: "1" });
      expect(await events().failAt(failpoint)).toBe(true);
      const ids = Array.from({ length: 20 }, (_, index) => `e${index}`);
      const all = ids.map((id) => event(id));
      const accepted = await publish(all, [one, two]).catch(() => null);
      // Where it died while it stored them nothing was said, and nothing is there.
      expect(accepted === null).toBe(failpoint === "mid_batch");
      if (accepted === null) await publish(all, [one, two]);
      await vi.waitFor(async () => await events().wake(), SOON);
      for (const each of [one, two]) {
        await vi.waitFor(async () => expect(await eventIds(outboxOf(each))).toEqual(["first", ...ids]), SOON);
      }
      await vi.waitFor(async () => expect((await events().describe()).depth).toBe(0), SOON);
    });
  }

  it("waits for a subscription that is full, and delays no other", async () => {
    const full = subscription({ terms: { ...TERMS_OF_FULL } });
    const other = subscription();
    const clock = stopClock();
    clocks.push(clock);
    await publish(
      ["a", "b", "c", "d"].map((id) => event(id)),
      [full, other],
    );
    await vi.waitFor(async () => expect(await eventIds(outboxOf(other))).toEqual(["a", "b", "c", "d"]), SOON);
    await vi.waitFor(async () => expect(await eventIds(outboxOf(full))).toEqual(["a", "b"]), SOON);
    const waiting = (await events().describe()).pending?.[full.name];
    expect(waiting).toMatchObject({
      count: 2,
      oldestAgeMs: expect.any(Number),
      reason: expect.stringContaining("watermark"),
    });
    await evictDurableObject(events());
    const pulled = await outboxOf(full).pull({ max: 10, leaseMs: 30_000 });
    if (pulled.kind !== "pulled") throw new Error(pulled.field);
    const settlements = pulled.jobs.map(({ id, fence }) => ({
      id,
      fence,
      tookMs: 0,
      outcome: { kind: "succeeded" as const, result: { status: 200, headers: [], body: null } },
    }));
    await outboxOf(full).settle({ settlements });
    clock.advance(30_000);
    await events().wake();
    await vi.waitFor(async () => expect((await outboxOf(full).describe()).depth).toBe(2), SOON);
    expect((await events().describe()).pending?.[full.name].count).toBe(0);
  });

  it("is handed on in the order of its key, with a number that grows", async () => {
    const ordered = subscription({ ordered: true });
    await publish(
      [event("a1", { subject: "a" }), event("a2", { subject: "a" }), event("b1", { subject: "b" })],
      [ordered],
    );
    await vi.waitFor(async () => expect((await outboxOf(ordered).describe()).depth).toBe(3), SOON);
    const first = await pulledIds(ordered.name, 10);
    expect(first.map(({ id }) => id)).toEqual(["a1", "b1"]);
    expect(first[0].sequence < first[1].sequence).toBe(true);
  });

  it("is handed on in the order of all that have no key, where it has none itself", async () => {
    const ordered = subscription({ ordered: true });
    await publish([event("1"), event("2"), event("a1", { subject: "a" })], [ordered]);
    await vi.waitFor(async () => expect((await outboxOf(ordered).describe()).depth).toBe(3), SOON);
    const first = await pulledIds(ordered.name, 10);
    expect(first.map(({ id }) => id)).toEqual(["1", "a1"]);
  });
});

describe("an event's price", () => {
  it("is 4 rows, and 4 for each subscription that pulls it, deletions included", async () => {
    const of = subscription();
    await publish([event("first")], [of]);
    await handedOn(of, 1);
    const log = await written(events(), async () => {
      await publishMany(of, "a");
      await handedOn(of, EVENTS + 1);
      await vi.waitFor(async () => expect((await events().describe()).depth).toBe(0), SOON);
    });
    expect(log.rows / EVENTS + 1).toBeLessThan(4.3);
    const one = await written(outboxOf(of), async () => {
      await publishMany(of, "b");
      await handedOn(of, 2 * EVENTS + 1);
      for (let left = 2 * EVENTS + 1; left > EVENTS; left -= 100) {
        const reply = await outboxOf(of).pull({ max: 100, leaseMs: 30_000 });
        if (reply.kind !== "pulled") throw new Error(reply.field);
        await outboxOf(of).settle({ settlements: reply.jobs.map(({ id, fence }) => acked(id, fence)) });
      }
    });
    expect(one.rows / EVENTS + 1).toBeLessThan(4.5);
    console.log(
      `${log.rows / EVENTS} rows per event and ${one.rows / EVENTS} per subscription, before deletion`,
    );
  });
});

async function handedOn(of: SubscriptionRoute, count: number): Promise<void> {
  await vi.waitFor(async () => expect((await outboxOf(of).describe()).depth).toBe(count), SOON);
}

async function publishMany(of: SubscriptionRoute, prefix: string): Promise<void> {
  for (let sent = 0; sent < EVENTS; sent += 10) {
    const batch = Array.from({ length: 10 }, (_, index) => event(`${prefix}${sent + index}`));
    await publish(batch, [of], { keyed: true });
  }
}

const EVENTS = 500;

function acked(id: string, fence: number): Settlement {
  const result = { status: 200, headers: [], body: null };
  return { id, fence, tookMs: 0, outcome: { kind: "succeeded", result } };
}

const TERMS_OF_FULL = {
  highWatermark: 2,
  resumeAt: 0.5,
  alertAt: 10_000,
  maxAgeMs: 24 * 3600 * 1000,
  retry: { attempts: 3, delayMs: 1_000, maxDelayMs: 60_000 },
  onDeadHead: "block" as const,
};

async function pulledIds(name: string, max: number): Promise<{ id: string; sequence: string }[]> {
  const stub = outboxOf(subscription({ name }));
  const reply = await runInDurableObject(stub, (instance: Outbox) => instance.pull({ max, leaseMs: 30_000 }));
  if (reply.kind !== "pulled") throw new Error(reply.field);
  return reply.jobs.map(({ target }) => {
    if (target.kind !== "event") throw new Error("no event");
    return { id: target.event.id, sequence: String(target.event.extensions.sequence) };
  });
}
