// The load of an upstream as the hub of its region steers it: by sums, whoever saw what.

import { DEFAULT_BREAKER } from "../../../src/resilience/breaker-state.ts";
import { describe, it } from "vitest";
import type { Hub } from "../../../src/hub/hub.ts";
import { NOTHING_STORED, bootHub } from "../../../src/hub/hub.ts";
import { MAX_LOADS, answerLoadAsk, noteReportedLoad, regionLimitOf } from "../../../src/hub/load-book.ts";
import type { LoadEntry, LoadTerms, LoadVerdict } from "../../../src/hub/load-protocol.ts";
import { SHARE_MS } from "../../../src/hub/load-shares.ts";
import { noteReportedCalls } from "../../../src/hub/upstream-book.ts";
import { ISOLATE_START_LIMIT, START_LIMIT } from "../../../src/resilience/concurrency-limit.ts";
import { createRamp } from "../../../src/resilience/breaker-ramp.ts";
import { TICK_MS } from "../../../src/resilience/cursor.ts";
import { bucketOf } from "../../../src/resilience/latency.ts";
import { LEVEL_COUNT } from "../../../src/resilience/level.ts";
import { fc, test } from "../resilience/property.ts";

const NOW = 1_800_000_000_000;
/** A hub that is older than this knows who is there. */
const SETTLED = NOW + 10_000;
const TERMS: LoadTerms = { upstream: "shop", max: 1000, adaptive: true, retryShare: 0.1 };

const NOTHING = {
  spanMs: 1000,
  arrivals: [],
  settled: 0,
  ok: 0,
  signals: 0,
  lineBusyMs: 0,
  served: [],
  refused: 0,
  throttled: 0,
  timedOut: 0,
  busyMs: 0,
  refusedInflight: 0,
  originals: 0,
  retries: 0,
};

function entryOf(load: Partial<LoadEntry>): LoadEntry {
  return { ...NOTHING, terms: TERMS, ...load };
}

function newHub(): Hub {
  return bootHub("weur", 0, NOTHING_STORED, NOW);
}

interface Asking {
  readonly inflight?: number;
  readonly waiting?: number;
  readonly limit?: number;
  readonly terms?: LoadTerms;
}

function ask(hub: Hub, session: string, now: number, asking: Asking = {}): LoadVerdict {
  const { inflight = 0, waiting = 0, limit = 100, terms = TERMS } = asking;
  const verdict = answerLoadAsk(hub, session, { terms, inflight, waiting, limit }, now);
  if (verdict === null) throw new Error("no verdict");
  return verdict;
}

/** Calls that failed, after which the region's breaker is open. */
function openRegion(hub: Hub, now: number): void {
  const breaker = { ...DEFAULT_BREAKER, openForMs: 60_000, maxOpenForMs: 60_000 };
  const calls = { generation: 1, ok: 0, failRemote: 0, failLocal: 30, slow: 0, consecutive: true };
  const terms = { upstream: "shop", breaker, probeMs: 1000 };
  noteReportedCalls(hub, "one", { terms, ...calls, retryAfterMs: 0, started: 0, probes: [] }, now);
}

/** A hundred requests at one level of which a fifth went well, with a sign of overload. */
function overload(at: number, terms = TERMS): LoadEntry {
  return entryOf({ terms, arrivals: [at, 100], settled: 100, ok: 20, signals: 1 });
}

describe("the cursor of a region", () => {
  const part = fc.record({
    arrivals: fc.array(fc.tuple(fc.nat({ max: LEVEL_COUNT - 1 }), fc.integer({ min: 1, max: 200 })), {
      maxLength: 10,
    }),
    ok: fc.nat({ max: 100 }),
    signals: fc.nat({ max: 2 }),
    lineBusyMs: fc.nat({ max: 200 }),
  });
  const rounds = fc.array(fc.array(part, { minLength: 4, maxLength: 4 }), { minLength: 1, maxLength: 6 });

  test("moves by the sums of several isolates as it does by one that saw everything", ({ expect }) => {
    fc.assert(
      fc.property(rounds, (sequence) => {
        const [parted, whole] = [newHub(), newHub()];
        for (const hub of [parted, whole]) {
          for (let index = 0; index < 4; index++) ask(hub, `i${index}`, SETTLED);
        }
        for (const [round, parts] of sequence.entries()) {
          const now = SETTLED + round * TICK_MS;
          const entries = parts.map(({ arrivals, ok, signals, lineBusyMs }) => {
            const settled = arrivals.reduce((sum, [, count]) => sum + count, 0);
            return entryOf({
              arrivals: arrivals.flat(),
              settled,
              ok: Math.min(ok, settled),
              signals,
              lineBusyMs,
            });
          });
          for (const [index, entry] of entries.entries()) {
            noteReportedLoad(parted, `i${index}`, entry, now + 1);
          }
          const sum = (of: (entry: LoadEntry) => number): number =>
            entries.reduce((total, entry) => total + of(entry), 0);
          const seen = entryOf({
            arrivals: entries.flatMap(({ arrivals }) => arrivals),
            settled: sum(({ settled }) => settled),
            ok: sum(({ ok }) => ok),
            signals: sum(({ signals }) => signals),
            lineBusyMs: sum(({ lineBusyMs }) => lineBusyMs),
          });
          noteReportedLoad(whole, "i0", seen, now + 1);
          const [one, other] = [parted, whole].map((hub) => ask(hub, "i0", now + TICK_MS));
          expect(one.cursor).toBe(other.cursor);
          expect(one.fraction).toBeCloseTo(other.fraction, 9);
          expect(one.cut).toBeCloseTo(other.cut, 9);
        }
      }),
    );
  });

  it("is the same for whoever asks within a tick", ({ expect }) => {
    const hub = newHub();
    for (const session of ["one", "two"]) noteReportedLoad(hub, session, overload(300), SETTLED);
    const verdicts = ["one", "two", "new"].map((session) => ask(hub, session, SETTLED + 1));
    expect(new Set(verdicts.map(({ cursor, fraction }) => `${cursor} ${fraction}`)).size).toBe(1);
    expect(verdicts[2].cursor).toBe(300);
  });

  it("takes refusals while the region's breaker is open for no sign of overload", ({ expect }) => {
    const cursors = [true, false].map((isOpen) => {
      const hub = newHub();
      if (isOpen) openRegion(hub, SETTLED);
      for (let tick = 0; tick < 5; tick++) {
        noteReportedLoad(hub, "one", overload(300), SETTLED + tick * TICK_MS);
      }
      return ask(hub, "one", SETTLED + 5 * TICK_MS).cursor;
    });
    expect(cursors).toEqual([LEVEL_COUNT, 300]);
  });
});

describe("an upstream that was full and comes back", () => {
  it("gets no more than a fifth above what it served, and nothing beyond its limit at once", ({ expect }) => {
    const [full, roomy] = [5_000, 0].map((shedMs) => {
      const hub = newHub();
      openRegion(hub, SETTLED);
      for (const session of ["one", "two"]) ask(hub, session, SETTLED);
      const breaker = hub.upstreams.get("shop")?.region.breaker;
      const book = hub.loads.get("shop");
      if (breaker === undefined || book === undefined) throw new Error("no upstream");
      breaker.state = createRamp(breaker.state.generation + 1, 0, 1, SETTLED);
      Object.assign(book.recovery, { bestPerMs: 0.1, shedMs, tailMs: 100 });
      const calm = entryOf({ arrivals: [300, 150], settled: 150, ok: 150, served: [bucketOf(100), 150] });
      for (let at = SETTLED + TICK_MS; at <= SETTLED + 4 * TICK_MS; at += TICK_MS) {
        noteReportedLoad(hub, "one", calm, at);
      }
      return ask(hub, "one", SETTLED + 4 * TICK_MS);
    });
    // 300/s arrive where 100/s were served.
    expect(full.cut).toBeCloseTo(0.6, 5);
    expect(full.isReturning).toBe(true);
    expect(roomy.cut).toBe(0);
    expect(roomy.isReturning).toBeUndefined();
  });
});

describe("a limit that is divided", () => {
  it("leaves more to its isolates' lines than one that is not, and a third more than is served at most", ({
    expect,
  }) => {
    const cuts = [1, 4, 1000].map((isolates) => {
      const hub = newHub();
      for (let index = 0; index < isolates; index++) ask(hub, `i${index}`, SETTLED);
      // Of two classes.
      const arrivals = [100, 300, 300, 700];
      noteReportedLoad(
        hub,
        "i0",
        entryOf({ arrivals, settled: 1000, ok: 200, signals: 1 }),
        SETTLED + TICK_MS,
      );
      return ask(hub, "i0", SETTLED + TICK_MS).cut;
    });
    const scatter = 0.3 * Math.sqrt(3 / START_LIMIT);
    expect(cuts[0]).toBeCloseTo(1 - 1.2 * 0.2, 9);
    expect(cuts[1]).toBeCloseTo(1 - (1.2 + scatter) * 0.2, 9);
    expect(cuts[2]).toBeCloseTo(1 - 1.32 * 0.2, 9);
  });
});

describe("the permits of a region", () => {
  it("are divided by what each isolate has in flight and in line", ({ expect }) => {
    const hub = newHub();
    ask(hub, "one", SETTLED, { inflight: 200, waiting: 40 });
    const two = ask(hub, "two", SETTLED, { inflight: 80 });
    const one = ask(hub, "one", SETTLED, { inflight: 200, waiting: 40 });
    expect([one.limit, two.limit]).toEqual([
      Math.round((START_LIMIT * 240) / 320),
      Math.round((START_LIMIT * 80) / 320),
    ]);
    expect([one.hasSpare, two.hasSpare]).toEqual([false, false]);
    expect([one.ceiling, two.ceiling]).toEqual([240 + 680 / 2, 80 + 680 / 2]);
  });

  it("are told to be shared once a second isolate asks", ({ expect }) => {
    const hub = newHub();
    expect(ask(hub, "one", SETTLED).isShared).toBeUndefined();
    expect(ask(hub, "two", SETTLED).isShared).toBe(true);
    expect(ask(hub, "one", SETTLED).isShared).toBe(true);
  });

  it("are whole numbers that are right on average", ({ expect }) => {
    const hub = newHub();
    for (const session of ["one", "two", "three"]) ask(hub, session, SETTLED);
    const given = Array.from({ length: 300 }, () => ask(hub, "one", SETTLED).limit);
    expect(new Set(given)).toEqual(new Set([85, 86]));
    expect(given.reduce((sum, limit) => sum + limit, 0) / given.length).toBeCloseTo(START_LIMIT / 3, 0);
  });

  it("are not given whole to the first that speaks after a boot, in which nobody is alone", ({ expect }) => {
    const hub = newHub();
    const first = ask(hub, "one", NOW + 10, { limit: 20 });
    expect(first.limit).toBe(START_LIMIT / 4);
    noteReportedLoad(hub, "one", entryOf({ served: [80, 10], busyMs: 500 }), NOW + 1000);
    ask(hub, "one", NOW + 1000, { limit: 20 });
    expect(regionLimitOf(hub.loads.get("shop") ?? never())).toBe(START_LIMIT);
  });

  it("are what a single isolate has found by itself, with room to grow, once it is known to be alone", ({
    expect,
  }) => {
    const hub = newHub();
    for (let second = 0; second <= 2; second++) ask(hub, "one", SETTLED + second * 1000, { limit: 40 });
    expect(regionLimitOf(hub.loads.get("shop") ?? never())).toBe(START_LIMIT);
    expect(ask(hub, "one", SETTLED + 3000, { limit: 40 }).limit).toBe(40 + 20);
    expect(ask(hub, "one", SETTLED + 4000, { limit: ISOLATE_START_LIMIT }).limit).toBe(START_LIMIT);
    expect(ask(hub, "one", SETTLED + 4500, { limit: 200 }).limit).toBe(1.5 * 200);
    expect(ask(hub, "one", SETTLED + 5000, { limit: 900 }).limit).toBe(1000);
  });

  it("stay what they were when all were silent and one of them is the first to speak again", ({ expect }) => {
    const hub = newHub();
    for (const session of ["one", "two"]) ask(hub, session, SETTLED);
    const later = SETTLED + SHARE_MS + 5000;
    noteReportedLoad(hub, "one", entryOf({ served: [80, 10], busyMs: 500 }), later);
    ask(hub, "one", later, { limit: 20 });
    ask(hub, "two", later + 100, { limit: 20 });
    expect(regionLimitOf(hub.loads.get("shop") ?? never())).toBe(START_LIMIT);
  });

  it("stay what is configured where the limit is not adaptive", ({ expect }) => {
    const hub = newHub();
    const terms = { ...TERMS, adaptive: false };
    const push = entryOf({ terms, refused: 500, served: [80, 500], settled: 1000, ok: 500 });
    for (const session of ["one", "two"]) noteReportedLoad(hub, session, push, SETTLED);
    expect(ask(hub, "one", SETTLED, { terms }).limit).toBe(500);
  });
});

describe("two configurations at once", () => {
  it("have the numbers of whoever spoke last; what is known of the load stays", ({ expect }) => {
    const hub = newHub();
    for (const session of ["one", "two"]) noteReportedLoad(hub, session, overload(300), SETTLED);
    const wider = { ...TERMS, max: 100 };
    expect(ask(hub, "one", SETTLED + 1, { terms: wider })).toMatchObject({ cursor: 300, limit: 50 });
    expect(ask(hub, "two", SETTLED + 1)).toMatchObject({ cursor: 300, limit: START_LIMIT / 2 });
    expect(hub.loads.size).toBe(1);
  });

  it("forget neither what the limit has learned nor what was spent of the retries", ({ expect }) => {
    const hub = newHub();
    const other = { ...TERMS, max: 900, retryShare: 0.2 };
    const still = { ...TERMS, adaptive: false, retryShare: null };
    const push = entryOf({ timedOut: 500, served: [80, 500], busyMs: 60_000, retries: 10 });
    for (const session of ["one", "two"]) ask(hub, session, SETTLED);
    noteReportedLoad(hub, "one", push, SETTLED + 1000);
    const learned = regionLimitOf(hub.loads.get("shop") ?? never());
    expect(learned).toBe(0.9 * 60);
    for (const terms of [other, still, TERMS]) {
      expect(ask(hub, "one", SETTLED + 1000, { terms }).retries).toBe(0);
      expect(regionLimitOf(hub.loads.get("shop") ?? never())).toBe(terms === still ? 1000 : learned);
    }
  });

  it("grant retries to those alone that make any", ({ expect }) => {
    const hub = newHub();
    const none = { ...TERMS, retryShare: null };
    expect(ask(hub, "one", SETTLED, { terms: none }).retries).toBe(0);
    expect(ask(hub, "two", SETTLED).retries).toBeGreaterThan(0);
    expect(ask(hub, "one", SETTLED, { terms: none }).retries).toBe(0);
  });
});

describe("upstreams", () => {
  it("are a bounded number; of others nothing is said", ({ expect }) => {
    const hub = newHub();
    for (let index = 0; index < MAX_LOADS; index++) {
      ask(hub, "one", SETTLED, { terms: { ...TERMS, upstream: `u${index}` } });
    }
    const more = { terms: { ...TERMS, upstream: "more" }, inflight: 1, waiting: 0, limit: 10 };
    expect(answerLoadAsk(hub, "one", more, SETTLED)).toBeNull();
    noteReportedLoad(hub, "one", overload(3, more.terms), SETTLED);
    expect(hub.loads.size).toBe(MAX_LOADS);
    expect(ask(hub, "two", SETTLED, { terms: { ...TERMS, upstream: "u0" } }).upstream).toBe("u0");
  });
});

function never(): never {
  throw new Error("the upstream is not known");
}
