// Reactions inside workerd: their outbox and that of the events, killed at every place between the answer of
// an upstream and the event that tells of it; deadlines; and what is full.

import { evictDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Failpoint } from "../../durable-objects/outbox/failpoints.ts";
import type { OutboxNamespace } from "../../durable-objects/outbox/offer.ts";
import type { DeliveryOutcome } from "../../src/delivery/core/protocol.ts";
import { MAX_WAITING_SEQUELS } from "../../src/delivery/core/sequel-relay.ts";
import { event, eventIds, events, outboxOf, publish, subscription } from "./events-rig.ts";
import { FAULT_TIMEOUT, RUNS, forSeeds, type Chance } from "./fault-rig.ts";
import {
  TERMS,
  UNAVAILABLE,
  alarmOf,
  bind,
  claim,
  claimKinds,
  claimOne,
  settle,
  sql,
  stopClock,
  viewOf,
  written,
} from "./outbox-rig.ts";
import {
  ANSWER,
  HOUR_MS,
  REFUSAL,
  SOON,
  begin,
  caused,
  fresh,
  hear,
  newReaction,
  type Pair,
} from "./reactions-rig.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

function frozen(): ReturnType<typeof stopClock> {
  const clock = stopClock();
  cleanups.push(() => clock.restore());
  return clock;
}

describe("the outcome of a reaction", () => {
  it("is an event that says what it follows from, and what was answered", async () => {
    const pair = newReaction();
    const cause = caused(pair, "a", { subject: "o-1", extensions: { partitionkey: "k", other: 1 } });
    const [id] = await begin(pair, [cause]);
    expect(
      await settle(outboxOf(pair.reaction), [await claimOne(outboxOf(pair.reaction), id)], ANSWER),
    ).toEqual(["succeeded"]);
    const [told] = await hear(pair, 1);
    expect(told).toMatchObject({
      id: expect.stringMatching(/^[0-9a-f]{32}-ok$/),
      source: `/test/reactions/${pair.reaction.name}`,
      type: `${pair.reaction.name}.ok`,
      subject: "o-1",
      extensions: { correlationid: "a", causationid: "a", hops: 1, partitionkey: "k" },
      data: { kind: "json", text: `{"id":"a","${pair.reaction.name}":{"id":"r-1"}}` },
    });
    expect(told.extensions).not.toHaveProperty("other");
    expect(told.id).toBe(`${String(told.extensions["requestkey"])}-ok`);
  });

  it("has the same id whoever makes it, and another for each source, reaction and ending", async () => {
    const [one, other] = [newReaction(), newReaction()];
    const same = [caused(one, "a", { source: "/x" }), caused(one, "a", { source: "/y" })];
    const ids = await begin(one, same, [other]);
    const stub = outboxOf(one.reaction);
    await settle(stub, [await claimOne(stub, ids[0])], ANSWER);
    await settle(stub, [await claimOne(stub, ids[1])], REFUSAL);
    const [id] = await begin(other, [caused(other, "a", { source: "/x" })], [one]);
    await settle(outboxOf(other.reaction), [await claimOne(outboxOf(other.reaction), id)], ANSWER);
    const all = [...(await hear(one, 2)), ...(await hear(other, 1))].map((told) => told.id);
    expect(new Set(all).size).toBe(3);
    // What failed and is done again by an operator is another piece of news; failing again is none.
    await stub.replay({ ids: [ids[1]] });
    await settle(stub, [await claimOne(stub, ids[1])], REFUSAL);
    await stub.replay({ ids: [ids[1]] });
    await settle(stub, [await claimOne(stub, ids[1])], ANSWER);
    const again = (await hear(one, 3)).map((told) => told.id);
    expect(again[2]).toBe(all[1].replace("-failed", "-ok"));
  });

  const HOPELESS = { kind: "hopeless", reason: "data.sku is missing" } as const;
  for (const [ending, outcomes, status] of [
    ["refused", [REFUSAL], "failed"],
    ["out of tries", Array<DeliveryOutcome>(TERMS.retry.attempts).fill(UNAVAILABLE), "dead"],
    ["hopeless", [HOPELESS], "dead"],
    ["cancelled", [], "cancelled"],
  ] as const) {
    it(`is the event of a failure when it is ${ending}`, async () => {
      const clock = frozen();
      const pair = newReaction();
      const [id] = await begin(pair, [caused(pair, "a")]);
      const stub = outboxOf(pair.reaction);
      for (const outcome of outcomes) {
        await settle(stub, [await claimOne(stub, id)], outcome);
        clock.advance(60_000);
      }
      if (outcomes.length === 0) await stub.cancel({ id, by: "operator" });
      expect(await viewOf(stub, id)).toMatchObject({ status });
      const [told] = await hear(pair, 1);
      expect(told.type).toBe(`${pair.reaction.name}.failed`);
      const { error } = JSON.parse(told.data.kind === "json" ? told.data.text : "{}");
      expect(error).toMatchObject({ reaction: pair.reaction.name, reason: expect.any(String) });
    });
  }

  it("is the event of a failure when its consumers die, three times", async () => {
    const clock = frozen();
    const pair = newReaction();
    const [id] = await begin(pair, [caused(pair, "a")]);
    const stub = outboxOf(pair.reaction);
    for (let deaths = 0; deaths < 3; deaths++) {
      expect(await claimKinds(stub, [id])).toEqual(["claimed"]);
      clock.advance(31_000);
      await stub.wake();
    }
    expect(await viewOf(stub, id)).toMatchObject({ status: "dead" });
    expect((await hear(pair, 1))[0].type).toBe(`${pair.reaction.name}.failed`);
  });

  it("that nobody is told of is a dead letter", async () => {
    const clock = frozen();
    const pair = newReaction({ failed: null, deadline: null });
    const [refused, late] = await begin(pair, [caused(pair, "a"), caused(pair, "b")]);
    const stub = outboxOf(pair.reaction);
    expect(await settle(stub, [await claimOne(stub, refused)], REFUSAL)).toEqual(["dead"]);
    clock.advance(HOUR_MS);
    await stub.wake();
    expect(await viewOf(stub, late)).toMatchObject({ status: "dead" });
    const dead = await stub.dead({ after: null, max: 10 });
    expect(dead.kind === "dead" ? dead.items.map(({ reason }) => reason) : dead).toEqual([
      "the upstream answered 422",
      "it was not done within its time",
    ]);
  });

  it("follows in the order of a key", async () => {
    const pair = newReaction({}, true);
    const ids = await begin(
      pair,
      ["a", "b", "c"].map((id) => caused(pair, id, { subject: "s" })),
    );
    const stub = outboxOf(pair.reaction);
    const told: string[] = [];
    for (const [index, id] of ids.entries()) {
      expect(await claimKinds(stub, ids.slice(index + 1))).toEqual(ids.slice(index + 1).map(() => "blocked"));
      await settle(stub, [await claimOne(stub, id)], index === 1 ? REFUSAL : ANSWER);
      told.push(
        ...(await hear(pair, index + 1))
          .slice(index)
          .map(({ extensions }) => String(extensions["causationid"])),
      );
    }
    expect(told).toEqual(["a", "b", "c"]);
  });
});

/** On two cores that others use too. */
const PATIENTLY = { timeout: 30_000, interval: 20 };
const KILLED_TIMEOUT = { timeout: 60_000 };

describe("a reaction that is killed", KILLED_TIMEOUT, () => {
  const UNSAID = [["no answer"]];
  const SAID_OR_NOT = [["no answer"], ["succeeded"]];
  for (const [failpoint, survived, says] of [
    ["mid_batch", 0, UNSAID],
    ["mid_batch", 1, UNSAID],
    ["after_settle", 0, UNSAID],
    ["before_sequel", 0, SAID_OR_NOT],
    ["after_sequel", 0, SAID_OR_NOT],
  ] as const) {
    it(`at ${failpoint} ${survived} loses no outcome and makes no second one`, async () => {
      const pair = newReaction();
      const [id] = await begin(pair, [caused(pair, "a")]);
      const stub = outboxOf(pair.reaction);
      const job = await claimOne(stub, id);
      expect(await stub.failAt(failpoint, survived)).toBe(true);
      const said = await settle(stub, [job], ANSWER).catch(() => ["no answer"]);
      await vi.waitFor(async () => {
        const [again] = await settle(await fresh(pair), [job], ANSWER);
        expect(["succeeded", "stale"]).toContain(again);
      }, PATIENTLY);
      expect(says).toContainEqual(said);
      const [told] = await hear(pair, 1);
      expect(told.id).toMatch(/^[0-9a-f]{32}-ok$/);
      await vi.waitFor(async () => {
        const { sequels, depth } = await (await fresh(pair)).describe();
        expect({ sequels, depth }).toEqual({ sequels: { count: 0, oldestAgeMs: 0, reason: null }, depth: 0 });
      }, PATIENTLY);
      expect(await eventIds(outboxOf(pair.log))).toEqual([told.id]);
    });
  }

  for (const failpoint of ["mid_batch", "after_commit"] as const) {
    it(`asks again when the outbox of the events dies at ${failpoint} over an outcome`, async () => {
      const pair = newReaction();
      const [id] = await begin(pair, [caused(pair, "a")]);
      const stub = outboxOf(pair.reaction);
      const job = await claimOne(stub, id);
      await vi.waitFor(async () => expect((await events().describe()).depth).toBe(0), PATIENTLY);
      await bind(events(), { TIDEGATE_LOCAL: "1" });
      const quiet = vi.spyOn(console, "error").mockImplementation(() => {});
      cleanups.push(() => quiet.mockRestore());
      expect(await events().failAt(failpoint)).toBe(true);
      expect(await settle(stub, [job], ANSWER)).toEqual(["succeeded"]);
      const [told] = await hear(pair, 1);
      await vi.waitFor(async () => expect((await stub.describe()).sequels?.count).toBe(0), PATIENTLY);
      expect(await eventIds(outboxOf(pair.log))).toEqual([told.id]);
      const copies = await sql(
        events(),
        `SELECT COUNT(*) AS copies FROM jobs WHERE json_extract(target, '$.event.id') = '${told.id}'`,
      );
      expect(copies).toEqual([{ copies: 1 }]);
    });
  }

  it("publishes by its alarm what it had stored, though nobody calls it again", async () => {
    const pair = newReaction();
    const [id] = await begin(pair, [caused(pair, "a")]);
    const stub = outboxOf(pair.reaction);
    const job = await claimOne(stub, id);
    await stub.failAt("before_sequel");
    await settle(stub, [job], ANSWER).catch(() => {});
    expect(await hear(pair, 1)).toMatchObject([{ type: `${pair.reaction.name}.ok` }]);
  });

  it("again and again, at any place, tells of every ending once", FAULT_TIMEOUT, async () => {
    // One after the other: each tells the outbox of the events whom there is.
    const pair = newReaction();
    await forSeeds(RUNS * 3, (chance) => killed(pair, chance), 1);
    const told = await eventIds(outboxOf(pair.log));
    expect(new Set(told).size).toBe(told.length);
  });
});

const PLACES: readonly Failpoint[] = ["mid_batch", "after_settle", "before_sequel", "after_sequel"];

async function killed(pair: Pair, chance: Chance): Promise<void> {
  const { seed } = chance;
  const before = (await eventIds(outboxOf(pair.log))).length;
  const ids = await begin(
    pair,
    Array.from({ length: chance.between(1, 12) }, (_, index) => caused(pair, `e${seed}-${index}`)),
  );
  const jobs = (await claim(outboxOf(pair.reaction), ids)).filter((each) => each.kind === "claimed");
  const outcomes = new Map(jobs.map(({ id }) => [id, chance.pick([ANSWER, REFUSAL])]));
  for (const job of chance.shuffled(jobs)) {
    const outcome = outcomes.get(job.id) ?? ANSWER;
    if (chance.between(0, 1) === 1) {
      await vi.waitFor(
        async () => (await fresh(pair)).failAt(chance.pick(PLACES), chance.between(0, 2)),
        PATIENTLY,
      );
    }
    await vi.waitFor(async () => settle(await fresh(pair), [job], outcome), PATIENTLY);
  }
  await vi.waitFor(async () => (await fresh(pair)).wake(), PATIENTLY);
  await vi.waitFor(
    async () => expect(await eventIds(outboxOf(pair.log))).toHaveLength(before + ids.length),
    PATIENTLY,
  );
  await vi.waitFor(
    async () => expect((await (await fresh(pair)).describe()).sequels?.count).toBe(0),
    PATIENTLY,
  );
  const told = (await eventIds(outboxOf(pair.log))).slice(before);
  expect(new Set(told).size).toBe(ids.length);
  const refused = [...outcomes.values()].filter((outcome) => outcome === REFUSAL).length;
  expect(told.filter((id) => id.endsWith("-failed"))).toHaveLength(refused);
}

describe("a deadline", () => {
  it("that passes is one event, also when its outbox dies over it, and ends the tries", async () => {
    const clock = frozen();
    const pair = newReaction();
    const [id] = await begin(pair, [caused(pair, "a")]);
    const stub = outboxOf(pair.reaction);
    await settle(stub, [await claimOne(stub, id)], UNAVAILABLE);
    clock.advance(HOUR_MS - 1);
    await stub.wake();
    expect(await viewOf(stub, id)).toMatchObject({ status: "deferred" });
    await stub.failAt("before_sequel");
    clock.advance(1);
    await stub.wake().catch(() => {});
    await vi.waitFor(async () => (await fresh(pair)).wake(), SOON);
    const [late] = await hear(pair, 1);
    expect(late).toMatchObject({
      type: `${pair.reaction.name}.late`,
      id: expect.stringMatching(/-deadline$/),
    });
    const { error } = JSON.parse(late.data.kind === "json" ? late.data.text : "{}");
    expect(error).toMatchObject({ status: 503, attempts: 1, reason: "it was not done within its time" });
    expect(await claimKinds(await fresh(pair), [id])).toEqual(["expired"]);
    await (await fresh(pair)).wake();
    expect(await eventIds(outboxOf(pair.log))).toEqual([late.id]);
  });

  it("waits for a try that is under way, and counts only when that has failed", async () => {
    const clock = frozen();
    const pair = newReaction();
    const [done, failed] = await begin(pair, [caused(pair, "a"), caused(pair, "b")]);
    const stub = outboxOf(pair.reaction);
    clock.advance(HOUR_MS - 10);
    const [first, second] = [await claimOne(stub, done), await claimOne(stub, failed)];
    clock.advance(20);
    await stub.wake();
    await settle(stub, [first], ANSWER);
    await settle(stub, [second], UNAVAILABLE);
    const alarmAt = await alarmOf(stub);
    expect(alarmAt ?? Number.POSITIVE_INFINITY).toBeLessThanOrEqual(Date.now() + 10);
    await stub.wake();
    const types = (await hear(pair, 2)).map(({ type }) => type.split(".")[1]);
    expect(types).toEqual(["ok", "late"]);
  });

  it("is counted from the event on: one that waited longer elsewhere is not tried at all", async () => {
    const clock = frozen();
    const pair = newReaction();
    const down: OutboxNamespace = { getByName: () => ({ accept: () => Promise.reject(new Error("down")) }) };
    const quiet = vi.spyOn(console, "error").mockImplementation(() => {});
    cleanups.push(() => quiet.mockRestore());
    await bind(events(), { OUTBOX: down });
    await publish([caused(pair, "a")], [pair.reaction, pair.log]);
    clock.advance(HOUR_MS);
    await bind(events(), { OUTBOX: env.OUTBOX });
    await events().wake();
    const [late] = await hear(pair, 1);
    expect(late.type).toBe(`${pair.reaction.name}.late`);
  });
});

describe("an event that is replayed to a reaction", () => {
  it("has its time anew, and is told of when it ends in another way", async () => {
    const clock = frozen();
    const pair = newReaction();
    const [id] = await begin(pair, [caused(pair, "a")]);
    const stub = outboxOf(pair.reaction);
    await settle(stub, [await claimOne(stub, id)], ANSWER);
    const [told] = await hear(pair, 1);
    clock.advance(2 * HOUR_MS);
    const request = { since: 0, until: Date.now(), rate: 100 };
    expect(await events().replayEvents(pair.reaction.name, request)).toMatchObject({ matching: 1 });
    await vi.waitFor(async () => {
      clock.advance(100);
      await events().wake();
      expect((await stub.describe()).depth).toBe(1);
    }, SOON);
    const [row] = await sql(stub, "SELECT seq, secret FROM jobs ORDER BY seq DESC LIMIT 1");
    const again = `${String(row.secret)}-${Number(row.seq).toString(36)}-subscription.${pair.reaction.name}`;
    await settle(stub, [await claimOne(stub, again)], REFUSAL);
    const after = await hear(pair, 2);
    expect(after.map(({ id: of }) => of)).toEqual([told.id, told.id.replace("-ok", "-failed")]);
  });
});

describe("a reaction whose outcomes nobody takes", () => {
  it("begins no more requests while the outbox of the events is over its watermark", async () => {
    const clock = frozen();
    const pair = newReaction();
    const [first, second, third] = await begin(
      pair,
      ["a", "b", "c"].map((id) => caused(pair, id)),
    );
    const stub = outboxOf(pair.reaction);
    let isFull = true;
    const guarded: OutboxNamespace = {
      getByName: (name) => ({
        async accept(request) {
          if (!isFull) return env.OUTBOX.getByName(name).accept(request);
          const refusal = { kind: "backlog-full" as const, retryAfterMs: 5_000 };
          const pressure = {
            depth: 1,
            watermark: 1,
            rejecting: true,
            rejectingCritical: true,
            retryAfterMs: 5_000,
          };
          return { kind: "answered", outcomes: request.items.map(() => refusal), pressure };
        },
      }),
    };
    await bind(stub, { OUTBOX: guarded });
    const other = await claimOne(stub, second);
    await settle(stub, [await claimOne(stub, first)], ANSWER);
    await vi.waitFor(async () => {
      const { sequels } = await stub.describe();
      expect(sequels).toMatchObject({ count: 1, reason: "the outbox of the events is over its watermark" });
    }, SOON);
    expect(await claimKinds(stub, [third])).toEqual(["put-back"]);
    // What was under way ends, and waits too.
    await settle(stub, [other], REFUSAL);
    clock.advance(4_000);
    await stub.wake();
    expect((await stub.describe()).sequels).toMatchObject({ count: 2, oldestAgeMs: 4_000 });
    isFull = false;
    clock.advance(1_000);
    await stub.wake();
    const told = await hear(pair, 2);
    expect(told.map(({ extensions }) => extensions["causationid"])).toEqual(["a", "b"]);
    expect(await claimKinds(stub, [third])).toEqual(["claimed"]);
  });

  it("rests from a thousand outcomes on that wait, and remembers that over a restart", async () => {
    const pair = newReaction();
    const [id] = await begin(pair, [caused(pair, "a")]);
    const stub = outboxOf(pair.reaction);
    const down: OutboxNamespace = { getByName: () => ({ accept: () => Promise.reject(new Error("down")) }) };
    const quiet = vi.spyOn(console, "error").mockImplementation(() => {});
    cleanups.push(() => quiet.mockRestore());
    await bind(stub, { OUTBOX: down });
    const one = JSON.stringify({
      seq: 1,
      kind: "ok",
      cause: { source: "/", id: "x" },
      priority: 1,
      event: {},
    });
    await sql(
      stub,
      `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${MAX_WAITING_SEQUELS - 1})
       INSERT INTO sequels SELECT i, 0, '${one}', NULL FROM n`,
    );
    await evictDurableObject(stub);
    await bind(stub, { OUTBOX: down, TIDEGATE_LOCAL: "1" });
    const job = await claimOne(stub, id, 1_000);
    await settle(stub, [job], UNAVAILABLE);
    expect((await stub.describe()).sequels?.count).toBe(MAX_WAITING_SEQUELS - 1);
    await sql(stub, `INSERT INTO sequels SELECT ${MAX_WAITING_SEQUELS}, 0, '${one}', NULL`);
    await evictDurableObject(stub);
    await bind(stub, { OUTBOX: down });
    const clock = frozen();
    clock.advance(60_000);
    expect(await claimKinds(stub, [id])).toEqual(["put-back"]);
    await sql(stub, "DELETE FROM sequels");
  });
});

describe("whom an outcome is for", () => {
  it("says the newest configuration that the outbox of the events was told of, also after a restart", async () => {
    const pair = newReaction();
    const gone = subscription({ events: [`${pair.reaction.name}.*`] });
    await publish([event("before")], [pair.reaction, pair.log, gone]);
    const [id] = await begin(pair, [caused(pair, "a")]);
    await evictDurableObject(events());
    const stub = outboxOf(pair.reaction);
    await settle(stub, [await claimOne(stub, id)], ANSWER);
    await hear(pair, 1);
    expect(await eventIds(outboxOf(gone))).toEqual([]);
  });
});

describe("the price of a reaction", () => {
  it("is 2 rows for each outcome beside those of a subscription", async () => {
    const pair = newReaction();
    const count = 100;
    const ids = await begin(
      pair,
      Array.from({ length: count }, (_, index) => caused(pair, `e${index}`)),
    );
    const stub = outboxOf(pair.reaction);
    const jobs = (await claim(stub, ids)).filter((each) => each.kind === "claimed");
    const { rows, alarms } = await written(stub, async () => {
      for (let from = 0; from < count; from += 10) await settle(stub, jobs.slice(from, from + 10), ANSWER);
      await vi.waitFor(async () => expect((await stub.describe()).sequels?.count).toBe(0), SOON);
    });
    // One ends the job, one stores its outcome, one deletes it.
    expect(rows / count).toBeLessThan(3.2);
    expect(alarms).toBeLessThan(10);
    console.log(`${rows / count} rows per reaction from its answer on, ${alarms} alarms for ${count}`);
  });
});
