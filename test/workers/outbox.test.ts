// The outbox in the real runtime with real SQLite: what is stored with an acceptance, what a job becomes,
// what restarts and crashes leave behind.

import { abortAllDurableObjects, evictDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it } from "vitest";
import { MAX_INLINE_BODY_BYTES } from "../../src/delivery/core/protocol.ts";
import {
  OK,
  UNAVAILABLE,
  accept,
  acceptAll,
  again,
  claim,
  claimKinds,
  claimOne,
  item,
  items,
  newOutbox,
  requestOf,
  run,
  settle,
  sql,
  stopClock,
  viewOf,
} from "./outbox-rig.ts";

const DAY = 24 * 3600 * 1000;
const BODY = new TextEncoder().encode("a body");

function keyed(key: string, fingerprint = "a", changes = {}) {
  return item({ idempotency: { key, fingerprint: fingerprint.repeat(64) }, ...changes });
}

afterEach(async () => {
  await abortAllDurableObjects();
});

describe("a job", () => {
  it("goes from acceptance over a claim to its result", async () => {
    const outbox = await newOutbox();
    const [id] = await acceptAll(outbox, [item({ body: BODY, path: "/orders?x=1", priority: 0 })]);
    expect(await viewOf(outbox, id)).toMatchObject({ id, status: "queued", attempts: 0, consumer: "acme" });
    const job = await claimOne(outbox, id);
    expect(job).toMatchObject({ id, attempt: 1, lastAttempt: false, priority: 0, region: "weur" });
    expect(requestOf(job)).toEqual({
      method: "POST",
      path: "/orders?x=1",
      headers: [["x-a", "1"]],
      body: BODY,
    });
    expect(await viewOf(outbox, id)).toMatchObject({ status: "running" });
    expect(await settle(outbox, [job], OK)).toEqual(["succeeded"]);
    expect(await outbox.result({ id, waitMs: 0 })).toEqual({
      kind: "result",
      job: await viewOf(outbox, id),
      result: OK.kind === "succeeded" ? OK.result : null,
    });
    expect(await viewOf(outbox, id)).toMatchObject({ status: "succeeded", attempts: 1, hasResult: true });
    expect(await claimKinds(outbox, [id])).toEqual(["done"]);
  });

  it("whose answer was for good has failed and keeps it", async () => {
    const outbox = await newOutbox();
    const [id] = await acceptAll(outbox, [item()]);
    const result = { status: 422, headers: [], body: null };
    expect(await run(outbox, id, { kind: "refused", result })).toBe("failed");
    expect(await outbox.result({ id, waitMs: 0 })).toMatchObject({ kind: "result", result });
  });

  it("that waits is deferred, is not given early, and dies after its last try", async () => {
    const clock = stopClock();
    const outbox = await newOutbox();
    const [id] = await acceptAll(outbox, [item({ body: BODY })]);
    expect(await run(outbox, id, { ...UNAVAILABLE, retryAfterMs: 30_000 })).toBe("deferred");
    const view = await viewOf(outbox, id);
    expect(view).toMatchObject({ status: "deferred", attempts: 1, nextAttemptAt: Date.now() + 30_000 });
    expect(await claimKinds(outbox, [id])).toEqual(["not-due"]);
    clock.advance(30_000);
    expect(await run(outbox, id, { kind: "deferred", forMs: 100, reason: "circuit open" })).toBe("deferred");
    expect(await viewOf(outbox, id)).toMatchObject({ attempts: 1, deferrals: 1, reason: "circuit open" });
    clock.advance(120);
    expect(await run(outbox, id, UNAVAILABLE)).toBe("deferred");
    clock.advance(60_000);
    const last = await claimOne(outbox, id);
    expect(last).toMatchObject({ attempt: 3, lastAttempt: true });
    expect(await settle(outbox, [last], UNAVAILABLE)).toEqual(["dead"]);
    const page = await outbox.dead({ after: null, max: 10 });
    expect(page).toMatchObject({
      kind: "dead",
      next: null,
      items: [{ id, reason: expect.stringContaining("503") }],
    });
    expect(page.kind === "dead" && page.items[0].attempts.map(({ status }) => status)).toEqual([
      503, 503, 503,
    ]);
    expect(await outbox.replay({ ids: [id, "nobody"] })).toEqual({
      kind: "replayed",
      ids: [id],
      notDead: ["nobody"],
    });
    expect(await viewOf(outbox, id)).toMatchObject({ status: "queued", attempts: 0 });
    const replayed = await claimOne(outbox, id);
    expect(requestOf(replayed).body).toEqual(BODY);
    expect(await settle(outbox, [replayed], OK)).toEqual(["succeeded"]);
    clock.restore();
  });

  it("is cancelled before it runs, and not afterwards", async () => {
    const outbox = await newOutbox();
    const [first, second] = await acceptAll(outbox, items(2));
    expect(await outbox.cancel({ id: first, by: "client" })).toMatchObject({
      kind: "cancelled",
      job: { status: "cancelled" },
    });
    expect(await outbox.cancel({ id: first, by: "client" })).toMatchObject({ kind: "started" });
    expect(await claimKinds(outbox, [first])).toEqual(["cancelled"]);
    await claimOne(outbox, second);
    expect(await outbox.cancel({ id: second, by: "operator" })).toMatchObject({ kind: "started" });
    expect((await outbox.describe()).depth).toBe(1);
  });

  it("expires instead of running late", async () => {
    const clock = stopClock();
    const outbox = await newOutbox();
    const [late, swept] = await acceptAll(outbox, [item({ maxAgeMs: 5_000 }), item()], { maxAgeMs: 60_000 });
    clock.advance(5_000);
    expect(await claimKinds(outbox, [late])).toEqual(["expired"]);
    clock.advance(55_000);
    await outbox.wake();
    expect(await viewOf(outbox, swept)).toMatchObject({ status: "expired", hasResult: false });
    expect(await outbox.describe()).toMatchObject({ depth: 0, counts: { expired: 2 } });
    clock.restore();
  });

  it("answers a guessed id like one that never was", async () => {
    const outbox = await newOutbox();
    const [id] = await acceptAll(outbox, [item()]);
    const guess = `${"0".repeat(32)}${id.slice(32)}`;
    expect(await outbox.status(guess)).toEqual({ kind: "unknown" });
    expect(await claimKinds(outbox, [guess, `${id}x`, ""])).toEqual(["unknown", "unknown", "unknown"]);
    expect(await outbox.cancel({ id: guess, by: "client" })).toEqual({ kind: "unknown" });
  });

  it("that ends is told to whoever waits for its result", async () => {
    const outbox = await newOutbox();
    const [id] = await acceptAll(outbox, [item()]);
    const waiting = outbox.result({ id, waitMs: 10_000 });
    await run(outbox, id, OK);
    expect(await waiting).toMatchObject({ kind: "result", result: { status: 200 } });
    const [other] = await acceptAll(outbox, [item()]);
    expect(await outbox.result({ id: other, waitMs: 20 })).toMatchObject({ kind: "none" });
  });
});

describe("a batch", () => {
  it("answers each item by itself", async () => {
    const outbox = await newOutbox();
    const tooLarge = item({ body: new Uint8Array(MAX_INLINE_BODY_BYTES + 1) });
    const fits = item({ body: new Uint8Array(MAX_INLINE_BODY_BYTES) });
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what another version may send
    const broken = { ...item(), priority: 7 } as unknown as ReturnType<typeof item>;
    const outcomes = await accept(outbox, [fits, tooLarge, broken, keyed("k"), keyed("k"), keyed("k", "b")]);
    expect(outcomes.map(({ kind }) => kind)).toEqual([
      "accepted",
      "too-large",
      "malformed",
      "accepted",
      "in-flight",
      "conflict",
    ]);
    expect((await outbox.describe()).depth).toBe(2);
  });
});

describe("an idempotency key", () => {
  it("stands for its job, also after a restart and after the job has ended", async () => {
    const outbox = await newOutbox();
    const [id] = await acceptAll(outbox, [keyed("k")]);
    expect(await accept(outbox, [keyed("k")])).toMatchObject([
      { kind: "replayed", id, job: { status: "queued" } },
    ]);
    expect(await accept(outbox, [keyed("k", "b")])).toEqual([{ kind: "conflict" }]);
    await evictDurableObject(outbox);
    await run(outbox, id, OK);
    expect(await accept(outbox, [keyed("k")])).toMatchObject([
      { kind: "replayed", id, job: { status: "succeeded" } },
    ]);
  });

  it("counts within its tenant and route, and for a day", async () => {
    const clock = stopClock();
    const outbox = await newOutbox();
    const all = [keyed("k"), keyed("k", "a", { tenant: "other" }), keyed("k", "a", { route: "other" })];
    const ids = await acceptAll(outbox, all);
    expect(new Set(ids).size).toBe(3);
    clock.advance(DAY - 1);
    expect(await accept(outbox, [keyed("k")])).toMatchObject([{ kind: "replayed", id: ids[0] }]);
    clock.advance(1);
    const [renewed] = await acceptAll(outbox, [keyed("k", "b")]);
    expect(renewed).not.toBe(ids[0]);
    expect(await accept(outbox, [keyed("k", "b")])).toMatchObject([{ kind: "replayed", id: renewed }]);
    clock.restore();
  });

  it("is answered while new work is refused", async () => {
    const outbox = await newOutbox();
    const [id] = await acceptAll(outbox, [keyed("k")], { highWatermark: 1 });
    expect(await accept(outbox, [keyed("k"), item()], { highWatermark: 1 })).toMatchObject([
      { kind: "replayed", id },
      { kind: "backlog-full" },
    ]);
  });
});

describe("a crash", () => {
  it.each(["mid_batch", "after_commit"] as const)(
    "at %s leaves all of an acceptance or nothing",
    async (failpoint) => {
      const outbox = await newOutbox();
      await outbox.failAt(failpoint);
      await expect(accept(outbox, [keyed("a"), keyed("b")])).rejects.toThrow("failpoint");
      const fresh = await again(outbox);
      const rows = await sql(fresh, "SELECT scope, target IS NOT NULL AS held FROM jobs ORDER BY seq");
      expect(failpoint === "mid_batch" ? [0] : [0, 2]).toContain(rows.length);
      expect((await fresh.describe()).depth).toBe(rows.length);
      const outcomes = await accept(fresh, [keyed("a"), keyed("b")]);
      const expected = rows.length === 0 ? "accepted" : "replayed";
      expect(outcomes.map(({ kind }) => kind)).toEqual([expected, expected]);
      expect((await fresh.describe()).depth).toBe(2);
    },
  );

  it("keeps depth, order and attempts", async () => {
    const clock = stopClock();
    const outbox = await newOutbox();
    const ids = await acceptAll(outbox, [...items(3, { key: "k" }), ...items(2)]);
    await run(outbox, ids[3], UNAVAILABLE);
    await run(outbox, ids[0], UNAVAILABLE);
    await abortAllDurableObjects();
    const fresh = await again(outbox);
    expect(await fresh.describe()).toMatchObject({ depth: 5, deferred: 2 });
    expect(await viewOf(fresh, ids[3])).toMatchObject({ status: "deferred", attempts: 1 });
    expect(await claimKinds(fresh, ids)).toEqual(["not-due", "blocked", "blocked", "not-due", "claimed"]);
    clock.advance(1_200);
    expect(await claimKinds(fresh, ids)).toEqual(["claimed", "blocked", "blocked", "claimed", "leased"]);
    clock.restore();
  });

  it("keeps leases: nobody else gets the job, and its consumer can still settle it", async () => {
    const outbox = await newOutbox();
    const [id] = await acceptAll(outbox, [item()]);
    const job = await claimOne(outbox, id);
    await abortAllDurableObjects();
    const fresh = await again(outbox);
    expect(await claimKinds(fresh, [id])).toEqual(["leased"]);
    expect(await settle(fresh, [job], OK)).toEqual(["succeeded"]);
    expect(await settle(fresh, [job], OK)).toEqual(["stale"]);
  });

  it("does not make a fence count twice", async () => {
    const clock = stopClock();
    const outbox = await newOutbox();
    const [id] = await acceptAll(outbox, [item()]);
    const first = await claimOne(outbox, id);
    clock.advance(30_000);
    const second = await claimOne(outbox, id);
    expect(second.fence).toBeGreaterThan(first.fence);
    await abortAllDurableObjects();
    const fresh = await again(outbox);
    expect(await settle(fresh, [first], UNAVAILABLE)).toEqual(["stale"]);
    expect(await settle(fresh, [second], OK)).toEqual(["succeeded"]);
    clock.restore();
  });
});

describe("order per key", () => {
  it("gives one job of a key at a time, whatever order the pointers come in", async () => {
    const outbox = await newOutbox();
    const ids = await acceptAll(outbox, [item({ key: "k" }), item({ key: "k" }), item({ key: "l" })]);
    expect(await claimKinds(outbox, ids.toReversed())).toEqual(["claimed", "blocked", "claimed"]);
    const again2 = await claim(outbox, [ids[0]]);
    expect(again2).toMatchObject([{ kind: "skipped", reason: "leased" }]);
  });

  it("is blocked by a dead head until it is replayed or passed, if the queue says so", async () => {
    const outbox = await newOutbox();
    const terms = { retry: { attempts: 1, delayMs: 0, maxDelayMs: 0 } };
    const ids = await acceptAll(outbox, items(3, { key: "k" }), terms);
    expect(await run(outbox, ids[0], UNAVAILABLE)).toBe("dead");
    expect(await claimKinds(outbox, [ids[1]])).toEqual(["blocked"]);
    await evictDurableObject(outbox);
    expect(await claimKinds(outbox, [ids[1]])).toEqual(["blocked"]);
    expect(await outbox.describe()).toMatchObject({ blockedKeys: 1, deadRows: 1, depth: 2 });
    expect(await outbox.dead({ after: null, max: 1 })).toMatchObject({ items: [{ blocking: true }] });
    await outbox.replay({ ids: [ids[0]] });
    expect(await claimKinds(outbox, [ids[1]])).toEqual(["blocked"]);
    expect(await run(outbox, ids[0], UNAVAILABLE)).toBe("dead");
    expect(await outbox.skip(ids[0])).toMatchObject({ kind: "skipped", job: { status: "dead" } });
    await evictDurableObject(outbox);
    expect(await run(outbox, ids[1], OK)).toBe("succeeded");
    expect(await outbox.describe()).toMatchObject({ blockedKeys: 0, deadRows: 1, depth: 1 });
  });

  it("passes a dead head where the queue says so", async () => {
    const outbox = await newOutbox();
    const terms = { retry: { attempts: 1, delayMs: 0, maxDelayMs: 0 }, onDeadHead: "skip" as const };
    const ids = await acceptAll(outbox, items(2, { key: "k" }), terms);
    expect(await run(outbox, ids[0], UNAVAILABLE)).toBe("dead");
    expect(await run(outbox, ids[1], OK)).toBe("succeeded");
  });
});

describe("poison", () => {
  it("is dead the second time that a consumer cannot read it", async () => {
    const clock = stopClock();
    const outbox = await newOutbox();
    const [id] = await acceptAll(outbox, [item()]);
    expect(await run(outbox, id, { kind: "poison", error: "no JSON" })).toBe("deferred");
    clock.advance(60_000);
    expect(await run(outbox, id, { kind: "poison", error: "no JSON" })).toBe("dead");
    expect(await viewOf(outbox, id)).toMatchObject({
      attempts: 0,
      reason: expect.stringContaining("no JSON"),
    });
    clock.restore();
  });

  it("is not suspected of a job whose consumer died once: all of a batch are given together again", async () => {
    const clock = stopClock();
    const outbox = await newOutbox();
    const ids = await acceptAll(outbox, items(20));
    await claim(outbox, ids);
    clock.advance(30_000);
    expect(await claimKinds(outbox, ids)).toEqual(ids.map(() => "claimed"));
    clock.advance(30_000);
    const third = await claimKinds(outbox, ids);
    expect(third.filter((kind) => kind === "claimed")).toHaveLength(1);
    expect(third.filter((kind) => kind === "put-back")).toHaveLength(19);
    clock.restore();
  });

  it("that kills its consumers runs alone, then is dead; the others of its batch are delivered", async () => {
    const clock = stopClock();
    const outbox = await newOutbox();
    const ids = await acceptAll(outbox, items(20));
    const poisoned = ids[7];
    const delivered: string[] = [];
    let rounds = 0;
    for (; rounds < 100 && (await outbox.describe()).depth > 0; rounds++) {
      const jobs = (await claim(outbox, ids)).filter((each) => each.kind === "claimed");
      // The consumer of the poisoned job says nothing of any of its jobs.
      if (!jobs.some(({ id }) => id === poisoned)) {
        await settle(outbox, jobs, OK);
        delivered.push(...jobs.map(({ id }) => id));
      }
      clock.advance(30_000);
    }
    expect(delivered.toSorted()).toEqual(ids.filter((id) => id !== poisoned).toSorted());
    expect(await viewOf(outbox, poisoned)).toMatchObject({ status: "dead" });
    expect((await outbox.describe()).deadRows).toBe(1);
    expect(rounds).toBeLessThan(30);
    clock.restore();
  });
});
