// What an isolate tells its hub: frozen batches, sent again as they are until they are acknowledged.

import { describe, expect, it } from "vitest";
import type { Hub } from "../../../src/hub/hub.ts";
import { MAX_ENTRY_AMOUNT, MAX_REPORT_ENTRIES } from "../../../src/hub/protocol.ts";
import type { Snapshot, SyncReply } from "../../../src/hub/protocol.ts";
import { SESSION_RENEW_MS } from "../../../src/hub/sessions.ts";
import { serveSync } from "../../../src/hub/sync.ts";
import type { Replica } from "../../../src/region/replica.ts";
import { MAX_COUNTS, countUsage } from "../../../src/region/usage-counts.ts";
import {
  SYNC_MS,
  beginSync,
  createReplica,
  endSync,
  failSync,
  hasPending,
  isAlone,
  isSyncDue,
  isolatesSharing,
  limitViewOf,
  overrideOf,
} from "../../../src/region/replica.ts";
import { takeAlone, usedInView } from "../../../src/region/limit-view.ts";
import { Rows, T0, termsOf, valueIn } from "../hub/hubs.ts";
import { fc } from "../resilience/property.ts";

const SNAPSHOT: Snapshot = { region: "weur", isolates: 4, regions: 3, overrides: {} };

function replicaAt(now = T0): Replica {
  return createReplica("weur", "first", "c", now);
}

function acknowledged(seq: number): SyncReply {
  return { kind: "synced", seq, leases: [], snapshot: SNAPSHOT };
}

/** A sync that starts at `now` and is answered at once. */
function sync(replica: Replica, now: number, reply?: SyncReply) {
  const request = beginSync(replica, "fresh", now);
  endSync(replica, reply ?? acknowledged(request.report?.seq ?? 0), now, now, "fresh");
  return request;
}

describe("a batch", () => {
  it("holds one number for each counter and key, and what comes later waits for the next one", () => {
    const replica = replicaAt();
    for (let times = 0; times < 3; times++) countUsage(replica, "hits", "k", 2);
    countUsage(replica, "hits", "j", 1);
    countUsage(replica, "misses", "k", 1);
    const { report } = beginSync(replica, "fresh", T0);
    expect(report).toMatchObject({ session: "first", seq: 1, config: "c" });
    expect(report?.counts).toEqual([
      { counter: "hits", key: "k", by: 6 },
      { counter: "hits", key: "j", by: 1 },
      { counter: "misses", key: "k", by: 1 },
    ]);
    countUsage(replica, "hits", "k", 7);
    expect(report?.counts[0].by).toBe(6);
    endSync(replica, acknowledged(1), T0, T0 + 5);
    const next = beginSync(replica, "fresh", T0 + SYNC_MS);
    expect(next.report).toMatchObject({ seq: 2, counts: [{ counter: "hits", key: "k", by: 7 }] });
  });

  it("is sent again as it is until it is acknowledged, whatever happens meanwhile", () => {
    const replica = replicaAt();
    const view = limitViewOf(replica, termsOf(), T0);
    if (view === null) throw new Error("no view");
    countUsage(replica, "hits", "k", 1);
    takeAlone(view, 3, T0);
    const first = structuredClone(beginSync(replica, "fresh", T0).report);
    failSync(replica, T0);
    for (let again = 1; again < 5; again++) {
      countUsage(replica, "hits", "k", 1);
      takeAlone(view, 1, T0 + again);
      replica.config = "another";
      const now = T0 + again * SYNC_MS;
      expect(beginSync(replica, "fresh", now).report).toEqual(first);
      // An answer that does not cover it.
      endSync(replica, acknowledged(0), now, now);
    }
    const now = T0 + 10 * SYNC_MS;
    beginSync(replica, "fresh", now);
    endSync(replica, acknowledged(1), now, now);
    const { report } = beginSync(replica, "fresh", now + SYNC_MS);
    expect(report).toMatchObject({ seq: 2, config: "another", counts: [{ by: 4 }] });
    expect(report?.uses.reduce((sum, { units }) => sum + units, 0)).toBe(4);
  });

  it("still counts in the view when it is acknowledged and the hub says nothing of the limit", () => {
    const replica = replicaAt();
    const view = limitViewOf(replica, termsOf({ windowMs: 60_000 }), T0);
    if (view === null) throw new Error("no view");
    takeAlone(view, 3, T0);
    beginSync(replica, "fresh", T0);
    expect([view.inFlight, usedInView(view, T0)]).toEqual([3, 3]);
    endSync(replica, acknowledged(1), T0, T0);
    expect([view.inFlight, usedInView(view, T0)]).toEqual([0, 3]);
  });

  it("is none when there is nothing to tell, and none has no number", () => {
    const replica = replicaAt();
    expect(hasPending(replica)).toBe(false);
    expect(sync(replica, T0).report).toBeNull();
    countUsage(replica, "hits", "k", 1);
    expect(hasPending(replica)).toBe(true);
    expect(sync(replica, T0 + SYNC_MS).report?.seq).toBe(1);
    expect(hasPending(replica)).toBe(false);
  });

  it("takes so many entries, and so much in one of them; the rest comes with the next", () => {
    const replica = replicaAt();
    for (let index = 0; index < MAX_REPORT_ENTRIES + 1; index++) countUsage(replica, "hits", `k${index}`, 1);
    expect(sync(replica, T0).report?.counts).toHaveLength(MAX_REPORT_ENTRIES);
    expect(sync(replica, T0 + SYNC_MS).report?.counts).toHaveLength(1);
    countUsage(replica, "hits", "k", MAX_ENTRY_AMOUNT + 1);
    expect(sync(replica, T0 + 2 * SYNC_MS).report?.counts).toMatchObject([{ by: MAX_ENTRY_AMOUNT }]);
    expect(sync(replica, T0 + 3 * SYNC_MS).report?.counts).toMatchObject([{ by: 1 }]);
    expect(hasPending(replica)).toBe(false);
  });

  it("counts keys that there is no more room for under one that stands for the rest", () => {
    const replica = replicaAt();
    for (let index = 0; index < MAX_COUNTS; index++) countUsage(replica, "hits", `k${index}`, 1);
    for (const key of ["new", "newer", "k7"]) countUsage(replica, "hits", key, 1);
    expect(replica.counts.size).toBe(MAX_COUNTS + 1);
    expect(replica.counts.get("hits\n(other)")).toMatchObject({ key: "(other)", by: 2 });
    expect(replica.counts.get("hits\nk7")?.by).toBe(2);
  });
});

describe("a sync", () => {
  it("starts once in SYNC_MS, and not while another one is on its way", () => {
    const replica = replicaAt();
    expect(isSyncDue(replica, T0)).toBe(true);
    beginSync(replica, "fresh", T0);
    expect(isSyncDue(replica, T0 + 2 * SYNC_MS)).toBe(false);
    endSync(replica, acknowledged(0), T0, T0 + 10);
    expect(isSyncDue(replica, T0 + SYNC_MS - 1)).toBe(false);
    expect(isSyncDue(replica, T0 + SYNC_MS)).toBe(true);
  });

  it("that is never answered, not even as a failure, is given up; its late answer counts for nothing", () => {
    const replica = replicaAt();
    countUsage(replica, "hits", "k", 1);
    const { report } = beginSync(replica, "fresh", T0);
    const later = T0 + 60_000;
    expect(isSyncDue(replica, later)).toBe(true);
    expect(isAlone(replica)).toBe(true);
    expect(beginSync(replica, "fresh", later).report).toEqual(report);
    endSync(replica, acknowledged(1), T0, later + 1);
    expect([replica.syncing, replica.frozen === null]).toEqual([true, false]);
    failSync(replica, T0);
    expect(replica.syncing).toBe(true);
    endSync(replica, acknowledged(1), later, later + 2);
    expect([replica.syncing, replica.frozen === null, isAlone(replica)]).toEqual([false, true, false]);
  });

  it("that failed leaves the isolate alone with what it knows, and the next that succeeds ends that", () => {
    const replica = replicaAt();
    expect(isAlone(replica)).toBe(true);
    const until = T0 + 5000;
    const overrides = { up: { until, cursor: 3 } };
    const first = sync(replica, T0, {
      kind: "synced",
      seq: 0,
      leases: [],
      snapshot: { ...SNAPSHOT, overrides },
    });
    expect([first.report, isAlone(replica)]).toEqual([null, false]);
    beginSync(replica, "fresh", T0 + SYNC_MS);
    failSync(replica, T0 + SYNC_MS);
    expect(isAlone(replica)).toBe(true);
    expect(overrideOf(replica, "up", until - 1)).toEqual({ until, cursor: 3 });
    expect(overrideOf(replica, "up", until)).toBeNull();
    expect(overrideOf(replica, "other", T0)).toBeNull();
    sync(replica, T0 + 2 * SYNC_MS);
    expect(isAlone(replica)).toBe(false);
    expect(overrideOf(replica, "up", until - 1)).toBeNull();
  });

  it("says how many isolates share a limit: those of the region, or of all regions", () => {
    const replica = replicaAt();
    sync(replica, T0);
    expect(isolatesSharing(replica, termsOf({ consistency: "regional" }))).toBe(4);
    expect(isolatesSharing(replica, termsOf({ consistency: "global" }))).toBe(12);
  });
});

describe("a session", () => {
  it("ends when the hub cannot place its batch: that one is given up and does not block the next", () => {
    const replica = replicaAt();
    countUsage(replica, "hits", "k", 5);
    sync(replica, T0, { kind: "refused", reason: "unknown-session" });
    expect(replica.ambiguous).toBe(5);
    countUsage(replica, "hits", "k", 2);
    const { session, report } = beginSync(replica, "unused", T0 + SYNC_MS);
    expect(session).not.toBe("first");
    expect(report).toMatchObject({ session, seq: 1, counts: [{ by: 2 }] });
  });

  it("is a new one after a long silence, unless a batch is on its way", () => {
    const [idle, busy] = [replicaAt(), replicaAt()];
    for (const replica of [idle, busy]) {
      countUsage(replica, "hits", "k", 1);
      sync(replica, T0);
      countUsage(replica, "hits", "k", 1);
    }
    beginSync(busy, "fresh", T0 + SYNC_MS);
    failSync(busy, T0 + SYNC_MS);
    const later = T0 + SESSION_RENEW_MS + 1;
    expect(beginSync(idle, "fresh", later)).toMatchObject({ session: "fresh", report: { seq: 1 } });
    expect(beginSync(busy, "fresh", later)).toMatchObject({ session: "first", report: { seq: 2 } });
  });
});

type Step = readonly ["count" | "lost" | "answer-lost" | "restart" | "synced", number];

describe("isolates and their hub", () => {
  it("count everything once over a network that loses calls and answers, and over restarts", () => {
    const kinds = ["count", "count", "lost", "answer-lost", "restart", "synced"] as const;
    const step: fc.Arbitrary<Step> = fc.tuple(fc.constantFrom(...kinds), fc.nat(2));
    fc.assert(
      fc.property(fc.array(step, { minLength: 10, maxLength: 80, size: "max" }), (steps) => {
        const rows = new Rows();
        let hub: Hub = rows.start("weur", T0);
        const isolates = [0, 1, 2].map((index) => createReplica("weur", `s${index}`, "c", T0));
        let [now, added] = [T0, 0];
        const speak = (replica: Replica, kind: Step[0]): void => {
          now += SYNC_MS;
          const request = beginSync(replica, `fresh-${now}`, now);
          const reply = kind === "lost" ? null : serveSync(hub, structuredClone(request), now);
          if (reply !== null) rows.store(hub);
          if (kind === "restart") hub = rows.start("weur", now);
          if (reply === null || kind !== "synced") failSync(replica, now);
          else endSync(replica, reply, now, now, `fresh-${now}`);
        };
        for (const [kind, index] of steps) {
          if (kind !== "count") speak(isolates[index], kind);
          else {
            countUsage(isolates[index], "hits", "k", 1);
            added++;
          }
          expect(valueIn(hub, "hits", "k", now)).toBeLessThanOrEqual(added);
        }
        for (const replica of isolates) for (let times = 0; times < 2; times++) speak(replica, "synced");
        expect(valueIn(hub, "hits", "k", now)).toBe(added);
        expect(isolates.map(({ ambiguous }) => ambiguous)).toEqual([0, 0, 0]);
      }),
    );
  });
});
