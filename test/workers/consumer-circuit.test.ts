// The consumer and what protects an upstream: a circuit that opens parks jobs, probes are few, the hub is
// that of the pointers' region. And the ends of the pipeline: dead letters, the real queue.

import { abortAllDurableObjects } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { newConsumer, pointers } from "./consumer-rig.ts";
import {
  accept,
  acceptAll,
  again,
  claimKinds,
  items,
  newOutbox,
  stopClock,
  viewOf,
  type Stub,
} from "./outbox-rig.ts";

const DOWN = () => new Response(null, { status: 500 });

beforeEach(() => {
  vi.spyOn(console, "log").mockImplementation(() => {});
});

afterEach(async () => {
  vi.restoreAllMocks();
  await abortAllDurableObjects();
});

function viewsOf(outbox: Stub, ids: readonly string[]) {
  return Promise.all(ids.map((id) => viewOf(outbox, id)));
}

function hubOf(region: string) {
  return env.HUB.get(env.HUB.idFromName(`hub:${region}:0`));
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const giveUpAt = Date.now() + 10_000;
  while (!(await holds())) {
    if (Date.now() > giveUpAt) throw new Error("it did not come about");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe("an upstream that is down", () => {
  it("gets a few tries; the other jobs wait with no attempt counted", async () => {
    const outbox = await newOutbox();
    const rig = newConsumer({ queues: [outbox], upstream: { breaker: { consecutive: 5 } } });
    rig.answer = DOWN;
    const ids = await acceptAll(outbox, items(60));
    await rig.consume(pointers(outbox, ids, "parked"));
    // Five failures open the circuit; as many as there are connections may be under way by then.
    expect(rig.seen.length).toBeLessThanOrEqual(5 + 6);
    const views = await viewsOf(outbox, ids);
    const parked = views.filter(({ attempts }) => attempts === 0);
    expect(parked).toHaveLength(60 - rig.seen.length);
    expect(new Set(parked.map(({ status, reason }) => `${status} ${reason}`))).toEqual(
      new Set(["deferred circuit_open"]),
    );
    expect(parked.every(({ nextAttemptAt }) => (nextAttemptAt ?? 0) > Date.now() - 1)).toBe(true);
  });

  it("gets one probe at a time until it is well, and then everything", async () => {
    const outbox = await newOutbox();
    const breaker = {
      consecutive: 5,
      openFor: "500ms",
      maxOpenFor: "500ms",
      probes: 2,
      rampUp: "500ms",
    } as const;
    const rig = newConsumer({ queues: [outbox], upstream: { breaker } });
    rig.answer = DOWN;
    const ids = await acceptAll(outbox, items(60), {
      retry: { attempts: 10, delayMs: 100, maxDelayMs: 200 },
    });
    await rig.consume(pointers(outbox, ids, "probed"));
    const tried = rig.seen.length;
    for (let round = 0; round < 3; round++) {
      await new Promise((resolve) => setTimeout(resolve, 800));
      await rig.consume(pointers(outbox, ids, "probed"));
    }
    // Each time that the open time is over, one probe; the hub may not have moved on yet in some round.
    expect(rig.seen.length - tried).toBeGreaterThanOrEqual(1);
    expect(rig.seen.length - tried).toBeLessThanOrEqual(3);
    rig.answer = () => new Response("well");
    await until(async () => {
      await rig.consume(pointers(outbox, ids, "probed"));
      return (await outbox.describe()).depth === 0;
    });
    const views = await viewsOf(outbox, ids);
    expect(new Set(views.map(({ status }) => status))).toEqual(new Set(["succeeded"]));
    // Nobody was tried more often than there was a failure of the upstream to be counted.
    const attempts = views.reduce((sum, view) => sum + view.attempts, 0);
    expect(attempts).toBe(rig.seen.length);
  }, 20_000);
});

describe("the hub of a pointer's region", () => {
  it("hears of the deliveries, wherever the consumer runs", async () => {
    const outbox = await newOutbox();
    const rig = newConsumer({ queues: [outbox], bindings: { TIDEGATE_REGION: "enam" } });
    const ids = await acceptAll(outbox, items(12));
    rig.answer = DOWN;
    await rig.consume(pointers(outbox, ids, "apac"));
    await until(async () => {
      const { upstreams } = await hubOf("apac").describe();
      return upstreams["app"]?.["apac"]?.breaker?.phase === "open";
    });
    expect((await hubOf("enam").describe()).upstreams["app"]?.["enam"]).toBeUndefined();
  });
});

describe("a dead letter", () => {
  it("is filed in its outbox as dead, unless its job has ended", async () => {
    const outbox = await newOutbox();
    const rig = newConsumer({ queues: [outbox] });
    vi.spyOn(console, "error").mockImplementation(() => {});
    const [done, waiting] = await acceptAll(outbox, items(2));
    await rig.consume(pointers(outbox, [done]));
    const letters = [...pointers(outbox, [done, waiting]), { v: 9 }];
    expect(await rig.consume(letters, "tidegate-dead-letters")).toEqual({
      acked: ["0", "1", "2"],
      retried: [],
    });
    const [first, second] = await viewsOf(outbox, [done, waiting]);
    expect(first.status).toBe("succeeded");
    expect(second).toMatchObject({ status: "dead", reason: expect.stringContaining("gave its pointer up") });
    const page = await outbox.dead({ after: null, max: 10 });
    expect(page.kind === "dead" && page.items.map(({ id }) => id)).toEqual([waiting]);
    expect(await outbox.replay({ ids: [waiting] })).toMatchObject({ kind: "replayed", ids: [waiting] });
  });
});

describe("a queue that is not configured", () => {
  it("keeps its jobs for a version that knows it", async () => {
    const outbox = await newOutbox();
    const rig = newConsumer({ queues: [] });
    const [id] = await acceptAll(outbox, items(1));
    expect(await rig.consume(pointers(outbox, [id]))).toEqual({ acked: ["0"], retried: [] });
    expect(await viewOf(outbox, id)).toMatchObject({ status: "deferred", attempts: 0 });
  });

  it("is how the Worker of these tests sees what comes through the real queue", async () => {
    const outbox = await again(await newOutbox(), {
      sendBatch: (messages) => env.DELIVERY.sendBatch(messages),
    });
    const [outcome] = await accept(outbox, items(1));
    if (outcome.kind !== "accepted") throw new Error(outcome.kind);
    await until(async () => (await viewOf(outbox, outcome.id)).deferrals > 0);
    expect((await viewOf(outbox, outcome.id)).reason).toContain("is configured");
  });
});

describe("how full a batch was", () => {
  it("is counted once for each, where its first claim goes", async () => {
    const outbox = await newOutbox();
    const rig = newConsumer({ queues: [outbox], queue: { batch: 5 } });
    const ids = await acceptAll(outbox, items(12));
    await rig.consume(pointers(outbox, ids.slice(0, 8)));
    await rig.consume(pointers(outbox, [...ids.slice(8), ids[11]]));
    const { counts } = await outbox.describe();
    expect([counts.batches, counts.batchMessages, counts.delivered]).toEqual([2, 13, 12]);
  });
});

describe("time", () => {
  it("that a lease does not have is asked for, and not used when another has the job", async () => {
    const outbox = await newOutbox();
    const rig = newConsumer({ queues: [outbox], queue: { batch: 7 }, upstream: { timeout: "10s" } });
    const clock = stopClock();
    const ids = await acceptAll(outbox, items(7));
    rig.answer = () => {
      if (rig.seen.length === 6) clock.advance(60_000);
      return new Response();
    };
    await rig.consume(pointers(outbox, ids));
    expect(rig.seen).toHaveLength(7);
    const more = await acceptAll(outbox, items(7));
    rig.answer = async () => {
      if (rig.seen.length !== 13) return new Response();
      clock.advance(60_000);
      await outbox.wake();
      expect(await claimKinds(outbox, [more[6]])).toEqual(["claimed"]);
      return new Response();
    };
    await rig.consume(pointers(outbox, more));
    expect(rig.seen).toHaveLength(13);
    expect(await viewOf(outbox, more[6])).toMatchObject({ status: "running", attempts: 0 });
  });
});
