// Behaviours of peers that ours shares, under their names: what an outbox of events does as Svix, Convoy,
// Outpost, namastack and pg-boss do. What they do otherwise stands in docs/events.md.

import { evictDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { QueueTerms } from "../../src/delivery/core/protocol.ts";
import { event, eventIds, eventItem, events, outboxOf, publish, subscription } from "./events-rig.ts";
import {
  OK,
  TERMS,
  UNAVAILABLE,
  acceptAll,
  bind,
  claim,
  claimKinds,
  claimOne,
  run,
  settle,
  sql,
  stopClock,
} from "./outbox-rig.ts";

const SOON = { timeout: 5_000, interval: 10 };
const HOUR_MS = 3600 * 1000;
const WEBHOOK: QueueTerms = {
  ...TERMS,
  retry: { attempts: 3, delayMs: 1_000, maxDelayMs: HOUR_MS },
  delivery: "webhook",
};

const clocks: { restore(): void }[] = [];
afterEach(() => clocks.splice(0).forEach((clock) => clock.restore()));

async function receiver() {
  const stub = outboxOf(subscription({ delivery: "webhook" }));
  await bind(stub, { DELIVERY: undefined });
  return stub;
}

const acceptEvents = async (
  stub: Awaited<ReturnType<typeof receiver>>,
  ids: readonly string[],
  terms = WEBHOOK,
) =>
  acceptAll(
    stub,
    ids.map((id) => eventItem(event(id))),
    terms,
  );

const keyed = (key: string, id: string) => ({ ...eventItem(event(id)), key });

describe("Svix", () => {
  it("a failed message is recorded, then tried again", async () => {
    const stub = await receiver();
    const [id] = await acceptEvents(stub, ["a"]);
    const clock = stopClock();
    clocks.push(clock);
    expect(await run(stub, id, UNAVAILABLE)).toBe("deferred");
    clock.advance(HOUR_MS);
    expect(await claimOne(stub, id)).toMatchObject({ attempt: 2 });
  });

  it("an event that is published while it is being stored is in flight, and known afterwards", async () => {
    const to = subscription();
    const once = event(`${to.name}-once`);
    expect((await publish([once, once], [to], { keyed: true })).map(({ kind }) => kind)).toEqual([
      "accepted",
      "in-flight",
    ]);
    expect((await publish([once], [to], { keyed: true })).map(({ kind }) => kind)).toEqual(["replayed"]);
    await vi.waitFor(async () => expect((await outboxOf(to).describe()).depth).toBe(1), SOON);
  });

  it("many consumers pull, and none gets what another one has", async () => {
    const to = subscription();
    const ids = Array.from({ length: 40 }, (_, index) => `${to.name}-${index}`);
    await publish(
      ids.map((id) => event(id)),
      [to],
    );
    await vi.waitFor(async () => expect((await outboxOf(to).describe()).depth).toBe(40), SOON);
    const pulls = await Promise.all(
      Array.from({ length: 8 }, () => outboxOf(to).pull({ max: 7, leaseMs: 30_000 })),
    );
    const taken = pulls.flatMap((pull) => (pull.kind === "pulled" ? pull.jobs.map(({ id }) => id) : []));
    expect(taken).toHaveLength(40);
    expect(new Set(taken).size).toBe(40);
  });
});

describe("Convoy", () => {
  it("an event that was handed over already is skipped", async () => {
    const to = subscription();
    await publish([event("one")], [to]);
    await vi.waitFor(async () => expect(await eventIds(outboxOf(to))).toEqual(["one"]), SOON);
    // A cursor that is behind makes the outbox of the events offer it once more.
    await sql(events(), `UPDATE routes SET cursor = 0 WHERE name = '${to.name}'`);
    await evictDurableObject(events());
    await events().wake();
    await vi.waitFor(async () => {
      expect((await outboxOf(to).describe()).counts).toMatchObject({ accepted: 1, duplicates: 1 });
    }, SOON);
    expect(await eventIds(outboxOf(to))).toEqual(["one"]);
  });

  it("a try by hand that succeeds enables its receiver", async () => {
    const stub = await receiver();
    const [id] = await acceptEvents(stub, ["a"]);
    await run(stub, id, { ...UNAVAILABLE, status: 410, endpoint: "gone" });
    expect(await stub.describe()).toMatchObject({ deadRows: 1, endpoint: { disabled: { reason: "gone" } } });
    await stub.replay({ ids: [id] });
    expect(await run(stub, id, OK)).toBe("succeeded");
    expect(await stub.describe()).toMatchObject({ depth: 0, deadRows: 0, endpoint: null });
  });
});

describe("Outpost", () => {
  it("an attempt that is told twice counts once", async () => {
    const stub = await receiver();
    const [id] = await acceptEvents(stub, ["a"]);
    const leased = await claimOne(stub, id);
    expect(await settle(stub, [leased], UNAVAILABLE)).toEqual(["deferred"]);
    expect(await settle(stub, [leased], UNAVAILABLE)).toEqual(["stale"]);
    expect((await stub.describe()).endpoint).toMatchObject({ failuresInRow: 1 });
  });

  it("two replays by hand both run", async () => {
    const to = subscription();
    const id = `${to.name}-a`;
    await publish([event(id)], [to]);
    await vi.waitFor(async () => expect((await outboxOf(to).describe()).depth).toBe(1), SOON);
    for (const depth of [2, 3]) {
      await events().replayEvents(to.name, { ids: [id] });
      await vi.waitFor(async () => expect((await outboxOf(to).describe()).depth).toBe(depth), SOON);
    }
  });
});

describe("namastack", () => {
  it("events of one key go one after the other, those of others beside them", async () => {
    const stub = await receiver();
    const ids = await acceptAll(stub, [keyed("k", "a"), keyed("k", "b"), keyed("other", "c")], WEBHOOK);
    expect(await claimKinds(stub, ids)).toEqual(["claimed", "blocked", "claimed"]);
  });

  it.for(["block", "skip"] as const)(
    "after the first failure for good the key does: %s",
    async (onDeadHead) => {
      const stub = await receiver();
      const [a, b] = await acceptAll(stub, [keyed("k", "a"), keyed("k", "b")], { ...WEBHOOK, onDeadHead });
      await run(stub, a, { kind: "poison", error: "no", final: true });
      expect(await claimKinds(stub, [b])).toEqual([onDeadHead === "block" ? "blocked" : "claimed"]);
    },
  );
});

describe("pg-boss", () => {
  it("a strict key is blocked by what is active, waits for its retry or has failed, until that is tried again", async () => {
    const stub = await receiver();
    const clock = stopClock();
    clocks.push(clock);
    const [a, b] = await acceptAll(stub, [keyed("k", "a"), keyed("k", "b")], WEBHOOK);
    for (let attempt = 1; attempt <= WEBHOOK.retry.attempts; attempt++) {
      const leased = await claimOne(stub, a);
      expect(await claimKinds(stub, [b])).toEqual(["blocked"]);
      await settle(stub, [leased], UNAVAILABLE);
      expect(await claimKinds(stub, [b])).toEqual(["blocked"]);
      clock.advance(2 * HOUR_MS);
    }
    expect(await stub.describe()).toMatchObject({ blockedKeys: 1, deadRows: 1 });
    await stub.replay({ ids: [a] });
    expect(await run(stub, a, OK)).toBe("succeeded");
    expect(await run(stub, b, OK)).toBe("succeeded");
  });

  it("each job of a batch has its own result; what nobody speaks of is tried again", async () => {
    const stub = await receiver();
    const clock = stopClock();
    clocks.push(clock);
    const ids = await acceptEvents(stub, ["a", "b", "c"]);
    const claimed = await claim(stub, ids, 30_000);
    const [a, b] = claimed.filter((each) => each.kind === "claimed");
    expect(await settle(stub, [a], OK)).toEqual(["succeeded"]);
    expect(await settle(stub, [b], UNAVAILABLE)).toEqual(["deferred"]);
    clock.advance(HOUR_MS);
    await stub.wake();
    // One whose consumer died runs alone.
    for (const [id, kind] of [
      [ids[0], "done"],
      [ids[1], "claimed"],
      [ids[2], "claimed"],
    ]) {
      expect(await claimKinds(stub, [id])).toEqual([kind]);
    }
  });

  it("dead jobs are tried again by the time at which they died, so many per second", async () => {
    const stub = await receiver();
    const clock = stopClock();
    clocks.push(clock);
    const ids = await acceptEvents(stub, ["a", "b", "c"]);
    for (const id of ids) {
      await run(stub, id, { kind: "poison", error: "no", final: true });
      clock.advance(1_000);
    }
    const since = Date.now() - 2_500;
    expect(await stub.replay({ since, until: Date.now(), rate: 1 })).toEqual({
      kind: "replaying",
      matching: 2,
    });
    clock.advance(1_000);
    await stub.wake();
    expect(await stub.describe()).toMatchObject({ depth: 1, deadRows: 2 });
    clock.advance(1_000);
    await stub.wake();
    expect(await stub.describe()).toMatchObject({ depth: 2, deadRows: 1 });
  });

  it("a clock that goes back brings no job a second time", async () => {
    const stub = await receiver();
    const clock = stopClock();
    clocks.push(clock);
    const [id] = await acceptEvents(stub, ["a"]);
    const leased = await claimOne(stub, id);
    clock.advance(-HOUR_MS);
    await stub.wake();
    expect(await claimKinds(stub, [id])).toEqual(["leased"]);
    expect(await settle(stub, [leased], OK)).toEqual(["succeeded"]);
    clock.advance(2 * HOUR_MS);
    await stub.wake();
    expect(await claimKinds(stub, [id])).toEqual(["done"]);
  });
});
