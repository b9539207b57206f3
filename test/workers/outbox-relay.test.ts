// How jobs leave the outbox: pointers, fences, lost ones, alarms that fail, old rows.

import { abortAllDurableObjects, evictDurableObject, runInDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { COLLECT_PAUSE_MS, DEAD_RETENTION_MS, RETENTION_MS } from "../../src/delivery/core/collect.ts";
import { VISIBILITY_MS } from "../../src/delivery/core/book.ts";
import { RELAY_BATCH_POINTERS, RELAY_LEASE_MS } from "../../src/delivery/core/relay.ts";
import { SWEEP_MS } from "../../src/delivery/core/sweep.ts";
import {
  OK,
  UNAVAILABLE,
  acceptAll,
  again,
  alarmOf,
  claim,
  claimKinds,
  claimOne,
  item,
  items,
  listQueue,
  newOutbox,
  run,
  runAlarm,
  settle,
  sql,
  stopClock,
  viewOf,
  type Stub,
} from "./outbox-rig.ts";

let clock: ReturnType<typeof stopClock>;

beforeEach(() => {
  clock = stopClock();
});

afterEach(async () => {
  clock.restore();
  await abortAllDurableObjects();
});

async function published(stub: Stub): Promise<number> {
  return (await stub.describe()).counts.published;
}

describe("the relay", () => {
  it("sends one pointer for each job, in batches, in their order", async () => {
    let sends = 0;
    const queue = listQueue(() => void (sends += 1));
    const outbox = await newOutbox(queue);
    const ids: string[] = [];
    for (let batch = 0; batch < 3; batch++) ids.push(...(await acceptAll(outbox, items(100))));
    await outbox.wake();
    await vi.waitFor(() => expect(queue.sent).toHaveLength(300));
    expect(queue.sent.map(({ id }) => id)).toEqual(ids);
    expect(queue.sent[0]).toEqual({ v: 1, outbox: outbox.name, id: ids[0], region: "weur" });
    expect(sends).toBeLessThanOrEqual(300 / RELAY_BATCH_POINTERS + 2);
  });

  it("publishes without an alarm right behind the acceptance", async () => {
    const queue = listQueue();
    const outbox = await newOutbox(queue);
    await acceptAll(outbox, items(3));
    await vi.waitFor(() => expect(queue.sent).toHaveLength(3));
  });

  it("sends nothing for jobs behind the first of their key until it has ended", async () => {
    const queue = listQueue();
    const outbox = await newOutbox(queue);
    const ids = await acceptAll(outbox, items(3, { key: "k" }));
    await outbox.wake();
    await vi.waitFor(() => expect(queue.sent.map(({ id }) => id)).toEqual([ids[0]]));
    await run(outbox, ids[0], OK);
    await vi.waitFor(() => expect(queue.sent.map(({ id }) => id)).toEqual(ids.slice(0, 2)));
  });

  it.each(["before_publish", "after_publish", "before_mark"] as const)(
    "loses nothing when the object dies at %s",
    async (failpoint) => {
      const queue = listQueue();
      const outbox = await newOutbox();
      const ids = await acceptAll(outbox, items(5));
      const first = await again(outbox, queue);
      await first.failAt(failpoint);
      await first.wake().catch(() => {});
      const expected = failpoint === "before_publish" ? 0 : 5;
      expect(queue.sent).toHaveLength(expected);
      const second = await again(outbox, queue);
      await second.wake();
      await vi.waitFor(() => expect(queue.sent).toHaveLength(expected + 5));
      expect(new Set(queue.sent.map(({ id }) => id))).toEqual(new Set(ids));
      const jobs = await claim(
        second,
        queue.sent.map(({ id }) => id),
      );
      expect(jobs.filter(({ kind }) => kind === "claimed")).toHaveLength(5);
    },
  );

  it("that stalls is overtaken, and its mark is refused", async () => {
    const gates: { isOpen: boolean }[] = [];
    const queue = listQueue(async () => {
      const gate = { isOpen: false };
      gates.push(gate);
      while (!gate.isOpen) await new Promise((resolve) => setTimeout(resolve, 1));
    });
    const outbox = await newOutbox(queue);
    const ids = await acceptAll(outbox, items(2));
    await vi.waitFor(() => expect(gates).toHaveLength(1));
    await outbox.wake();
    expect(gates).toHaveLength(1);
    clock.advance(RELAY_LEASE_MS);
    const waking = outbox.wake();
    await vi.waitFor(() => expect(gates).toHaveLength(2));
    gates[0].isOpen = true;
    await vi.waitFor(() => expect(queue.sent).toHaveLength(2));
    expect(await published(outbox)).toBe(0);
    gates[1].isOpen = true;
    await waking;
    expect(queue.sent.map(({ id }) => id)).toEqual([...ids, ...ids]);
    expect(await published(outbox)).toBe(2);
  });

  it("tries again when the queue refuses, later each time", async () => {
    let isBroken = true;
    let sends = 0;
    const queue = listQueue(() => {
      sends += 1;
      if (isBroken) throw new Error("Too Many Requests");
    });
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const outbox = await newOutbox(queue);
    await acceptAll(outbox, items(2));
    await vi.waitFor(() => expect(sends).toBe(1));
    await outbox.wake();
    expect(sends).toBe(1);
    clock.advance(1_000);
    await runAlarm(outbox);
    expect(sends).toBe(2);
    expect(await alarmOf(outbox)).toBe(Date.now() + 2_000);
    isBroken = false;
    clock.advance(2_000);
    await runAlarm(outbox);
    expect(queue.sent).toHaveLength(2);
    expect(log).toHaveBeenCalledTimes(2);
    log.mockRestore();
  });
});

describe("pointers", () => {
  it("that are lost are sent again, less often each time", async () => {
    const queue = listQueue();
    const outbox = await newOutbox(queue);
    await acceptAll(outbox, items(1));
    await vi.waitFor(() => expect(queue.sent).toHaveLength(1));
    clock.advance(VISIBILITY_MS - 1);
    await outbox.wake();
    expect(queue.sent).toHaveLength(1);
    clock.advance(SWEEP_MS);
    await outbox.wake();
    expect(queue.sent).toHaveLength(2);
    clock.advance(VISIBILITY_MS + SWEEP_MS);
    await outbox.wake();
    expect(queue.sent).toHaveLength(2);
    clock.advance(VISIBILITY_MS);
    await outbox.wake();
    expect(queue.sent).toHaveLength(3);
  });

  it("that are lost are sent again also when the outbox sleeps in between", async () => {
    const queue = listQueue();
    let outbox = await newOutbox(queue);
    await acceptAll(outbox, items(1));
    await vi.waitFor(() => expect(queue.sent).toHaveLength(1));
    await outbox.wake();
    for (let minute = 0; minute < 10; minute++) {
      await abortAllDurableObjects();
      clock.advance(60_000);
      outbox = await again(outbox, queue);
      await outbox.wake();
    }
    expect(queue.sent).toHaveLength(3);
  });

  it("repeated, reordered and unknown ones change nothing", async () => {
    const outbox = await newOutbox();
    const ids = await acceptAll(outbox, items(5));
    const pointers = [...ids.toReversed(), ...ids, ...ids];
    const jobs = (await claim(outbox, pointers)).filter((each) => each.kind === "claimed");
    expect(jobs).toHaveLength(5);
    await settle(outbox, jobs, OK);
    expect(await claimKinds(outbox, pointers)).toEqual(pointers.map(() => "done"));
    const { depth, counts } = await outbox.describe();
    expect({ depth, delivered: counts.delivered, duplicates: counts.duplicates }).toEqual({
      depth: 0,
      delivered: 5,
      duplicates: 25,
    });
  });

  it("to retries are sent when they are due, also by an outbox that slept", async () => {
    const queue = listQueue();
    const outbox = await newOutbox(queue);
    // Far ahead: the runtime's own alarm must not come while the clock stands still.
    const terms = { retry: { attempts: 3, delayMs: 60_000, maxDelayMs: 60_000 } };
    const [id] = await acceptAll(outbox, items(1), terms);
    await vi.waitFor(() => expect(queue.sent).toHaveLength(1));
    await run(outbox, id, UNAVAILABLE);
    const dueAt = (await viewOf(outbox, id)).nextAttemptAt ?? 0;
    expect(await alarmOf(outbox)).toBeLessThanOrEqual(dueAt);
    await evictDurableObject(outbox);
    clock.advance(60_000);
    const awake = await again(outbox, queue);
    await awake.wake();
    await vi.waitFor(() => expect(queue.sent).toHaveLength(2));
  });

  it("to the jobs of a consumer that died are sent again by the sweep", async () => {
    const queue = listQueue();
    const outbox = await newOutbox(queue);
    const [id] = await acceptAll(outbox, items(1));
    await vi.waitFor(() => expect(queue.sent).toHaveLength(1));
    const job = await claimOne(outbox, id);
    clock.advance(SWEEP_MS);
    await outbox.wake();
    expect(queue.sent).toHaveLength(2);
    // It was only slow: nobody else has it yet, so what it says counts.
    expect(await settle(outbox, [job], OK)).toEqual(["succeeded"]);
  });
});

describe("the alarm", () => {
  it("never throws and is always set again while something waits", async () => {
    const outbox = await newOutbox();
    await acceptAll(outbox, items(1));
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    for (let failure = 0; failure < 8; failure++) {
      const spy = await runInDurableObject(outbox, (_, { storage }) => {
        return vi.spyOn(storage, "sync").mockRejectedValue(new Error("broken"));
      });
      clock.advance(SWEEP_MS);
      await runAlarm(outbox);
      spy.mockRestore();
      expect(await alarmOf(outbox)).not.toBeNull();
    }
    log.mockRestore();
  });

  it("that was lost is set again by the next call", async () => {
    const outbox = await newOutbox();
    await acceptAll(outbox, items(1));
    await runInDurableObject(outbox, (_, { storage }) => storage.deleteAlarm());
    await evictDurableObject(outbox);
    await outbox.describe();
    expect(await alarmOf(outbox)).not.toBeNull();
  });

  it("is not set for an outbox in which nothing ever was", async () => {
    const outbox = await newOutbox();
    await outbox.describe();
    expect(await alarmOf(outbox)).toBeNull();
  });
});

describe("old rows", () => {
  it("are deleted after their time, but the newest stays, so that no id comes back", async () => {
    const outbox = await newOutbox();
    const terms = { retry: { attempts: 1, delayMs: 0, maxDelayMs: 0 }, maxAgeMs: 60 * RETENTION_MS };
    const ids = await acceptAll(outbox, items(4), terms);
    const [dead, ...others] = ids;
    await run(outbox, dead, UNAVAILABLE);
    for (const id of others) await run(outbox, id, OK);
    clock.advance(RETENTION_MS - 1);
    await outbox.wake();
    expect(await sql(outbox, "SELECT seq FROM jobs")).toHaveLength(4);
    clock.advance(COLLECT_PAUSE_MS);
    await outbox.wake();
    expect(await sql(outbox, "SELECT seq FROM jobs")).toEqual([{ seq: 1 }, { seq: 4 }]);
    expect(await claimKinds(outbox, ids)).toEqual(["done", "unknown", "unknown", "done"]);
    clock.advance(DEAD_RETENTION_MS);
    await outbox.wake();
    expect(await sql(outbox, "SELECT seq FROM jobs")).toEqual([{ seq: 4 }]);
    expect(await sql(outbox, "SELECT seq FROM trials")).toEqual([]);
    expect(await outbox.describe()).toMatchObject({ deadRows: 0 });
    await evictDurableObject(outbox);
    const [next] = await acceptAll(outbox, items(1));
    expect(next).toContain("-5-");
  });

  it("of a dead job stay while its key waits for it", async () => {
    const outbox = await newOutbox();
    const terms = { retry: { attempts: 1, delayMs: 0, maxDelayMs: 0 }, maxAgeMs: 60 * RETENTION_MS };
    const ids = await acceptAll(outbox, items(2, { key: "k" }), terms);
    await run(outbox, ids[0], UNAVAILABLE);
    clock.advance(DEAD_RETENTION_MS + COLLECT_PAUSE_MS);
    await outbox.wake();
    expect(await claimKinds(outbox, ids)).toEqual(["done", "blocked"]);
    await outbox.skip(ids[0]);
    clock.advance(COLLECT_PAUSE_MS);
    await outbox.wake();
    expect(await claimKinds(outbox, ids)).toEqual(["unknown", "claimed"]);
  });
});

describe("a replay by time", () => {
  it("takes what died then, at its rate, also over a restart", async () => {
    let outbox = await newOutbox();
    const terms = { retry: { attempts: 1, delayMs: 0, maxDelayMs: 0 } };
    const since = Date.now();
    const ids = await acceptAll(outbox, items(30), terms);
    for (const id of ids) await run(outbox, id, UNAVAILABLE);
    clock.advance(1);
    const [later] = await acceptAll(outbox, [item()], terms);
    await run(outbox, later, UNAVAILABLE);
    const reply = await outbox.replay({ since, until: Date.now() - 1, rate: 10 });
    expect(reply).toEqual({ kind: "replaying", matching: 30 });
    const depths: number[] = [];
    for (let second = 0; second < 4; second++) {
      clock.advance(1_000);
      if (second === 1) {
        await abortAllDurableObjects();
        outbox = await again(outbox);
      }
      await outbox.wake();
      depths.push((await outbox.describe()).depth);
    }
    expect(depths).toEqual([10, 10, 20, 30]);
    expect(await viewOf(outbox, later)).toMatchObject({ status: "dead" });
    expect((await outbox.describe()).counts.replayed).toBe(30);
  });
});
