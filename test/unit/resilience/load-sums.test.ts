import { describe, it } from "vitest";
import { SampleFate } from "../../../src/resilience/concurrency-limit.ts";
import type { ShedTally } from "../../../src/resilience/cursor.ts";
import { createShedTally } from "../../../src/resilience/cursor.ts";
import { bucketOf } from "../../../src/resilience/latency.ts";
import { LEVEL_COUNT } from "../../../src/resilience/level.ts";
import type { LimitWindow } from "../../../src/resilience/limit-window.ts";
import {
  callsIn,
  createLimitWindow,
  emptyWindow,
  fillWindow,
  tailOf,
} from "../../../src/resilience/limit-window.ts";
import type { LoadNews, LoadSums } from "../../../src/resilience/load-sums.ts";
import {
  createLoadSums,
  noteOriginalLoad,
  noteSample,
  takeLoadNews,
} from "../../../src/resilience/load-sums.ts";
import { fc, test } from "./property.ts";

const NOW = 1_800_000_000_000;
const FATES = Object.values(SampleFate);

interface Seen {
  readonly level: number;
  readonly latencyMs: number;
  readonly inflight: number;
  readonly fate: SampleFate;
  readonly isolate: number;
}

const seen: fc.Arbitrary<Seen> = fc.record({
  level: fc.nat({ max: LEVEL_COUNT - 1 }),
  latencyMs: fc.nat({ max: 20_000 }),
  inflight: fc.integer({ min: 1, max: 1000 }),
  fate: fc.constantFrom(...FATES),
  isolate: fc.nat({ max: 3 }),
});
const calls = fc.array(seen, { maxLength: 200 });

interface Ledger {
  readonly sums: LoadSums;
  readonly tally: ShedTally;
}

function ledger(): Ledger {
  return { sums: createLoadSums(), tally: createShedTally() };
}

function note({ sums, tally }: Ledger, { level, latencyMs, inflight, fate }: Seen): void {
  noteOriginalLoad(sums, NOW);
  noteSample(sums, latencyMs, inflight, fate);
  tally.arrivals[level]++;
  tally.settled++;
  if (fate === SampleFate.served) tally.ok++;
  else tally.signals++;
  tally.lineBusyMs += 0.25;
}

function sumOf(news: readonly (LoadNews | null)[], of: (one: LoadNews) => number): number {
  return news.reduce((sum, one) => sum + (one === null ? 0 : of(one)), 0);
}

/** Counts by index, of pairs. */
function countsOf(
  news: readonly (LoadNews | null)[],
  of: (one: LoadNews) => readonly number[],
): Map<number, number> {
  const counts = new Map<number, number>();
  for (const one of news) {
    const pairs = one === null ? [] : of(one);
    for (let at = 0; at < pairs.length; at += 2) {
      counts.set(pairs[at], (counts.get(pairs[at]) ?? 0) + pairs[at + 1]);
    }
  }
  return counts;
}

const NUMBERS = [
  "settled",
  "ok",
  "signals",
  "refused",
  "throttled",
  "timedOut",
  "busyMs",
  "originals",
] as const;

describe("what an isolate has seen of a load", () => {
  test("is gone when it is taken, with the tally", () => {
    fc.assert(
      fc.property(calls, (sequence) => {
        const { sums, tally } = ledger();
        for (const one of sequence) note({ sums, tally }, one);
        sums.retries = sequence.length;
        const news = takeLoadNews(sums, tally, NOW + 700);
        const fresh = { ...createLoadSums(), since: NOW + 700 };
        const isEmpty = JSON.stringify(sums) === JSON.stringify(fresh);
        const isTallyEmpty = JSON.stringify(tally) === JSON.stringify(createShedTally());
        const again = takeLoadNews(sums, tally, NOW + 900);
        return isEmpty && isTallyEmpty && again === null && (news === null) === (sequence.length === 0);
      }),
    );
  });

  test("adds up over isolates to what one that saw everything would tell", ({ expect }) => {
    fc.assert(
      fc.property(calls, (sequence) => {
        const one = ledger();
        const several = [0, 1, 2, 3].map(() => ledger());
        for (const call of sequence) {
          note(one, call);
          note(several[call.isolate], call);
        }
        const whole = [takeLoadNews(one.sums, one.tally, NOW + 1000)];
        const parts = several.map(({ sums, tally }) => takeLoadNews(sums, tally, NOW + 1000));
        for (const name of NUMBERS) {
          expect(sumOf(parts, (news) => news[name])).toBe(sumOf(whole, (news) => news[name]));
        }
        expect(countsOf(parts, ({ arrivals }) => arrivals)).toEqual(
          countsOf(whole, ({ arrivals }) => arrivals),
        );
        expect(countsOf(parts, ({ served }) => served)).toEqual(countsOf(whole, ({ served }) => served));
        const least = parts.flatMap((news) =>
          news === null || news.refused === 0 ? [] : [news.refusedInflight],
        );
        expect(whole[0]?.refusedInflight ?? 0).toBe(least.length === 0 ? 0 : Math.min(...least));
      }),
    );
  });

  test("round-trips through pairs: every call, in its bucket and at its level", ({ expect }) => {
    fc.assert(
      fc.property(calls, (sequence) => {
        const { sums, tally } = ledger();
        for (const one of sequence) note({ sums, tally }, one);
        const news = takeLoadNews(sums, tally, NOW + 1000);
        const levels = new Map<number, number>();
        const buckets = new Map<number, number>();
        for (const { level, latencyMs, fate } of sequence) {
          levels.set(level, (levels.get(level) ?? 0) + 1);
          const bucket = bucketOf(latencyMs);
          if (fate === SampleFate.served) buckets.set(bucket, (buckets.get(bucket) ?? 0) + 1);
        }
        expect(countsOf([news], ({ arrivals }) => arrivals)).toEqual(levels);
        expect(countsOf([news], ({ served }) => served)).toEqual(buckets);
      }),
    );
  });

  it("spans the time since the last report, the first one since the first request", ({ expect }) => {
    const { sums, tally } = ledger();
    expect(takeLoadNews(createLoadSums(), tally, NOW)).toBeNull();
    for (const atMs of [0, 400]) noteOriginalLoad(sums, NOW + atMs);
    noteSample(sums, 300, 1, SampleFate.served);
    expect(takeLoadNews(sums, tally, NOW + 500)).toMatchObject({ spanMs: 500, busyMs: 300, originals: 2 });
    noteSample(sums, 300, 1, SampleFate.served);
    expect(takeLoadNews(sums, tally, NOW + 1700)).toMatchObject({ spanMs: 1200 });
    noteSample(sums, 300, 1, SampleFate.served);
    expect(takeLoadNews(sums, tally, NOW + 1700)).toMatchObject({ spanMs: 1 });
  });

  it("tells of refused requests with nothing sent, which is what shedding is", ({ expect }) => {
    const { sums, tally } = ledger();
    tally.arrivals[400] = 3;
    expect(takeLoadNews(sums, tally, NOW)).toMatchObject({ arrivals: [400, 3], served: [], originals: 0 });
  });
});

function windowOf(latencies: readonly number[]): LimitWindow {
  const { sums, tally } = ledger();
  for (const latencyMs of latencies) noteSample(sums, latencyMs, 1, SampleFate.served);
  const window = createLimitWindow();
  const news = takeLoadNews(sums, tally, NOW);
  if (news !== null) fillWindow(window, news, NOW);
  return window;
}

describe("a window of calls", () => {
  const latencies = fc.array(fc.integer({ min: 1, max: 60_000 }), { minLength: 1, maxLength: 300 });
  const quantiles = fc.double({ min: 0.01, max: 1, noNaN: true });

  test("knows a quantile of latencies to within its bucket, an eighth of a doubling", () => {
    fc.assert(
      fc.property(latencies, quantiles, (sequence, quantile) => {
        const sorted = sequence.toSorted((one, other) => one - other);
        const exact = sorted[Math.ceil(sorted.length * quantile - 1e-9) - 1];
        const tail = tailOf(windowOf(sequence), quantile);
        return tail >= exact / 2 ** (1 / 8) - 1e-9 && tail <= exact * 2 ** (1 / 8) + 1e-9;
      }),
    );
  });

  test("never says less of a greater quantile", () => {
    fc.assert(
      fc.property(latencies, quantiles, quantiles, (sequence, one, other) => {
        const window = windowOf(sequence);
        return tailOf(window, Math.min(one, other)) <= tailOf(window, Math.max(one, other)) + 1e-9;
      }),
    );
  });

  it("finds the place of a quantile between the bounds of a bucket that holds all", ({ expect }) => {
    const window = windowOf(Array.from({ length: 100 }, () => 100));
    const [low, middle, high] = [0.0001, 0.5, 1].map((quantile) => tailOf(window, quantile));
    expect(high / low).toBeCloseTo(2 ** (1 / 8), 3);
    expect(middle / low).toBeCloseTo(2 ** (1 / 16), 3);
    expect(low).toBeLessThanOrEqual(100);
    expect(high).toBeGreaterThan(100);
  });

  it("knows nothing of latencies when nothing was served", ({ expect }) => {
    expect(tailOf(createLimitWindow(), 0.9)).toBe(0);
  });

  it("begins when its first report does, counts what ended and what did not end well, and empties", ({
    expect,
  }) => {
    const window = createLimitWindow();
    const { sums, tally } = ledger();
    noteOriginalLoad(sums, NOW - 800);
    for (const fate of FATES) noteSample(sums, 50, 3, fate);
    tally.settled = 9;
    tally.ok = 2;
    const news = takeLoadNews(sums, tally, NOW);
    if (news === null) throw new Error("nothing was seen");
    fillWindow(window, news, NOW);
    fillWindow(window, news, NOW + 100);
    expect(window).toMatchObject({ startedAt: NOW - 800, refused: 2, throttled: 2, timedOut: 2 });
    expect(window).toMatchObject({ servedCount: 2, turnedAway: 14 });
    expect(callsIn(window)).toBe(8);
    emptyWindow(window, NOW + 100);
    expect(window).toEqual({ ...createLimitWindow(), startedAt: NOW + 100 });
  });
});
