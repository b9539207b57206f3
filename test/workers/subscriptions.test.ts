// The outbox of one subscription: what is pulled, a webhook's receiver that fails for good, a bound Worker.
// And the outbox of the events beside outboxes that say nothing.

import {
  createExecutionContext,
  createMessageBatch,
  evictDurableObject,
  getQueueResult,
} from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { OutboxNamespace } from "../../durable-objects/outbox/offer.ts";
import type { SubscriptionRoute } from "../../src/delivery/core/event-protocol.ts";
import type { ClaimedJob, DeliveryOutcome } from "../../src/delivery/core/protocol.ts";
import { createGateway } from "../../src/edge/gateway.ts";
import { event, eventIds, eventItem, events, outboxOf, publish, subscription } from "./events-rig.ts";
import {
  OK,
  claim,
  TERMS,
  UNAVAILABLE,
  acceptAll,
  bind,
  claimOne,
  listQueue,
  run,
  settle,
  stopClock,
} from "./outbox-rig.ts";

const DAY_MS = 24 * 3600 * 1000;
const SOON = { timeout: 5_000, interval: 10 };
const GONE: DeliveryOutcome = { ...UNAVAILABLE, status: 410, endpoint: "gone" };

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

function frozen(): ReturnType<typeof stopClock> {
  const clock = stopClock();
  cleanups.push(() => clock.restore());
  return clock;
}

async function pull(of: SubscriptionRoute, leaseMs = 30_000): Promise<readonly ClaimedJob[]> {
  const reply = await outboxOf(of).pull({ max: 10, leaseMs });
  if (reply.kind !== "pulled") throw new Error(reply.field);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a stub knows no pairs, only lists
  return reply.jobs as readonly ClaimedJob[];
}

function idsOf(jobs: readonly ClaimedJob[]): string[] {
  return jobs.map(({ target }) => (target.kind === "event" ? target.event.id : "no event"));
}

describe("a pulled event", () => {
  it("keeps its lease over a restart, and is given again when that is over", async () => {
    const clock = frozen();
    const of = subscription();
    await publish([event("a"), event("b")], [of]);
    await vi.waitFor(async () => expect((await outboxOf(of).describe()).depth).toBe(2), SOON);
    const [first, second] = await pull(of);
    await evictDurableObject(outboxOf(of));
    expect(await pull(of)).toEqual([]);
    expect(await settle(outboxOf(of), [first], OK)).toEqual(["succeeded"]);
    clock.advance(30_000);
    expect(await settle(outboxOf(of), [second], OK)).toEqual(["stale"]);
    const again = await pull(of);
    expect(idsOf(again)).toEqual(["b"]);
    expect(again[0].attempt).toBe(2);
    expect(await settle(outboxOf(of), again, OK)).toEqual(["succeeded"]);
    expect(await outboxOf(of).describe()).toMatchObject({ lag: 0, oldestAgeMs: 0 });
  });

  it("is given until it is acknowledged, however often that is", async () => {
    const clock = frozen();
    const of = subscription();
    await publish([event("a")], [of]);
    await vi.waitFor(async () => expect((await outboxOf(of).describe()).depth).toBe(1), SOON);
    for (let attempt = 1; attempt <= 20; attempt++) {
      const [job] = await pull(of, 1_000);
      expect(job.attempt).toBe(attempt);
      clock.advance(1_000);
    }
    const { lag, oldestAgeMs, deadRows } = await outboxOf(of).describe();
    expect({ lag, oldestAgeMs, deadRows }).toEqual({ lag: 1, oldestAgeMs: 20_000, deadRows: 0 });
  });

  it("is published to no queue", async () => {
    const of = subscription();
    const queue = listQueue();
    await bind(outboxOf(of), { DELIVERY: queue });
    await publish([event("a")], [of]);
    await vi.waitFor(async () => expect((await outboxOf(of).describe()).depth).toBe(1), SOON);
    await outboxOf(of).wake();
    expect(queue.sent).toEqual([]);
  });
});

async function receiver(): Promise<ReturnType<typeof outboxOf>> {
  const stub = outboxOf(subscription({ delivery: "webhook" }));
  await bind(stub, { DELIVERY: undefined });
  return stub;
}

describe("a webhook's receiver", () => {
  const terms = {
    ...TERMS,
    retry: { attempts: 10, delayMs: 1_000, maxDelayMs: DAY_MS },
    delivery: "webhook" as const,
  };

  it("that is gone gets nothing more: its events are dead, and live again when they are replayed", async () => {
    const stub = await receiver();
    const [a, b, c] = await acceptAll(
      stub,
      ["a", "b", "c"].map((id) => eventItem(event(id))),
      terms,
    );
    const leased = await claimOne(stub, b);
    expect(await run(stub, a, GONE)).toBe("deferred");
    expect(await stub.describe()).toMatchObject({
      depth: 1,
      deadRows: 2,
      endpoint: { disabled: { reason: "gone" } },
    });
    expect(await settle(stub, [leased], UNAVAILABLE)).toEqual(["deferred"]);
    const [d] = await acceptAll(stub, [eventItem(event("d"))], terms);
    expect(await stub.describe()).toMatchObject({ depth: 0, deadRows: 4 });
    await evictDurableObject(stub);
    const page = await stub.dead({ after: null, max: 10 });
    expect(page.kind === "dead" && page.items.map(({ reason }) => reason)).toEqual(
      Array(4).fill("skipped: its endpoint is disabled (gone)"),
    );
    expect(await stub.replay({ ids: [a, b, c, d] })).toMatchObject({ kind: "replayed", ids: [a, b, c, d] });
    expect(await stub.describe()).toMatchObject({ depth: 4, deadRows: 0, endpoint: null });
    expect(await run(stub, d, OK)).toBe("succeeded");
  });

  it("that fails for five days and never succeeds is disabled, one that does now and then is not", async () => {
    const clock = frozen();
    const [failing, sporadic] = [await receiver(), await receiver()];
    for (let day = 0; day <= 5; day++) {
      for (const stub of [failing, sporadic]) {
        const [id] = await acceptAll(stub, [eventItem(event(`d${day}`))], terms);
        await run(stub, id, stub === sporadic && day === 3 ? OK : UNAVAILABLE);
      }
      const isDisabled = (await failing.describe()).endpoint?.disabled !== null;
      expect(isDisabled).toBe(day === 5);
      clock.advance(DAY_MS);
    }
    expect((await failing.describe()).endpoint?.disabled).toMatchObject({ reason: "days-of-failure" });
    expect((await sporadic.describe()).endpoint?.disabled).toBeNull();
  });

  it("that fails two hundred times in a minute is still sent to", async () => {
    const stub = await receiver();
    const sent = Array.from({ length: 100 }, (_, index) => eventItem(event(`e${index}`)));
    for (const ids of [await acceptAll(stub, sent, terms), await acceptAll(stub, sent, terms)]) {
      const jobs = (await claim(stub, ids)).filter((each) => each.kind === "claimed");
      await settle(stub, jobs, UNAVAILABLE);
    }
    const { depth, endpoint } = await stub.describe();
    expect({ depth, endpoint }).toMatchObject({
      depth: 200,
      endpoint: { failuresInRow: 200, disabled: null },
    });
  });

  it("is not blamed for what never reached it", async () => {
    const stub = await receiver();
    const [id] = await acceptAll(stub, [eventItem(event("a"))], terms);
    await run(stub, id, { ...UNAVAILABLE, status: null, error: "target-refused", endpoint: "unharmed" });
    expect((await stub.describe()).endpoint).toBeNull();
  });
});

describe("a bound Worker", () => {
  it("gets an event in binary mode, and again what it did not take", async () => {
    const terms = { ...TERMS, retry: { attempts: 3, delayMs: 0, maxDelayMs: 0 } };
    const of = subscription({ delivery: "binding", terms });
    const queue = listQueue();
    await bind(outboxOf(of), { DELIVERY: queue });
    const seen: Request[] = [];
    const worker = {
      async fetch(request: Request): Promise<Response> {
        seen.push(request);
        return new Response(null, { status: seen.length === 1 ? 503 : 204 });
      },
    };
    const gateway = createGateway({
      upstreams: {},
      routes: [{ path: "/e", event: "a.b" }],
      subscriptions: { [of.name]: { events: ["*"], deliver: { binding: "WORKER" } } },
    });
    await publish([event("a", { subject: "o 1" })], [of]);
    for (const tries of [1, 2]) {
      await vi.waitFor(() => expect(queue.sent).toHaveLength(tries), SOON);
      const messages = queue.sent
        .slice(-1)
        .map((body) => ({ id: String(tries), timestamp: new Date(), attempts: 1, body }));
      const batch = createMessageBatch("tidegate-delivery", messages);
      const context = createExecutionContext();
      await gateway.handler.queue(batch, { ...env, TIDEGATE_REGION: "enam", WORKER: worker }, context);
      expect((await getQueueResult(batch, context)).explicitAcks).toEqual([String(tries)]);
    }
    expect(seen.map(({ headers }) => headers.get("idempotency-key"))).toEqual(["a", "a"]);
    expect(Object.fromEntries(seen[1].headers)).toMatchObject({
      "ce-id": "a",
      "ce-subject": "o%201",
      "content-type": "application/json",
    });
    expect(await seen[1].text()).toBe('{"id":"a"}');
    expect((await outboxOf(of).describe()).depth).toBe(0);
  });
});

/** Hand-overs to some subscriptions get no answer until they are released. */
async function silence(names: readonly string[]): Promise<() => void> {
  const { promise: released, resolve } = Promise.withResolvers<void>();
  const namespace: OutboxNamespace = {
    getByName: (name) => ({
      async accept(request) {
        if (names.some((silent) => name === `subscription.${silent}.0`)) await released;
        return env.OUTBOX.getByName(name).accept(request);
      },
    }),
  };
  await bind(events(), { OUTBOX: namespace });
  cleanups.push(async () => {
    resolve();
    await bind(events(), { OUTBOX: env.OUTBOX });
  });
  return resolve;
}

describe("the outbox of the events", () => {
  it("lets a subscription that says nothing delay no other", async () => {
    const [silent, other] = [subscription(), subscription()];
    const release = await silence([silent.name]);
    await publish([event("a"), event("b")], [silent, other]);
    await vi.waitFor(async () => expect(await eventIds(outboxOf(other))).toEqual(["a", "b"]), SOON);
    expect(await events().pending(silent.name)).toMatchObject({ count: 2 });
    await publish([event("c")], [silent, other]);
    await vi.waitFor(async () => expect(await eventIds(outboxOf(other))).toEqual(["a", "b", "c"]), SOON);
    release();
    await vi.waitFor(async () => expect(await eventIds(outboxOf(silent))).toEqual(["a", "b", "c"]), SOON);
    await vi.waitFor(async () => expect((await events().describe()).depth).toBe(0), SOON);
  });

  it("refuses events from the watermark on while they cannot be handed on, and takes them again later", async () => {
    const of = subscription();
    const release = await silence([of.name]);
    const terms = { ...TERMS, highWatermark: 2, resumeAt: 0.5 };
    const sent = ["a", "b", "c"].map((id) => eventItem(event(id)));
    const request = { region: "weur", config: "c", terms, items: sent, refused: 0, subscriptions: [of] };
    const reply = await events().accept(request);
    expect(reply.kind === "answered" && reply.outcomes.map(({ kind }) => kind)).toEqual([
      "accepted",
      "accepted",
      "backlog-full",
    ]);
    expect(reply).toMatchObject({ pressure: { rejecting: true, retryAfterMs: expect.any(Number) } });
    release();
    await vi.waitFor(async () => expect((await events().describe()).depth).toBe(0), SOON);
    const later = await events().accept({ ...request, items: sent.slice(2) });
    expect(later).toMatchObject({ outcomes: [{ kind: "accepted" }] });
    await vi.waitFor(async () => expect(await eventIds(outboxOf(of))).toEqual(["a", "b", "c"]), SOON);
  });

  it("stores an event once that is published twice under one key", async () => {
    const of = subscription();
    const twice = {
      ...eventItem(event("a")),
      idempotency: { key: "k".repeat(64), fingerprint: "0".repeat(64) },
    };
    const request = {
      region: "weur",
      config: "c",
      terms: TERMS,
      items: [twice],
      refused: 0,
      subscriptions: [of],
    };
    await events().accept(request);
    const again = await events().accept(request);
    expect(again).toMatchObject({ outcomes: [{ kind: "replayed" }] });
    await publish([event("b")], [of]);
    await vi.waitFor(async () => expect(await eventIds(outboxOf(of))).toEqual(["a", "b"]), SOON);
  });
});
