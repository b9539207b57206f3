// Faults between the outbox and its consumers, with the real consumer and real objects: what a crash, a
// queue that repeats, a consumer that dies and a job that cannot be read look like to the receiver.

import { expect, it, vi } from "vitest";
import { newConsumer, pointers, type Rig } from "./consumer-rig.ts";
import { FAULT_TIMEOUT, RUNS, forSeeds, stopClockForEach, type Chance } from "./fault-rig.ts";
import { acceptAll, again, item, items, listQueue, newOutbox, viewOf } from "./outbox-rig.ts";

/** Longer than any lease that a consumer takes for a batch of these. */
const OVER_MS = 15 * 60_000;

const clock = stopClockForEach();

function keysSeen({ seen }: Rig): string[] {
  return seen.map(({ headers }) => headers.get("idempotency-key") ?? "");
}

it("a crash behind the send repeats pointers and no effect", FAULT_TIMEOUT, async () => {
  await forSeeds(RUNS, async (chance) => {
    const count = chance.between(1, 100);
    const queue = listQueue();
    const outbox = await newOutbox(queue);
    const rig = newConsumer({ queues: [outbox] });
    await outbox.failAt(chance.pick(["after_publish", "before_mark"]));
    const ids = await acceptAll(outbox, items(count));
    await outbox.wake().catch(() => {});
    expect(queue.sent).toHaveLength(count);
    const fresh = await again(outbox, queue);
    await fresh.wake();
    await vi.waitFor(() => expect(queue.sent).toHaveLength(2 * count));
    const messages = chance.shuffled(queue.sent);
    const place = chance.between(0, messages.length);
    const consumed = await Promise.all([
      rig.consume(messages.slice(0, place)),
      rig.consume(messages.slice(place)),
    ]);
    expect(consumed.flatMap(({ acked }) => acked)).toHaveLength(2 * count);
    expect(keysSeen(rig).toSorted()).toEqual([...new Set(keysSeen(rig))].toSorted());
    expect(rig.seen).toHaveLength(count);
    const { depth, counts } = await fresh.describe();
    expect([depth, counts.delivered]).toEqual([0, ids.length]);
  });
});

it(
  "every pointer three times, in any order, has one effect, and a key's in its order",
  FAULT_TIMEOUT,
  async () => {
    await forSeeds(RUNS, async (chance) => {
      const outbox = await newOutbox();
      const rig = newConsumer({ queues: [outbox] });
      const jobs = Array.from({ length: chance.between(5, 60) }, (_, index) =>
        item({ path: `/${index}`, key: chance.pick(["a", "b", "c", null]) }),
      );
      const ids = await acceptAll(outbox, jobs);
      const all = chance.shuffled(pointers(outbox, [...ids, ...ids, ...ids]));
      while (all.length > 0) {
        const batches = [1, 2].map(() => all.splice(0, chance.between(1, 60)));
        await Promise.all(batches.map((batch) => rig.consume(batch)));
      }
      // Pointers that came before their key's turn were let go; the sweep brings what is left.
      await rig.consume(pointers(outbox, ids));
      expect((await outbox.describe()).depth).toBe(0);
      expect(rig.seen).toHaveLength(ids.length);
      expect(new Set(keysSeen(rig)).size).toBe(ids.length);
      for (const key of ["a", "b", "c"]) {
        const places = rig.seen
          .map(({ url }) => Number(new URL(url).pathname.slice(1)))
          .filter((place) => jobs[place].key === key);
        expect(places).toEqual(places.toSorted((left, right) => left - right));
      }
    });
  },
);

async function killConsumer(chance: Chance): Promise<void> {
  const count = chance.between(8, 20);
  const dyingAt = chance.between(0, count - 1);
  const queue = listQueue();
  const outbox = await newOutbox(queue);
  const ids = await acceptAll(outbox, items(count));
  const first = newConsumer({ queues: [outbox] });
  const revived: (() => void)[] = [];
  first.answer = () => {
    if (first.seen.length <= dyingAt) return new Response("done");
    return new Promise((resolve) => revived.push(() => resolve(new Response("late"))));
  };
  const dying = first.consume(pointers(outbox, ids));
  await vi.waitFor(async () => {
    expect(revived.length).toBeGreaterThan(0);
    const { counts } = await outbox.describe();
    expect(counts.delivered).toBe(first.seen.length - revived.length);
  });
  const done = (await outbox.describe()).counts.delivered;
  if (chance.pick([true, false])) await outbox.failAt("after_commit");
  await outbox.wake().catch(() => {});
  clock.advance(OVER_MS);
  const fresh = await again(outbox, queue);
  queue.sent.length = 0;
  await fresh.wake();
  const second = newConsumer({ queues: [outbox] });
  for (let round = 0; round < 60 && (await fresh.describe()).depth > 0; round++) {
    await second.consume(queue.sent.splice(0));
    clock.advance(30_000);
    await fresh.wake();
  }
  expect((await fresh.describe()).depth).toBe(0);
  // What was done stays done; the others were done by the second, under the same keys.
  expect(second.seen).toHaveLength(count - done);
  const before = keysSeen(first);
  const both = keysSeen(second).filter((key) => before.includes(key));
  expect(both).toHaveLength(first.seen.length - done);
  expect(new Set([...before, ...keysSeen(second)]).size).toBe(count);
  // The first one was only slow after all: what it says now changes nothing.
  for (const revive of revived) revive();
  await dying;
  const { depth, counts, deadRows } = await fresh.describe();
  expect([depth, counts.delivered, deadRows]).toEqual([0, count, 0]);
}

it(
  "a consumer killed in a batch: what it told is done once, the rest is done again",
  FAULT_TIMEOUT,
  async () => {
    await forSeeds(RUNS, killConsumer, 1);
  },
);

/** By the real clock: circuits, hubs and pauses go by it. */
async function outage(chance: Chance): Promise<void> {
  clock.restore();
  const queue = listQueue();
  const first = await newOutbox(queue);
  const breaker = { consecutive: 5, openFor: "100ms", maxOpenFor: "200ms", probes: 2, rampUp: 0 } as const;
  const rig = newConsumer({ queues: [first], upstream: { breaker } });
  rig.answer = () => new Response(null, { status: 500 });
  const retry = { attempts: 50, delayMs: 50, maxDelayMs: 100 };
  const ids: string[] = [];
  const crashes = chance.between(1, 3);
  const jobs = RUNS > 3 ? 40 : 20;
  const startedAt = Date.now();
  let outbox = first;
  let tried = 0;
  for (let round = 0; ids.length < jobs || (await outbox.describe()).depth > 0; round++) {
    if (Date.now() > startedAt + 60_000) throw new Error("it does not come to an end");
    if (ids.length < jobs) ids.push(...(await acceptAll(outbox, items(10), { retry })));
    else if (tried === 0) {
      tried = rig.seen.length;
      rig.answer = () => new Response("done");
    }
    if (round < crashes) {
      await outbox.failAt(chance.pick(["mid_batch", "before_publish", "after_publish", "before_mark"]));
    }
    await outbox.wake().catch(() => {});
    await rig.consume(queue.sent.splice(0));
    await new Promise((resolve) => setTimeout(resolve, 100));
    outbox = await again(outbox, queue);
  }
  // Five failures open the circuit, with as many under way behind them as one consumer has; then one probe
  // each time that it may close.
  expect(tried).toBeLessThanOrEqual(5 + 6 + (Date.now() - startedAt) / 100);
  const views = await Promise.all(ids.map((id) => viewOf(outbox, id)));
  expect(new Set(views.map(({ status }) => status))).toEqual(new Set(["succeeded"]));
  // Each try is counted once, whatever died between the upstream and its record.
  expect(views.reduce((sum, { attempts }) => sum + attempts, 0)).toBe(rig.seen.length);
  expect(rig.seen.length - tried).toBeGreaterThanOrEqual(jobs);
  expect(new Set(keysSeen(rig)).size).toBe(jobs);
}

it(
  "an upstream that is down while the outbox dies gets probes, and each job once it is well",
  FAULT_TIMEOUT,
  async () => {
    await forSeeds(RUNS > 3 ? RUNS : 1, outage, 1);
  },
);

async function poisoned(chance: Chance): Promise<void> {
  const place = chance.between(0, 99);
  const request = { method: "NO METHOD", path: "/", headers: [], body: null };
  const batch = items(100).map((each, index) =>
    index === place ? item({ target: { kind: "request", request } }) : each,
  );
  const queue = listQueue();
  const outbox = await newOutbox(queue);
  const rig = newConsumer({ queues: [outbox] });
  const ids = await acceptAll(outbox, batch);
  await vi.waitFor(() => expect(queue.sent).toHaveLength(100));
  let rounds = 0;
  for (; rounds < 20 && (await outbox.describe()).depth > 0; rounds++) {
    await rig.consume(queue.sent.splice(0));
    clock.advance(60_000);
    await outbox.wake();
  }
  expect(rounds).toBeLessThanOrEqual(3);
  expect(rig.seen).toHaveLength(99);
  expect(await viewOf(outbox, ids[place])).toMatchObject({ status: "dead", attempts: 0 });
  expect(await outbox.describe()).toMatchObject({
    depth: 0,
    deadRows: 1,
    counts: { delivered: 99, dead: 1 },
  });
}

it("one job in a hundred that nobody can read is dead, the others are delivered", FAULT_TIMEOUT, async () => {
  await forSeeds(RUNS, poisoned, 1);
});
