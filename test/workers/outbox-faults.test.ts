// Faults at their worst moments, in the real runtime, the object aborted for real: between the writes of a
// transaction, before and behind a send, while an alarm runs; the clock set wrong; the watermark crossed.

import { abortAllDurableObjects, runInDurableObject } from "cloudflare:test";
import { expect, it, vi } from "vitest";
import { SWEEP_MS } from "../../src/delivery/core/sweep.ts";
import { FAULT_TIMEOUT, RUNS, deliverAll, forSeeds, stopClockForEach, type Chance } from "./fault-rig.ts";
import {
  OK,
  TERMS,
  UNAVAILABLE,
  accept,
  acceptAll,
  again,
  alarmOf,
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
  viewOf,
} from "./outbox-rig.ts";

const HOUR_MS = 3_600_000;
/** A crash is cheap to repeat. */
const CRASHES_PER_RUN = 100;

const clock = stopClockForEach();

function keyedItems(count: number) {
  return Array.from({ length: count }, (_, index) =>
    item({ idempotency: { key: `k${index}`, fingerprint: "a".repeat(64) } }),
  );
}

const tally = new Map<string, number>();

async function crashWhileAccepting(chance: Chance): Promise<void> {
  const batch = keyedItems(chance.between(1, 4));
  const queue = listQueue();
  // A job is one write. Behind them all, the answer is held back until they are durable.
  const place = chance.between(0, batch.length + 1);
  const failpoint =
    place < batch.length ? "mid_batch" : place === batch.length ? "after_commit" : "before_publish";
  const outbox = await newOutbox(failpoint === "before_publish" ? queue : undefined);
  await outbox.failAt(failpoint, failpoint === "mid_batch" ? place : 0);
  const answer = await accept(outbox, batch).then(
    (outcomes) => outcomes[0].kind,
    (error: unknown) => String(error),
  );
  expect(answer).toContain(failpoint === "before_publish" ? "accepted" : "failpoint");
  if (failpoint === "before_publish") await outbox.wake().catch(() => {});
  const fresh = await again(outbox);
  const rows = await sql(fresh, "SELECT target IS NOT NULL AS held, scope IS NOT NULL AS keyed FROM jobs");
  const possible = { mid_batch: [0], after_commit: [0, batch.length], before_publish: [batch.length] };
  expect(possible[failpoint]).toContain(rows.length);
  expect(rows.every(({ held, keyed }) => held === 1 && keyed === 1)).toBe(true);
  expect((await fresh.describe()).depth).toBe(rows.length);
  const outcomes = await accept(fresh, batch);
  const expected = rows.length === 0 ? "accepted" : "replayed";
  expect(outcomes.map(({ kind }) => kind)).toEqual(batch.map(() => expected));
  const awake = await again(fresh, queue);
  await awake.wake();
  const ids = outcomes.flatMap((outcome) => ("id" in outcome ? [outcome.id] : []));
  expect(new Set(queue.sent.map(({ id }) => id))).toEqual(new Set(ids));
  expect(await deliverAll(awake, ids)).toBe(ids.length);
  tally.set(`${failpoint} ${expected}`, (tally.get(`${failpoint} ${expected}`) ?? 0) + 1);
}

it("a crash between two writes of an acceptance leaves both or neither", FAULT_TIMEOUT, async () => {
  tally.clear();
  await forSeeds(RUNS * (RUNS > 3 ? CRASHES_PER_RUN : 4), crashWhileAccepting);
  console.info(`crashes while accepting: ${JSON.stringify(Object.fromEntries(tally))}`);
  const seen = [...tally.keys()];
  expect(seen).toEqual(expect.arrayContaining(["mid_batch accepted", "before_publish replayed"]));
  expect(seen).not.toContain("mid_batch replayed");
});

async function crash(chance: Chance): Promise<void> {
  const queue = listQueue();
  const outbox = await newOutbox();
  const acceptedAt = Date.now();
  const ids = await acceptAll(outbox, items(chance.between(1, 100)));
  const alarmAt = (await alarmOf(outbox)) ?? Number.POSITIVE_INFINITY;
  expect(alarmAt).toBeLessThanOrEqual(acceptedAt + SWEEP_MS + 1_000);
  await runInDurableObject(outbox, (instance) => {
    const own: unknown = Reflect.get(instance, "env");
    Reflect.set(instance, "env", { ...Object(own), DELIVERY: queue });
  });
  await outbox.failAt("before_publish");
  await outbox.wake().catch(() => {});
  expect(queue.sent).toEqual([]);
  clock.advance(Math.max(0, alarmAt - Date.now()));
  const fresh = await again(outbox, queue);
  await runAlarm(fresh);
  await vi.waitFor(() => expect(new Set(queue.sent.map(({ id }) => id))).toEqual(new Set(ids)));
  expect(await deliverAll(fresh, ids)).toBe(ids.length);
}

it(
  "a crash before the send is made good by the alarm that was stored with the job",
  FAULT_TIMEOUT,
  async () => {
    await forSeeds(RUNS, crash, 1);
  },
);

it(
  "a queue refuses from exactly its watermark to 0.7 of it, with two changes of mind",
  FAULT_TIMEOUT,
  async () => {
    await forSeeds(RUNS, async (chance) => {
      const highWatermark = chance.between(40, 300);
      const resumeDepth = 0.7 * highWatermark;
      let outbox = await newOutbox();
      const ids: string[] = [];
      const seen: boolean[] = [];
      const offer = async (count: number): Promise<number> => {
        const terms = { ...TERMS, highWatermark };
        const reply = await outbox.accept({
          region: "weur",
          config: "c",
          terms,
          items: items(count),
          refused: 0,
        });
        if (reply.kind !== "answered") throw new Error(reply.kind);
        const added = reply.outcomes.flatMap((each) => (each.kind === "accepted" ? [each.id] : []));
        ids.push(...added);
        seen.push(reply.pressure.rejecting);
        return added.length;
      };
      await offer(0);
      for (let sent = 0; sent < 2 * highWatermark;) {
        const count = chance.between(1, 50);
        sent += count;
        await offer(count);
      }
      expect(ids).toHaveLength(highWatermark);
      await outbox.failAt("mid_batch");
      await run(outbox, ids[0], OK).catch(() => {});
      outbox = await again(outbox);
      while (ids.length > resumeDepth) {
        expect(await offer(1)).toBe(0);
        await deliverAll(outbox, ids.splice(0, Math.min(chance.between(1, 20), ids.length)));
      }
      expect(await offer(1)).toBe(1);
      expect(seen.filter((state, index) => index > 0 && state !== seen[index - 1])).toEqual([true, false]);
    });
  },
);

async function jump(chance: Chance): Promise<void> {
  const jumpMs = chance.pick([-HOUR_MS, HOUR_MS]);
  const queue = listQueue();
  let outbox = await newOutbox(queue);
  const terms = { retry: { attempts: 5, delayMs: 10_000, maxDelayMs: 10_000 }, maxAgeMs: 24 * HOUR_MS };
  const [retried, running, queued] = await acceptAll(outbox, items(3), terms);
  await run(outbox, retried, UNAVAILABLE);
  const job = await claimOne(outbox, running, 30_000);
  clock.advance(jumpMs);
  if (chance.pick([true, false])) {
    await abortAllDurableObjects();
    outbox = await again(outbox, queue);
  }
  await outbox.wake();
  // Ahead, a lease ends early once; its job is given to one other, what the first says is stale.
  const kinds = await claimKinds(outbox, [running]);
  expect(kinds).toEqual([jumpMs > 0 ? "claimed" : "leased"]);
  expect(await settle(outbox, [job], OK)).toEqual([jumpMs > 0 ? "stale" : "succeeded"]);
  clock.advance(SWEEP_MS + 1_000);
  await outbox.wake();
  expect(await run(outbox, queued, OK)).toBe("succeeded");
  expect(await run(outbox, retried, OK)).toBe("succeeded");
  if (jumpMs > 0) await run(outbox, running, OK);
  expect((await outbox.describe()).depth).toBe(0);
  expect((await viewOf(outbox, retried)).attempts).toBe(2);
}

it(
  "a clock that is an hour wrong brings nothing early, and late by a lease at most",
  FAULT_TIMEOUT,
  async () => {
    await forSeeds(RUNS * 2, jump, 1);
  },
);

async function failing(chance: Chance): Promise<void> {
  const queue = listQueue();
  let outbox = await newOutbox();
  const ids = await acceptAll(outbox, items(chance.between(1, 20)));
  for (let failure = 0; failure < 7; failure++) {
    const broken = chance.pick(["sync", "transactionSync"] as const);
    await runInDurableObject(outbox, (_, { storage }) => {
      vi.spyOn(storage, broken).mockImplementation(() => {
        throw new Error("broken");
      });
    });
    clock.advance(SWEEP_MS);
    await runAlarm(outbox).catch(() => {});
    outbox = await again(outbox);
    const alarmAt = (await alarmOf(outbox)) ?? Number.POSITIVE_INFINITY;
    expect(alarmAt).toBeLessThanOrEqual(Date.now() + 60_000);
  }
  await abortAllDurableObjects();
  outbox = await again(outbox, queue);
  await outbox.wake();
  await vi.waitFor(() => expect(new Set(queue.sent.map(({ id }) => id))).toEqual(new Set(ids)));
  expect(await deliverAll(outbox, ids)).toBe(ids.length);
}

it("an alarm that fails seven times is set again within a minute, each time", FAULT_TIMEOUT, async () => {
  await forSeeds(RUNS, failing, 1);
});
