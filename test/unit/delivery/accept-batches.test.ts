// How requests of an isolate share calls of an outbox, by a clock that is moved by hand.

import { describe, it } from "vitest";
import {
  AcceptBatches,
  BATCH_WINDOW_MS,
  LOOKUP_WINDOW_MS,
  PRESSURE_MS,
} from "../../../src/delivery/accept-batches.ts";
import type { Submitted } from "../../../src/delivery/accept-batches.ts";
import { AcceptRig, CALM, FULL, itemOf, settled } from "./accept-rig.ts";

const WAIT_MS = 5_000;

function open(): {
  rig: AcceptRig;
  batches: AcceptBatches;
  submit: (name: string, key?: boolean) => Promise<Submitted>;
} {
  const rig = new AcceptRig();
  const batches = new AcceptBatches(rig);
  return { rig, batches, submit: (name, key) => batches.submit(itemOf(name, key), WAIT_MS, rig.keep) };
}

/** A queue whose outbox has just said so. */
async function fill(pressure = FULL): Promise<ReturnType<typeof open>> {
  const opened = open();
  const outcome = opened.submit("a");
  await opened.rig.accept(0, pressure);
  await outcome;
  return opened;
}

describe("a batch", () => {
  it("of one leaves at once while no call is under way", async ({ expect }) => {
    const { rig, submit } = open();
    const outcome = submit("a");
    expect(rig.calls.map(({ items }) => items.length)).toEqual([1]);
    await rig.accept(0);
    expect(await outcome).toEqual({ kind: "accepted", id: "0-0", status: "queued" });
    expect(rig.timers.size).toBe(0);
  });

  it("takes in what comes within 5 ms while a call is under way", async ({ expect }) => {
    const { rig, submit } = open();
    const outcomes = [submit("a"), submit("b")];
    await rig.pass(BATCH_WINDOW_MS - 1);
    outcomes.push(submit("c"));
    expect(rig.calls).toHaveLength(1);
    await rig.pass(1);
    expect(rig.calls.map(({ items }) => items.length)).toEqual([1, 2]);
    outcomes.push(submit("d"));
    await rig.pass(BATCH_WINDOW_MS);
    expect(rig.calls.map(({ items }) => items.length)).toEqual([1, 2, 1]);
    for (const call of [2, 1, 0]) await rig.accept(call);
    const ids = (await Promise.all(outcomes)).map((outcome) =>
      outcome.kind === "accepted" ? outcome.id : "",
    );
    expect(ids).toEqual(["0-0", "1-0", "1-1", "2-0"]);
  });

  it("leaves with its hundredth item, without the window", async ({ expect }) => {
    const { rig, submit } = open();
    const outcomes = [submit("first")];
    for (let index = 0; index < 201; index++) outcomes.push(submit(`n${index}`));
    expect(rig.calls.map(({ items }) => items.length)).toEqual([1, 100, 100]);
    await rig.pass(BATCH_WINDOW_MS);
    expect(rig.calls.map(({ items }) => items.length)).toEqual([1, 100, 100, 1]);
    for (let call = 0; call < 4; call++) await rig.accept(call);
    const answered = await Promise.all(outcomes);
    expect(new Set(answered.map((outcome) => (outcome.kind === "accepted" ? outcome.id : "")))).toHaveLength(
      202,
    );
  });

  it("gives each item its own outcome", async ({ expect }) => {
    const { rig, submit } = open();
    const outcomes = [submit("a"), submit("b"), submit("c")];
    await rig.pass(BATCH_WINDOW_MS);
    rig.calls[1].answer({
      kind: "answered",
      outcomes: [{ kind: "conflict" }, { kind: "backlog-full", retryAfterMs: 9 }],
      pressure: CALM,
    });
    await rig.accept(0);
    expect((await Promise.all(outcomes)).map(({ kind }) => kind)).toEqual([
      "accepted",
      "conflict",
      "backlog-full",
    ]);
  });

  it("is kept alive by the request that sent it", async ({ expect }) => {
    const { rig, submit } = open();
    const outcomes = [submit("a"), submit("b"), submit("c")];
    // One for the first call, one for the window of the second.
    expect(rig.kept).toHaveLength(2);
    await rig.pass(BATCH_WINDOW_MS);
    await rig.accept(0);
    await rig.accept(1);
    await Promise.all([...outcomes, ...rig.kept]);
  });
});

describe("an outbox that does not answer", () => {
  it("leaves each request its own time", async ({ expect }) => {
    const { rig, submit } = open();
    const first = submit("a");
    await rig.pass(WAIT_MS - 1);
    const second = submit("b");
    await rig.pass(1);
    expect(await first).toEqual({ kind: "unanswered" });
    let isOver = false;
    void second.then(() => (isOver = true));
    await rig.pass(WAIT_MS - 2);
    expect(isOver).toBe(false);
    await rig.pass(1);
    expect(await second).toEqual({ kind: "unanswered" });
  });

  it("fails all of the batch when its call fails", async ({ expect }) => {
    const { rig, submit } = open();
    const outcome = submit("a");
    rig.calls[0].answer(null);
    expect(await outcome).toEqual({ kind: "unanswered" });
    void submit("b");
    expect(rig.calls).toHaveLength(2);
  });

  it("has what it stored too late withdrawn, unless an idempotency key stands for it", async ({ expect }) => {
    const { rig, submit } = open();
    const outcomes = [submit("late"), submit("late-with-key", true)];
    await rig.pass(BATCH_WINDOW_MS);
    await rig.pass(WAIT_MS);
    expect(await Promise.all(outcomes)).toEqual([{ kind: "unanswered" }, { kind: "unanswered" }]);
    await rig.accept(0);
    await rig.accept(1);
    expect(rig.withdrawn).toEqual(["0-0"]);
  });
});

describe("a queue that is full", () => {
  it("costs at most one call a second, however many ask", async ({ expect }) => {
    const { rig, batches, submit } = await fill();
    let calls = 0;
    for (let ms = 0; ms < 10_000; ms += 10) {
      for (let asker = 0; asker < 5; asker++) {
        const refused = batches.refusal(1);
        if (refused !== null) {
          expect(refused).toBe(7_000);
          continue;
        }
        calls++;
        void submit("probe");
        await rig.accept(rig.calls.length - 1, FULL);
      }
      await rig.pass(10);
    }
    expect(calls).toBeLessThanOrEqual(10);
    expect(calls).toBeGreaterThanOrEqual(9);
  });

  it("lets one ask again, and the others wait for its answer", async ({ expect }) => {
    const { rig, batches, submit } = await fill();
    await rig.pass(PRESSURE_MS - 1);
    expect(batches.refusal(1)).toBe(7_000);
    await rig.pass(1);
    expect(batches.refusal(1)).toBeNull();
    expect(batches.refusal(1)).toBe(7_000);
    void submit("probe");
    await rig.accept(1, CALM);
    expect(batches.refusal(1)).toBeNull();
    expect(batches.refusal(3)).toBeNull();
  });

  it("is told how many were refused on its behalf", async ({ expect }) => {
    const { rig, batches, submit } = await fill();
    for (let index = 0; index < 3; index++) batches.refusal(2);
    await rig.pass(PRESSURE_MS);
    expect(batches.refusal(2)).toBeNull();
    void submit("probe");
    rig.calls[1].answer(null);
    await settled();
    void submit("again");
    expect(rig.calls.map(({ refused }) => refused)).toEqual([0, 3, 3]);
  });

  it("is asked for known keys together, a few times a second, and counts those that are new itself", async ({
    expect,
  }) => {
    const { rig, batches } = await fill();
    const lookUp = (key: string): Promise<Submitted> => {
      expect(batches.refusal(1, true)).toBe(7_000);
      const idempotency = { key, fingerprint: "0".repeat(64) };
      return batches.lookUp({ consumer: null, tenant: null, route: "r", idempotency }, WAIT_MS, rig.keep);
    };
    const outcomes = [lookUp("a"), lookUp("b")];
    await rig.pass(LOOKUP_WINDOW_MS - 1);
    outcomes.push(lookUp("c"));
    expect(rig.calls).toHaveLength(1);
    await rig.pass(1);
    expect(rig.calls.map(({ items, lookups, refused }) => [items.length, lookups.length, refused])).toEqual([
      [1, 0, 0],
      [0, 3, 0],
    ]);
    const known = [
      { kind: "conflict" },
      { kind: "backlog-full", retryAfterMs: 9_000 },
      { kind: "conflict" },
    ] as const;
    rig.calls[1].answer({ kind: "answered", outcomes: [], pressure: FULL, known });
    expect(await Promise.all(outcomes)).toEqual(known);
    const many = Array.from({ length: 101 }, (_, index) => lookUp(String(index)));
    expect(rig.calls[2].lookups).toHaveLength(100);
    await rig.pass(LOOKUP_WINDOW_MS);
    expect(rig.calls[3].lookups).toHaveLength(1);
    // An outbox of another version, and one that fails: as if the key were new.
    rig.calls[2].answer({ kind: "answered", outcomes: [], pressure: FULL });
    rig.calls[3].answer(null);
    expect(new Set((await Promise.all(many)).map(({ kind }) => kind))).toEqual(new Set(["backlog-full"]));
  });

  it("goes on taking P0 until it is full for P0 too", async ({ expect }) => {
    const { batches } = await fill();
    expect([batches.refusal(0), batches.refusal(1)]).toEqual([null, 7_000]);
    const critical = await fill({ ...FULL, rejectingCritical: true });
    expect([critical.batches.refusal(0), critical.batches.refusal(1)]).toEqual([7_000, 7_000]);
  });
});
