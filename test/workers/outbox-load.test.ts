// The outbox under load: where refusing begins and ends, what producers are told, and what a job costs in
// rows, which are most of its price.

import { abortAllDurableObjects } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ALERT_AFTER_MS } from "../../src/delivery/core/alert.ts";
import { COLLECT_PAUSE_MS, RETENTION_MS } from "../../src/delivery/core/collect.ts";
import type { AcceptItem, Pressure, QueueTerms, SettleReply } from "../../src/delivery/core/protocol.ts";
import {
  OK,
  TERMS,
  acceptAll,
  again,
  claim,
  claimOne,
  item,
  items,
  listQueue,
  newOutbox,
  settle,
  stopClock,
  type Stub,
  written,
} from "./outbox-rig.ts";

const BATCH = 100;

afterEach(async () => {
  await abortAllDurableObjects();
});

interface Offered {
  readonly ids: readonly string[];
  readonly refused: number;
  readonly pressure: Pressure;
}

async function offer(stub: Stub, batch: readonly AcceptItem[], terms: QueueTerms): Promise<Offered> {
  const reply = await stub.accept({ region: "weur", config: "c", terms, items: batch, refused: 0 });
  if (reply.kind !== "answered") throw new Error("malformed");
  const ids = reply.outcomes.flatMap((outcome) => (outcome.kind === "accepted" ? [outcome.id] : []));
  return { ids, refused: reply.outcomes.length - ids.length, pressure: reply.pressure };
}

async function deliver(stub: Stub, ids: readonly string[]): Promise<void> {
  const jobs = (await claim(stub, ids)).filter((each) => each.kind === "claimed");
  expect(jobs).toHaveLength(ids.length);
  await settle(stub, jobs, OK);
}

describe("the watermark", () => {
  it("refuses from exactly 10,000 of 20,000 on, P0 from 12,500, until 7,000, with two changes of mind", async () => {
    const clock = stopClock();
    let outbox = await newOutbox();
    const terms = { ...TERMS, highWatermark: 10_000 };
    const ids: string[] = [];
    const states: boolean[] = [];
    let refused = 0;
    for (let sent = 0; sent < 20_000; sent += BATCH) {
      // An odd batch, so that the watermark is reached in the middle of one.
      const reply = await offer(outbox, items(sent === 0 ? 50 : BATCH), terms);
      ids.push(...reply.ids);
      refused += reply.refused;
      states.push(reply.pressure.rejecting);
      expect(reply.pressure.rejectingCritical).toBe(false);
    }
    expect(ids).toHaveLength(10_000);
    expect(refused).toBe(9_950);
    for (let sent = 0; sent < 3_000; sent += BATCH) {
      const reply = await offer(outbox, items(BATCH, { priority: 0 }), terms);
      ids.push(...reply.ids);
      states.push(reply.pressure.rejecting);
      expect(reply.pressure.rejectingCritical).toBe(ids.length === 12_500);
    }
    expect(ids).toHaveLength(12_500);
    // What is refused stays so over a crash.
    await abortAllDurableObjects();
    outbox = await again(outbox);
    const waits: number[] = [];
    while (ids.length > 7_000) {
      const { pressure } = await offer(outbox, [], terms);
      states.push(pressure.rejecting);
      waits.push(pressure.retryAfterMs);
      await deliver(outbox, ids.splice(0, BATCH));
      clock.advance(100);
    }
    const { pressure } = await offer(outbox, items(1), terms);
    expect(pressure).toMatchObject({
      depth: 7_001,
      rejecting: false,
      rejectingCritical: false,
      retryAfterMs: 0,
    });
    states.push(pressure.rejecting);
    const changes = states.filter((state, index) => index > 0 && state !== states[index - 1]);
    expect(changes).toEqual([true, false]);
    expect(waits[0]).toBe(300_000);
    // 1,000 jobs a second drain: the last 100 over the mark are gone in well under a second.
    expect(waits.at(-1)).toBe(1_000);
    expect(await outbox.describe()).toMatchObject({ depth: 7_001, rejecting: false });
    clock.restore();
  }, 120_000);

  it("tells producers to wait longer and longer while nothing drains", async () => {
    const clock = stopClock();
    const outbox = await newOutbox();
    const terms = { ...TERMS, highWatermark: 100, resumeAt: 0.5 };
    const { ids } = await offer(outbox, items(100), terms);
    for (const id of ids.slice(0, 20)) {
      await deliver(outbox, [id]);
      clock.advance(50);
    }
    let last = 0;
    for (let second = 0; second < 120; second++) {
      const { pressure } = await offer(outbox, items(1), terms);
      expect(pressure.retryAfterMs).toBeGreaterThanOrEqual(last);
      last = pressure.retryAfterMs;
      clock.advance(1_000);
    }
    expect(last).toBe(300_000);
    clock.restore();
  });

  it("of two versions of the configuration holds for each of them", async () => {
    const outbox = await newOutbox();
    const low = { ...TERMS, highWatermark: 10 };
    const high = { ...TERMS, highWatermark: 1_000 };
    await offer(outbox, items(10), low);
    expect((await offer(outbox, items(5), high)).refused).toBe(0);
    expect((await offer(outbox, items(5), low)).refused).toBe(5);
    expect((await offer(outbox, items(5), high)).refused).toBe(0);
  });

  it("counts what isolates refused by themselves", async () => {
    const outbox = await newOutbox();
    await outbox.accept({ region: "weur", config: "c", terms: TERMS, items: [], refused: 7 });
    expect((await outbox.describe()).counts.rejected).toBe(7);
  });
});

describe("the alert", () => {
  it("is raised once after a minute, cleared below 0.7, and kept over a restart", async () => {
    const clock = stopClock();
    const log = vi.spyOn(console, "warn").mockImplementation(() => {});
    let outbox = await newOutbox();
    const terms = { ...TERMS, alertAt: 10 };
    const { ids } = await offer(outbox, items(11), terms);
    clock.advance(ALERT_AFTER_MS - 1);
    await outbox.wake();
    expect((await outbox.describe()).alert).toBe(false);
    clock.advance(1);
    await outbox.wake();
    expect((await outbox.describe()).alert).toBe(true);
    await outbox.wake();
    await abortAllDurableObjects();
    outbox = await again(outbox);
    await outbox.wake();
    expect((await outbox.describe()).alert).toBe(true);
    expect(log).toHaveBeenCalledTimes(1);
    await deliver(outbox, ids.slice(0, 4));
    expect((await outbox.describe()).alert).toBe(true);
    await deliver(outbox, ids.slice(4, 5));
    expect((await outbox.describe()).alert).toBe(false);
    expect(log.mock.calls.map(([line]) => JSON.parse(String(line)).event)).toEqual([
      "outbox-lag-alert",
      "outbox-lag-alert-cleared",
    ]);
    log.mockRestore();
    clock.restore();
  });
});

/** List prices of 2026 in dollars per million; a message is three operations of a queue. */
const PRICE = { row: 1, call: 0.15, message: 1.2 };

const JOBS = 300;
const PRICE_TIMEOUT = { timeout: 30_000 };

describe("a job's price", () => {
  it.each([
    { name: "without an idempotency key", keyed: false, claimed: 100, most: 3.05, dollars: 5.5 },
    { name: "with one", keyed: true, claimed: 100, most: 4.05, dollars: 5.5 },
    { name: "claimed in tens", keyed: false, claimed: 10, most: 3.15, dollars: 5.5 },
    // A queue that is nearly idle: what costs too much by the piece costs little in all.
    { name: "claimed alone", keyed: false, claimed: 1, most: 4.1, dollars: 5.6 },
  ])(
    "$name has its price per million at list price",
    PRICE_TIMEOUT,
    async ({ name, keyed, claimed, most, ...price }) => {
      const clock = stopClock();
      const queue = listQueue();
      const outbox = await newOutbox(queue);
      await acceptAll(outbox, items(1));
      let calls = 0;
      const { rows, alarms } = await written(outbox, async () => {
        for (let sent = 0; sent < JOBS; sent += 10) {
          const batch = Array.from({ length: 10 }, (_, index) => {
            const key = { key: `${sent + index}`, fingerprint: "a".repeat(64) };
            return item({ idempotency: keyed ? key : null });
          });
          await acceptAll(outbox, batch);
          calls += 1;
          clock.advance(10);
        }
        await vi.waitFor(() => expect(queue.sent).toHaveLength(JOBS + 1));
        const ids = queue.sent.map(({ id }) => id);
        while (ids.length > 0) {
          await deliver(outbox, ids.splice(0, claimed));
          calls += 2;
          clock.advance(50);
        }
        clock.advance(RETENTION_MS + COLLECT_PAUSE_MS);
        await outbox.wake();
        clock.advance(COLLECT_PAUSE_MS);
        await outbox.wake();
        calls += 2;
      });
      const rowsPerJob = (rows + alarms) / JOBS;
      const dollars = rowsPerJob * PRICE.row + PRICE.message + (calls / JOBS) * PRICE.call;
      console.info(`${name}: ${rowsPerJob.toFixed(3)} rows per job, $${dollars.toFixed(2)} per million jobs`);
      expect(rowsPerJob).toBeLessThan(most);
      expect(dollars).toBeLessThan(price.dollars);
      clock.restore();
    },
  );

  // The dearest way: each is given alone to whoever has just settled the one before it.
  it.each([
    { name: "in the order of a key", keyed: false, most: 4.1 },
    { name: "in order, with an idempotency key", keyed: true, most: 5.1 },
  ])(
    "$name stays below 5.50 dollars per million, at one job a call",
    PRICE_TIMEOUT,
    async ({ name, keyed, most }) => {
      const clock = stopClock();
      const queue = listQueue();
      const outbox = await newOutbox(queue);
      await acceptAll(outbox, items(1));
      let calls = 0;
      const { rows, alarms } = await written(outbox, async () => {
        for (let sent = 0; sent < JOBS; sent += 10) {
          const batch = Array.from({ length: 10 }, (_, index) => {
            const key = { key: `${sent + index}`, fingerprint: "a".repeat(64) };
            return item({ key: "a", idempotency: keyed ? key : null });
          });
          await acceptAll(outbox, batch);
          calls += 1;
          clock.advance(10);
        }
        const [head] = await vi.waitFor(() => {
          expect(queue.sent).toHaveLength(2);
          return queue.sent.slice(1);
        });
        let job: { readonly id: string; readonly fence: number } = await claimOne(outbox, head.id);
        const next = { leaseMs: 30_000, claimant: "test" };
        for (let done = 0; done < JOBS; done++) {
          const settlements = [{ id: job.id, fence: job.fence, outcome: OK, tookMs: 5 }];
          // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a stub's type knows no pairs
          const reply = (await outbox.settle({ settlements, next })) as SettleReply;
          calls += 1;
          if (reply.kind === "answered" && reply.next !== undefined) job = reply.next[0] ?? job;
          clock.advance(5);
        }
        expect((await outbox.describe()).counts.delivered).toBe(JOBS);
        clock.advance(RETENTION_MS + COLLECT_PAUSE_MS);
        await outbox.wake();
        clock.advance(COLLECT_PAUSE_MS);
        await outbox.wake();
        calls += 2;
      });
      const perJob = {
        rows: (rows + alarms) / JOBS,
        messages: queue.sent.length / JOBS,
        calls: calls / JOBS,
      };
      const dollars = perJob.rows * PRICE.row + perJob.messages * PRICE.message + perJob.calls * PRICE.call;
      console.info(`${name}: ${JSON.stringify(perJob)}, $${dollars.toFixed(2)} per million jobs`);
      expect(perJob.rows).toBeLessThan(most);
      expect(dollars).toBeLessThan(5.5);
      clock.restore();
    },
  );
});
