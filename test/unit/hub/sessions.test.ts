// Frozen batches count once, whatever happens to them on the way and whenever the hub starts anew (C 5:
// 29, 30, 39).

import { describe, expect, it } from "vitest";
import type { Hub } from "../../../src/hub/hub.ts";
import type { Report } from "../../../src/hub/protocol.ts";
import { beginRound } from "../../../src/hub/rounds.ts";
import {
  MAX_SESSIONS,
  SESSION_IDLE_MS,
  SESSION_PRESENT_MS,
  countPresent,
} from "../../../src/hub/sessions.ts";
import { hasUnstored } from "../../../src/hub/storage.ts";
import { serveSync } from "../../../src/hub/sync.ts";
import { fc } from "../resilience/property.ts";
import { ROUND_MS, Rows, T0, newHub, reportOf, syncOf, synced, termsOf, valueIn } from "./hubs.ts";

function hits(session: string, seq: number, by: number): Report {
  return reportOf(session, seq, { counts: [{ counter: "hits", key: "k", by }] });
}

type Step =
  | { readonly kind: "deliver"; readonly session: number; readonly by: number }
  | { readonly kind: "late"; readonly index: number }
  | { readonly kind: "restart" };
type Fate = "acknowledged" | "answer-lost" | "crash-before-storing" | "crash-after-storing";

const fate = fc.constantFrom<Fate>(
  "acknowledged",
  "acknowledged",
  "answer-lost",
  "crash-before-storing",
  "crash-after-storing",
);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("deliver" as const),
      session: fc.nat(2),
      by: fc.integer({ min: 0, max: 9 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("late" as const), index: fc.nat(99) }) },
  { weight: 1, arbitrary: fc.constant({ kind: "restart" as const }) },
);

/** Isolates that each send one batch at a time to one hub, over a network that keeps every copy. */
class Isolates {
  readonly rows = new Rows();
  hub: Hub = this.rows.start("weur", T0);
  readonly sent: Report[] = [];
  readonly #isolates = [0, 1, 2].map((index) => ({ id: `s${index}`, seq: 0, frozen: null as Report | null }));
  added = 0;
  acknowledged = 0;

  /** The isolate's next batch, or again the one on its way. */
  deliver(index: number, by: number, becomes: Fate): void {
    const isolate = this.#isolates[index];
    if (isolate.frozen === null) {
      isolate.seq++;
      isolate.frozen = this.#batchOf(isolate.id, isolate.seq, by);
      this.added += by;
    }
    this.sent.push(isolate.frozen);
    if (!this.arrive(isolate.frozen, becomes)) return;
    this.acknowledged += isolate.frozen.counts.reduce((sum, count) => sum + count.by, 0);
    isolate.frozen = null;
  }

  /** Whether the answer came: one leaves only when what it acknowledges is stored. */
  arrive(report: Report, becomes: Fate): boolean {
    const { seq } = synced(this.hub, syncOf("weur", report.session, report));
    if (becomes !== "crash-before-storing") this.rows.store(this.hub);
    if (becomes.startsWith("crash")) this.restart();
    return becomes === "acknowledged" && seq >= report.seq;
  }

  restart(): void {
    this.hub = this.rows.start("weur", T0);
  }

  finish(): void {
    for (const [index, isolate] of this.#isolates.entries()) {
      if (isolate.frozen !== null) this.deliver(index, 0, "acknowledged");
    }
  }

  #batchOf(id: string, seq: number, by: number): Report {
    const uses = [{ terms: termsOf(), at: T0, units: 1 }];
    return by === 0 ? reportOf(id, seq, { uses }) : hits(id, seq, by);
  }
}

describe("batches", () => {
  it("count exactly once when they are lost, doubled, late and out of order, and the hub crashes", () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(fc.array(fc.tuple(step, fate), { minLength: 10, maxLength: 60 }), (steps) => {
        const isolates = new Isolates();
        for (const [next, becomes] of steps) {
          seen.add(`${next.kind} ${becomes}`);
          if (next.kind === "restart") isolates.restart();
          else if (next.kind === "deliver") isolates.deliver(next.session, next.by, becomes);
          else if (isolates.sent.length > 0) {
            isolates.arrive(isolates.sent[next.index % isolates.sent.length], becomes);
          }
          const value = valueIn(isolates.hub, "hits", "k");
          expect(value).toBeGreaterThanOrEqual(isolates.acknowledged);
          expect(value).toBeLessThanOrEqual(isolates.added);
        }
        isolates.finish();
        expect(valueIn(isolates.hub, "hits", "k")).toBe(isolates.added);
      }),
      { numRuns: 500 },
    );
    expect(seen.size).toBe(12);
  });

  it("that were applied are acknowledged again and change nothing", () => {
    const hub = newHub("weur");
    const request = syncOf("weur", "s", hits("s", 1, 5));
    expect(synced(hub, request).seq).toBe(1);
    const { version } = hub;
    expect(synced(hub, request).seq).toBe(1);
    expect(hub.version).toBe(version);
    expect(hub.tally).toMatchObject({ reports: 1, duplicates: 1 });
    expect(valueIn(hub, "hits", "k")).toBe(5);
  });

  it("of usage must be stored before the answer, those of soft limits alone need not", () => {
    const rows = new Rows();
    const hub = rows.start("weur", T0);
    synced(hub, syncOf("weur", "s", hits("s", 1, 5)));
    expect(hasUnstored(hub)).toBe(true);
    rows.store(hub);
    expect(hasUnstored(hub)).toBe(false);
    const uses = [{ terms: termsOf(), at: T0, units: 1 }];
    synced(hub, syncOf("weur", "s", reportOf("s", 2, { uses })));
    expect(hasUnstored(hub)).toBe(false);
    synced(hub, syncOf("weur", "s", hits("s", 3, 5)));
    rows.store(hub);
    expect(rows.sessions).toEqual(new Map([["s", 3]]));
  });
});

describe("a session", () => {
  it("that is unknown and not new has been forgotten: its batch is refused whole", () => {
    const hub = newHub("weur");
    const reply = serveSync(hub, syncOf("weur", "s", hits("s", 2, 5)), T0);
    expect(reply).toEqual({ kind: "refused", reason: "unknown-session" });
    expect(valueIn(hub, "hits", "k")).toBe(0);
    expect(hub.sessions.size).toBe(0);
  });

  it("is known after a restart from its first batch on, whatever was in it", () => {
    const rows = new Rows();
    const uses = [{ terms: termsOf(), at: T0, units: 1 }];
    const hub = rows.start("weur", T0);
    synced(hub, syncOf("weur", "s", reportOf("s", 1, { uses })));
    rows.store(hub);
    const again = rows.start("weur", T0);
    expect(synced(again, syncOf("weur", "s", hits("s", 2, 5))).seq).toBe(2);
  });

  it("is forgotten when it was silent for SESSION_IDLE_MS, in storage too, and not before", () => {
    const rows = new Rows();
    const hub = rows.start("weur", T0);
    for (const id of ["a", "b"]) synced(hub, syncOf("weur", id, hits(id, 1, 5)));
    synced(hub, syncOf("weur", "b", hits("b", 1, 5)), T0 + 1);
    rows.store(hub);
    round(hub, T0 + SESSION_IDLE_MS - 1);
    expect([...hub.sessions.keys()]).toEqual(["a", "b"]);
    round(hub, T0 + SESSION_IDLE_MS);
    expect([...hub.sessions.keys()]).toEqual(["b"]);
    rows.store(hub, true);
    expect([...rows.sessions.keys()]).toEqual(["b"]);
  });

  it("lives for SESSION_IDLE_MS from a boot on, however old its row is", () => {
    const rows = new Rows();
    synced(rows.start("weur", T0), syncOf("weur", "a", hits("a", 1, 5)));
    rows.sessions.set("a", 1);
    const later = T0 + 10 * SESSION_IDLE_MS;
    const hub = rows.start("weur", later);
    round(hub, later + SESSION_IDLE_MS - 1);
    expect(hub.sessions.has("a")).toBe(true);
    round(hub, later + SESSION_IDLE_MS);
    expect(hub.sessions.has("a")).toBe(false);
  });

  it("more than MAX_SESSIONS is refused, and those that are known go on", () => {
    const hub = newHub("weur");
    for (let index = 0; index < MAX_SESSIONS; index++) {
      hub.sessions.set(`s${index}`, { seq: 1, seenAt: T0, stored: 1 });
    }
    const reply = serveSync(hub, syncOf("weur", "new", hits("new", 1, 5)), T0);
    expect(reply).toEqual({ kind: "refused", reason: "full" });
    expect(synced(hub, syncOf("weur", "s7", hits("s7", 2, 5))).seq).toBe(2);
    expect(valueIn(hub, "hits", "k")).toBe(5);
  });

  it("that syncs without reports, or only asks, is not forgotten", () => {
    const hub = newHub("weur");
    synced(hub, syncOf("weur", "s", hits("s", 1, 5)));
    let now = T0;
    for (; now < T0 + 2 * SESSION_IDLE_MS; now += 60_000) {
      synced(hub, syncOf("weur", "s", null), now);
      round(hub, now);
    }
    expect(synced(hub, syncOf("weur", "s", hits("s", 2, 5)), now).seq).toBe(2);
    expect(valueIn(hub, "hits", "k", now)).toBe(10);
  });

  it("that was forgotten and comes again before that is stored, stays stored", () => {
    const rows = new Rows();
    const hub = rows.start("weur", T0);
    synced(hub, syncOf("weur", "s", hits("s", 1, 5)));
    rows.store(hub);
    const now = T0 + SESSION_IDLE_MS;
    round(hub, now);
    synced(hub, syncOf("weur", "s", hits("s", 1, 5)), now);
    rows.store(hub);
    expect(rows.sessions.get("s")).toBe(1);
  });

  it("counts as an isolate while it has spoken within SESSION_PRESENT_MS", () => {
    const hub = newHub("weur");
    for (const id of ["a", "b"]) synced(hub, syncOf("weur", id, hits(id, 1, 5)), T0);
    const reply = synced(hub, syncOf("weur", "c", hits("c", 1, 5)), T0 + SESSION_PRESENT_MS - 1);
    expect(reply.snapshot.isolates).toBe(3);
    // They are counted anew a tenth of a second later.
    expect(countPresent(hub, T0 + SESSION_PRESENT_MS + 99)).toBe(1);
    expect(synced(hub, syncOf("weur", "d", null), T0 + 2 * SESSION_PRESENT_MS).snapshot.isolates).toBe(1);
  });
});

function round(hub: Hub, now: number): void {
  beginRound(hub, [], ROUND_MS, now);
}
