// What relays decide: claims and cursors, batches that are refused, pauses, tables and their columns.

import { describe, expect, it } from "vitest";
import { outboxTable } from "../../../../src/delivery/relay/columns.ts";
import {
  FIRST_WAIT_MS,
  LEASE_MS,
  MAX_WAIT_MS,
  NEW_RELAY,
  claimRelay,
  holdsRelay,
  lastCollectable,
  markDone,
  markFailed,
  releaseRelay,
  waitAfter,
} from "../../../../src/delivery/relay/cursor.ts";
import type { CloudEvent } from "../../../../src/delivery/events/cloud-event.ts";
import { BUSY_PAUSE_MS, IDLE_PAUSE_MS, nextPauseMs } from "../../../../src/delivery/relay/pacing.ts";
import {
  MAX_PUBLISHED_EVENTS,
  judgePublishStatus,
  publishBatch,
  type EventPublisher,
  type PublishOutcome,
} from "../../../../src/delivery/relay/publisher.ts";
import { rowEvent } from "../../../../src/delivery/relay/row-event.ts";
import { tableDefinition } from "../../../../src/delivery/relay/table-definition.ts";
import { outbox } from "../../../../cli/outbox.ts";
import { fc } from "../../resilience/property.ts";
import { sampleEvent } from "../events/samples.ts";

const NOW = 1_800_000_000_000;

function claimed(state = NEW_RELAY, now = NOW) {
  const next = claimRelay(state, now);
  if (next === null) throw new Error("not claimed");
  return next;
}

describe("the cursor", () => {
  it("belongs to one relay at a time, and to the newest one alone", () => {
    const first = claimed();
    expect(claimRelay(first, NOW + LEASE_MS - 1)).toBeNull();
    const second = claimed(first, NOW + LEASE_MS);
    expect([holdsRelay(second, first.fence), holdsRelay(second, second.fence)]).toEqual([false, true]);
    expect(claimed(releaseRelay(second), NOW).fence).toBe(3);
  });

  it("never goes back, and renews the lease", () => {
    const state = markDone(claimed(), 7, NOW + 5);
    expect([state.cursor, state.leaseUntil]).toEqual([7, NOW + 5 + LEASE_MS]);
    expect(markDone(state, 3, NOW).cursor).toBe(7);
  });

  it("waits longer after each failure, as long as it is asked to, and not for ever", () => {
    const failed = markFailed(claimed(), null, NOW, 0.5);
    expect([failed.failures, failed.notBefore]).toEqual([1, NOW + FIRST_WAIT_MS]);
    expect(claimRelay(failed, NOW + FIRST_WAIT_MS - 1)).toBeNull();
    expect(claimed(failed, NOW + FIRST_WAIT_MS).failures).toBe(1);
    expect([1, 2, 3, 20].map((failures) => waitAfter(failures, null, 0.5))).toEqual([
      1_000,
      2_000,
      4_000,
      MAX_WAIT_MS,
    ]);
    expect(waitAfter(1, 30_000, 0.5)).toBe(30_000);
    expect(waitAfter(1, 10 * MAX_WAIT_MS, 0.5)).toBe(MAX_WAIT_MS);
    expect([waitAfter(1, null, 0), waitAfter(1, null, 1)]).toEqual([800, 1_200]);
    expect(markDone(failed, 1, NOW)).toMatchObject({ failures: 0, notBefore: 0 });
  });

  it("is not held for years by a clock that was wrong", () => {
    const wrong = claimed(NEW_RELAY, NOW + 365 * 24 * 3_600_000);
    expect(claimRelay(wrong, NOW)).not.toBeNull();
    const failed = markFailed(claimed(NEW_RELAY, NOW + 3_600_000), null, NOW + 3_600_000, 0.5);
    expect(claimRelay(failed, NOW)).not.toBeNull();
  });

  it("never lets the newest row be deleted, nor one that was not published", () => {
    expect([
      lastCollectable(5, 9),
      lastCollectable(9, 9),
      lastCollectable(0, 9),
      lastCollectable(3, 0),
    ]).toEqual([5, 8, 0, 0]);
  });
});

function run(
  answers: PublishOutcome[],
  onRefused: "skip" | "stop",
  count = 3,
  changes: Partial<CloudEvent> = {},
) {
  const sent: string[][] = [];
  const publisher: EventPublisher = {
    async publish(events) {
      sent.push(events.map(({ id }) => id));
      const answer = answers.shift();
      if (answer === undefined) throw new Error("reset");
      return answer;
    },
  };
  const events = Array.from({ length: count }, (_, index) => sampleEvent({ ...changes, id: String(index) }));
  return publishBatch(publisher, events, onRefused).then((result) => ({ result, sent }));
}

describe("a batch", () => {
  const ok: PublishOutcome = { kind: "published" };
  const no: PublishOutcome = { kind: "refused", error: "no" };
  const later: PublishOutcome = { kind: "failed", error: "later", retryAfterMs: 5 };

  it("is published as a whole, or not at all when it fails", async () => {
    expect((await run([ok], "skip")).result).toEqual({ published: 3, refused: [], failure: null });
    expect((await run([later], "skip")).result).toEqual({ published: 0, refused: [], failure: later });
    expect((await run([], "skip")).result.failure).toMatchObject({ error: "Error: reset" });
    expect((await run([], "skip", 0)).result).toEqual({ published: 0, refused: [], failure: null });
  });

  it("that is refused is published event by event, past the refused one or up to it", async () => {
    const skipped = await run([no, ok, no, ok], "skip");
    expect(skipped.result).toEqual({ published: 3, refused: [{ index: 1, error: "no" }], failure: null });
    expect(skipped.sent).toEqual([["0", "1", "2"], ["0"], ["1"], ["2"]]);
    const stopped = await run([no, ok, no], "stop");
    expect(stopped.result).toEqual({ published: 1, refused: [{ index: 1, error: "no" }], failure: null });
    const failing = await run([no, no, later], "skip");
    expect(failing.result).toEqual({ published: 1, refused: [{ index: 0, error: "no" }], failure: later });
    const single = await run([no], "stop", 1);
    expect([single.result.published, single.sent.length]).toEqual([0, 1]);
  });

  it("is parted into what one message holds", async () => {
    const many = await run([ok, ok, ok], "skip", 2 * MAX_PUBLISHED_EVENTS + 1);
    expect(many.sent.map(({ length }) => length)).toEqual([MAX_PUBLISHED_EVENTS, MAX_PUBLISHED_EVENTS, 1]);
    expect(many.result.published).toBe(2 * MAX_PUBLISHED_EVENTS + 1);
    const text = `"${"x".repeat(90_000)}"`;
    const large = await run([ok, no, ok, no], "stop", 15, { data: { kind: "json", text } });
    expect(large.sent.map(({ length }) => length)).toEqual([11, 4, 1, 1]);
    expect(large.result).toEqual({ published: 12, refused: [{ index: 12, error: "no" }], failure: null });
    const failing = await run([ok, later], "skip", 101);
    expect(failing.result).toEqual({ published: 100, refused: [], failure: later });
  });

  it.for<[number, string]>([
    [200, "published"],
    [202, "published"],
    [302, "failed"],
    [400, "refused"],
    [401, "failed"],
    [404, "failed"],
    [413, "refused"],
    [415, "refused"],
    [422, "refused"],
    [429, "failed"],
    [503, "failed"],
  ])("that is answered %i was %s", ([status, kind]) => {
    expect(judgePublishStatus(status, null).kind).toBe(kind);
  });
});

it("looks often while there is something and seldom while there is nothing", () => {
  expect(nextPauseMs(0, 0, true)).toBe(0);
  expect(nextPauseMs(5_000, 1, false)).toBe(BUSY_PAUSE_MS);
  const pauses = [0];
  for (let look = 0; look < 7; look++) pauses.push(nextPauseMs(pauses[look], 0, false));
  expect(pauses.slice(1)).toEqual([250, 500, 1_000, 2_000, 4_000, IDLE_PAUSE_MS, IDLE_PAUSE_MS]);
});

describe("a table", () => {
  it.for<["key" | "none", string, Record<string, string>, string]>([
    ["key", "", {}, "table"],
    ["key", "a b", {}, "table"],
    ["key", 'a"b', {}, "table"],
    ["key", "a.b.c", {}, "table"],
    ["key", "1a", {}, "table"],
    ["key", "outbox; DROP TABLE x", {}, "table"],
    ["key", "a".repeat(56), {}, "table"],
    ["key", "outbox", { key: 'a" b' }, "columns.key"],
    ["key", "outbox", { key: "" }, "columns.key"],
    ["key", "outbox", { status: "x" }, "columns.status"],
    ["none", "outbox", { seq: "x" }, "columns.seq"],
  ])("of order %s named %j with %j is refused for its %s", ([order, name, columns, at]) => {
    expect(outboxTable(order, name, columns)).toMatchObject({ kind: "invalid", at });
  });

  it("is defined with no name that was not checked", () => {
    const identifier = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,20}$/);
    fc.assert(
      fc.property(
        identifier,
        identifier,
        fc.constantFrom("key" as const, "none" as const),
        (name, type, order) => {
          const checked = outboxTable(order, name, { type });
          if (checked.kind !== "table") throw new Error("refused");
          const definition = tableDefinition(checked.table);
          expect(definition).toContain(`CREATE TABLE "${name}" (`);
          expect(definition).toContain(`"${type}" text NOT NULL`);
        },
      ),
    );
  });

  it("is printed by the command line, which says what it does not understand", async () => {
    expect(await outbox(["sql", "--order", "none", "--column", "type=kind"])).toBe(0);
    for (const args of [
      [],
      ["drop"],
      ["sql", "--order", "x"],
      ["sql", "--table", "a b"],
      ["sql", "--column", "x"],
    ]) {
      expect(await outbox(args)).toBe(2);
    }
  });
});

describe("a row", () => {
  const row = {
    id: "1",
    type: "t",
    payload: "{}",
    bytes: 2,
    key: "k",
    seq: "12",
    createdAt: "2026-11-24T10:00:00.000Z",
  };

  it("is an event that names its key and its place", () => {
    expect(rowEvent(row, "/relays/shop")).toMatchObject({
      kind: "event",
      event: { subject: "k", extensions: { partitionkey: "k", sequence: "0000000000000012" } },
    });
    expect(rowEvent({ ...row, key: null, seq: null, payload: null }, "/s")).toMatchObject({
      event: { subject: null, extensions: {}, data: { kind: "none" } },
    });
  });

  it.for([
    [{ payload: "{" }, "payload is not JSON"],
    [{ type: null }, "type must not be empty"],
    [{ payload: `"${"x".repeat(100_000)}"`, bytes: 100_002 }, "payload is larger than 98304 bytes"],
    [{ payload: null, bytes: 98_305 }, "payload is larger than 98304 bytes"],
  ] as const)("with %j is poison", ([changes, error]) => {
    expect(rowEvent({ ...row, ...changes }, "/s")).toEqual({ kind: "poison", error });
  });
});
