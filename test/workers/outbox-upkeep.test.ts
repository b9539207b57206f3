// What an outbox does besides: bodies in the bucket go with their jobs, leases are prolonged, an alarm that
// was lost is set again by the watchdog, and what was accepted before is known while nothing else is taken.

import { abortAllDurableObjects, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { COLLECT_PAUSE_MS, DEAD_RETENTION_MS, RETENTION_MS } from "../../src/delivery/core/collect.ts";
import type { AcceptReply, KeyLookup } from "../../src/delivery/core/protocol.ts";
import { outboxesOfPlan } from "../../src/delivery/watchdog.ts";
import { createGateway } from "../../src/edge/gateway.ts";
import { deliverAll } from "./fault-rig.ts";
import {
  OK,
  TERMS,
  UNAVAILABLE,
  acceptAll,
  again,
  alarmOf,
  bind,
  claimKinds,
  claimOne,
  item,
  items,
  listQueue,
  newOutbox,
  run,
  settle,
  sql,
  stopClock,
  viewOf,
  type Stub,
} from "./outbox-rig.ts";

const ONE_TRY = {
  retry: { attempts: 1, delayMs: 0, maxDelayMs: 0 },
  maxAgeMs: 60 * RETENTION_MS,
};

let clock: ReturnType<typeof stopClock>;

beforeEach(() => {
  clock = stopClock();
});

afterEach(async () => {
  vi.restoreAllMocks();
  clock.restore();
  await abortAllDurableObjects();
});

/** A bucket that knows what is in it; `fails` says for how many calls it does. */
class Bucket {
  readonly keys = new Set<string>();
  fails = 0;
  calls = 0;
  /** Calls take as long as this says. */
  isHeld = false;

  readonly binding = {
    delete: async (keys: string[]): Promise<void> => {
      this.calls += 1;
      while (this.isHeld) await new Promise((resolve) => setTimeout(resolve, 5));
      if (this.fails-- > 0) throw new Error("the bucket is away");
      for (const key of keys) this.keys.delete(key);
    },
  };

  /** Jobs whose bodies are in it. */
  items(count: number, changes: Parameters<typeof item>[0] = {}) {
    return Array.from({ length: count }, () => {
      const ref = `claims/q/${this.keys.size}`;
      this.keys.add(ref);
      const body = { ref, sha256: "b".repeat(64), length: 200_000 };
      const request = { method: "POST", path: "/", headers: [], body };
      return item({ ...changes, target: { kind: "request", request } });
    });
  }
}

function rowsOf(outbox: Stub): Promise<unknown[]> {
  return sql(outbox, "SELECT seq FROM jobs").then((rows) => rows.map(({ seq }) => seq));
}

async function later(outbox: Stub, ms: number): Promise<void> {
  clock.advance(ms + COLLECT_PAUSE_MS);
  await outbox.wake();
}

describe("a body in the bucket", () => {
  it("is deleted after its job was kept for its time, and before the job's row", async () => {
    const outbox = await newOutbox();
    const bucket = new Bucket();
    await bind(outbox, { CLAIMS: bucket.binding });
    const [dead, ...others] = await acceptAll(outbox, bucket.items(4), ONE_TRY);
    await run(outbox, dead, UNAVAILABLE);
    for (const id of others) await run(outbox, id, OK);
    await acceptAll(outbox, items(1), ONE_TRY);
    bucket.isHeld = true;
    const waking = later(outbox, RETENTION_MS);
    await vi.waitFor(() => expect(bucket.calls).toBe(1));
    expect(await rowsOf(outbox)).toEqual([1, 2, 3, 4, 5]);
    bucket.isHeld = false;
    await waking;
    expect([...bucket.keys]).toEqual(["claims/q/0"]);
    expect(await rowsOf(outbox)).toEqual([1, 5]);
    expect(bucket.calls).toBe(1);
    await later(outbox, DEAD_RETENTION_MS);
    expect([...bucket.keys]).toEqual([]);
    expect(await rowsOf(outbox)).toEqual([5]);
    expect(await outbox.describe()).toMatchObject({ deadRows: 0 });
  });

  it("that could not be deleted is tried again with the next pass, also after a crash", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    let outbox = await newOutbox();
    const bucket = new Bucket();
    await bind(outbox, { CLAIMS: bucket.binding });
    const [first] = await acceptAll(outbox, bucket.items(1));
    await run(outbox, first, OK);
    const [second] = await acceptAll(outbox, items(1));
    await run(outbox, second, OK);
    bucket.fails = 1;
    await later(outbox, RETENTION_MS);
    expect([bucket.keys.size, await rowsOf(outbox)]).toEqual([1, [1, 2]]);
    expect(log.mock.calls.map(([line]) => JSON.parse(String(line)).event)).toContain(
      "outbox-bodies-not-deleted",
    );
    await abortAllDurableObjects();
    outbox = await again(outbox);
    await bind(outbox, { CLAIMS: bucket.binding });
    await later(outbox, 0);
    expect([bucket.keys.size, await rowsOf(outbox)]).toEqual([0, [2]]);
  });

  it("of a dead job that is being deleted keeps it from being replayed", async () => {
    const outbox = await newOutbox();
    const bucket = new Bucket();
    await bind(outbox, { CLAIMS: bucket.binding });
    const [dead] = await acceptAll(outbox, bucket.items(1), ONE_TRY);
    await run(outbox, dead, UNAVAILABLE);
    await acceptAll(outbox, items(1), ONE_TRY);
    bucket.isHeld = true;
    const waking = later(outbox, DEAD_RETENTION_MS);
    await vi.waitFor(() => expect(bucket.calls).toBe(1));
    expect(await outbox.replay({ ids: [dead] })).toMatchObject({ ids: [], notDead: [dead] });
    bucket.isHeld = false;
    await waking;
    expect(await rowsOf(outbox)).toEqual([2]);
    expect((await outbox.describe()).depth).toBe(1);
  });

  it("is no reason to keep a row where there is no bucket any more", async () => {
    const outbox = await newOutbox();
    await bind(outbox, { CLAIMS: undefined });
    const [id] = await acceptAll(outbox, new Bucket().items(1));
    await run(outbox, id, OK);
    await acceptAll(outbox, items(1), ONE_TRY);
    await later(outbox, RETENTION_MS);
    expect(await rowsOf(outbox)).toEqual([2]);
  });

  it("more than the bucket deletes at a time go in several calls", async () => {
    const outbox = await newOutbox();
    const bucket = new Bucket();
    await bind(outbox, { CLAIMS: bucket.binding });
    for (let batch = 0; batch < 12; batch++) {
      await deliverAll(outbox, await acceptAll(outbox, bucket.items(100)));
    }
    await acceptAll(outbox, items(1), ONE_TRY);
    await later(outbox, RETENTION_MS);
    clock.advance(1_000);
    await outbox.wake();
    expect([bucket.keys.size, bucket.calls]).toEqual([0, 2]);
    expect(await rowsOf(outbox)).toEqual([1_201]);
  });
});

describe("a lease", () => {
  it("that is renewed keeps its job, over a crash too, and is not renewed for others", async () => {
    let outbox = await newOutbox();
    const ids = await acceptAll(outbox, items(3));
    const jobs = await Promise.all(ids.map((id) => claimOne(outbox, id, 20_000)));
    const [first, second] = jobs;
    clock.advance(15_000);
    const request = { ids: [first.id, second.id], fence: first.fence, leaseMs: 20_000 };
    expect(await outbox.renew(request)).toEqual({ kind: "answered", held: [first.id] });
    clock.advance(10_000);
    await outbox.wake();
    expect(await claimKinds(outbox, [first.id])).toEqual(["leased"]);
    await abortAllDurableObjects();
    outbox = await again(outbox);
    expect(await claimKinds(outbox, ids)).toEqual(["leased", "claimed", "claimed"]);
    expect(await settle(outbox, [first], OK)).toEqual(["succeeded"]);
    expect(await outbox.renew({ ...request, ids: [first.id] })).toEqual({ kind: "answered", held: [] });
  });

  it("that is over is noticed by the alarm, without waiting for a sweep", async () => {
    const queue = listQueue();
    const outbox = await newOutbox(queue);
    const [id] = await acceptAll(outbox, items(1));
    await vi.waitFor(() => expect(queue.sent).toHaveLength(1));
    await outbox.wake();
    await claimOne(outbox, id, 8_000);
    expect(await alarmOf(outbox)).toBe(Date.now() + 8_000);
    clock.advance(8_000);
    await outbox.wake();
    await vi.waitFor(() => expect(queue.sent).toHaveLength(2));
  });

  it("takes the row of one that is over", async () => {
    const outbox = await newOutbox();
    for (let round = 0; round < 5; round++) {
      const ids = await acceptAll(outbox, items(2));
      for (const id of ids) await run(outbox, id, OK);
    }
    expect(await sql(outbox, "SELECT slot, fence FROM leases")).toEqual([{ slot: 1, fence: 10 }]);
  });
});

describe("the watchdog", () => {
  it("sets an alarm again that was lost, and does what is due, through the Worker's own trigger", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const queue = listQueue();
    const outbox = await newOutbox(queue);
    const [id] = await acceptAll(outbox, items(1), ONE_TRY);
    await vi.waitFor(() => expect(queue.sent).toHaveLength(1));
    await claimOne(outbox, id, 20_000);
    await runInDurableObject(outbox, (_, { storage }) => storage.deleteAlarm());
    expect(await alarmOf(outbox)).toBeNull();
    clock.advance(40_000);
    const name = outbox.name?.split(".")[1] ?? "";
    const gateway = createGateway({
      upstreams: { app: { targets: ["https://app.example.com"] } },
      queues: { [name]: { upstream: "app" } },
      routes: [{ path: "/*", upstream: "app" }],
    });
    await gateway.handler.scheduled({ cron: "* * * * *" }, { ...env });
    expect(await alarmOf(outbox)).toBeGreaterThan(Date.now());
    await vi.waitFor(() => expect(queue.sent).toHaveLength(2));
    expect(log.mock.calls.map(([line]) => JSON.parse(String(line)).event)).toEqual(["outbox-alarm-lost"]);
    // There is nothing to be said of one that lives.
    expect(await outbox.wake()).toBe(false);
  });

  it("knows every outbox of a configuration, and one that fails keeps no other from being woken", () => {
    const named = [{ name: "a" }, { name: "b" }];
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- only the names count
    const plan = {
      queues: named,
      subscriptions: [{ name: "s" }],
      relays: [],
      routes: [],
    } as unknown as Parameters<typeof outboxesOfPlan>[0];
    expect(outboxesOfPlan(plan)).toEqual(["queue.a.0", "queue.b.0", "events.0", "subscription.s.0"]);
    const nobody = { queues: [], subscriptions: [], relays: [], routes: [] };
    expect(outboxesOfPlan(nobody)).toEqual([]);
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- that there is one counts
    const relayed = { ...nobody, relays: [{ name: "r" }] } as unknown as typeof plan;
    expect(outboxesOfPlan(relayed)).toEqual(["events.0"]);
  });
});

function keyOf(key: string, print = "a") {
  return { key, fingerprint: print.repeat(64) };
}

function lookupOf(key: string, print?: string): KeyLookup {
  return { consumer: "acme", tenant: "acme", route: "orders", idempotency: keyOf(key, print) };
}

describe("an outbox that is full", () => {
  const terms = { ...TERMS, highWatermark: 10 };
  async function ask(outbox: Stub, lookups: readonly KeyLookup[]) {
    const request = { region: "weur", config: "c", terms, items: [], lookups, refused: 0 };
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a stub's type knows no pairs
    const reply = (await outbox.accept(request)) as AcceptReply;
    if (reply.kind !== "answered") throw new Error(reply.kind);
    return reply;
  }

  it("knows the keys that it has accepted, and counts the others as refused", async () => {
    const outbox = await newOutbox();
    const [id] = await acceptAll(outbox, [item({ idempotency: keyOf("k") }), ...items(9)], terms);
    const { known = [], pressure } = await ask(outbox, [lookupOf("k"), lookupOf("k", "c"), lookupOf("new")]);
    expect(pressure.rejecting).toBe(true);
    expect(known).toMatchObject([
      { kind: "replayed", id },
      { kind: "conflict" },
      { kind: "backlog-full", retryAfterMs: 300_000 },
    ]);
    const { depth, counts } = await outbox.describe();
    expect([depth, counts.accepted, counts.rejected, counts.duplicates]).toEqual([10, 10, 1, 2]);
  });

  it("refuses a new key also when there is room by now: it is not what was asked", async () => {
    const outbox = await newOutbox();
    const { known } = await ask(outbox, [lookupOf("new")]);
    expect(known).toEqual([{ kind: "backlog-full", retryAfterMs: 1_000 }]);
    expect((await outbox.describe()).depth).toBe(0);
  });

  it("answers every poll of a job", async () => {
    const outbox = await newOutbox();
    const ids = await acceptAll(outbox, items(10), terms);
    expect((await ask(outbox, [])).pressure.rejecting).toBe(true);
    for (let poll = 0; poll < 200; poll++) {
      expect(await viewOf(outbox, ids[poll % 10])).toMatchObject({ status: "queued" });
    }
    expect(await outbox.result({ id: ids[0], waitMs: 0 })).toMatchObject({ kind: "none" });
  });
});
