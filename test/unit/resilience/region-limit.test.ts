import { describe, it } from "vitest";
import { START_LIMIT } from "../../../src/resilience/concurrency-limit.ts";
import { bucketOf } from "../../../src/resilience/latency.ts";
import { createLimitWindow, fillWindow, tailOf } from "../../../src/resilience/limit-window.ts";
import type { LoadNews } from "../../../src/resilience/load-sums.ts";
import {
  CAP_FLOOR,
  FEWEST_CALLS,
  FULL_MS,
  LIMIT_FLOOR,
  LIMIT_WINDOW_MS,
  LONGEST_LIMIT_WINDOW_MS,
  WINDOW_CALLS,
  createRegionLimit,
  isKnownFull,
  learnLimit,
  limitOf,
} from "../../../src/resilience/region-limit.ts";
import { fc, test } from "./property.ts";

const ISOLATES = 10;

/** What a region did within a second, all alike. */
interface Second {
  readonly inflight: number;
  readonly latencyMs?: number;
  readonly served?: number;
  readonly refused?: number;
  readonly throttled?: number;
  readonly timedOut?: number;
  /** Requests that were turned away before they were sent. */
  readonly shed?: number;
  /** What the isolates go by, all together; the limit if nothing is said. */
  readonly goneBy?: number;
}

function newsOf(second: Second, spanMs = 1000): LoadNews {
  const { latencyMs = 100, served = 1000, refused = 0, throttled = 0, timedOut = 0, shed = 0 } = second;
  const ended = served + refused + throttled + timedOut;
  return {
    spanMs,
    arrivals: [],
    settled: ended + shed,
    ok: served,
    signals: 0,
    lineBusyMs: 0,
    served: served === 0 ? [] : [bucketOf(latencyMs), served],
    refused,
    throttled,
    timedOut,
    busyMs: 0,
    refusedInflight: 0,
    originals: ended,
    retries: 0,
  };
}

/** What the limit sees of calls that take so long. */
function tailMs(latencyMs: number): number {
  const window = createLimitWindow();
  fillWindow(window, newsOf({ inflight: 1, latencyMs }), 0);
  return tailOf(window, 0.9);
}

/** A limit that hears of its region once a second. */
class Feed {
  readonly limit: ReturnType<typeof createRegionLimit>;
  now = 1_800_000_000_000;

  constructor(max = 1000) {
    this.limit = createRegionLimit(max);
  }

  get current(): number {
    return limitOf(this.limit);
  }

  seconds(count: number, second: Second): void {
    for (let index = 0; index < count; index++) {
      this.now += 1000;
      const { inflight, served = 1000, goneBy = this.current } = second;
      const sums = { inflight, servedPerMs: served / 1000, isolates: ISOLATES, goneBy };
      learnLimit(this.limit, newsOf(second), sums, this.now);
    }
  }
}

/** A limit that everybody has reported to. */
function known(max = 1000): Feed {
  const feed = new Feed(max);
  feed.seconds(3, { inflight: 60 });
  return feed;
}

/** A region that serves 100 at a time within 100 ms and then queues: 400 of them take 400 ms. */
function queueing(): Feed {
  const feed = new Feed();
  feed.seconds(6, { inflight: 100, latencyMs: 100 });
  feed.seconds(1, { inflight: 400, latencyMs: 400 });
  return feed;
}

/** Vegas' beta and what many isolates need, halved. */
function alphaOf(limit: number): number {
  return (6 * Math.log10(limit) + Math.sqrt(limit * ISOLATES) / 2) / 2;
}

describe("a region's limit while nothing is wrong", () => {
  it("starts at its maximum, or where a cold upstream starts, and stays there", ({ expect }) => {
    for (const max of [100, 1000]) {
      const feed = new Feed(max);
      feed.seconds(60, { inflight: 60 });
      expect(feed.current).toBe(Math.min(max, START_LIMIT));
    }
  });

  it("doubles while half of it is in use, up to its maximum, until something has been cut", ({ expect }) => {
    const feed = new Feed();
    const limits = [START_LIMIT / 2, START_LIMIT, 500].map((inflight) => {
      feed.seconds(1, { inflight });
      return feed.current;
    });
    expect(limits).toEqual([2 * START_LIMIT, 1000, 1000]);
  });

  it("grows in a steady time only while hardly anything waits at the upstream", ({ expect }) => {
    const limits = [120, 100].map((latencyMs) =>
      [0, 60_000].map((steadyMs) => {
        const feed = new Feed();
        Object.assign(feed.limit, { exact: 100, ceiling: 100, isUntried: false });
        feed.seconds(3, { inflight: 40, latencyMs: 100 });
        feed.limit.steadyUntil = feed.now + steadyMs;
        feed.seconds(3, { inflight: 95, latencyMs });
        return feed.current > 100;
      }),
    );
    expect(limits).toEqual([
      [true, false],
      [true, true],
    ]);
  });

  it("does not grow while less than half of it is in use", ({ expect }) => {
    const feed = queueing();
    const cut = feed.current;
    feed.seconds(120, { inflight: cut / 2 - 1 });
    expect(feed.current).toBe(cut);
    feed.seconds(1, { inflight: cut / 2 + 1 });
    expect(feed.current).toBeGreaterThan(cut);
  });

  it("never passes five times what was in flight within a minute, or a hundred", ({ expect }) => {
    const feed = new Feed();
    feed.seconds(6, { inflight: 30 });
    expect(feed.current).toBe(5 * 30);
    feed.seconds(1, { inflight: 40 });
    expect(feed.current).toBe(5 * 40);
    feed.seconds(30, { inflight: 10 });
    expect(feed.current).toBe(5 * 40);
    feed.seconds(60, { inflight: 10 });
    expect(feed.current).toBe(CAP_FLOOR);
  });

  it("waits for enough calls before it judges, and with little traffic for five seconds", ({ expect }) => {
    const [feed, quiet] = [known(), known()];
    const failing = { inflight: 50, served: 0 };
    const sums = { inflight: 50, servedPerMs: 0, isolates: ISOLATES, goneBy: START_LIMIT };
    feed.seconds(1, { ...failing, timedOut: WINDOW_CALLS - 1 });
    expect(feed.current).toBe(START_LIMIT);
    learnLimit(feed.limit, newsOf({ ...failing, timedOut: 1 }), sums, feed.now + 10);
    expect(feed.current).toBe(0.9 * 60);
    quiet.seconds(1, { ...failing, timedOut: FEWEST_CALLS });
    quiet.now += LONGEST_LIMIT_WINDOW_MS - LIMIT_WINDOW_MS - 1001;
    quiet.seconds(1, { ...failing, timedOut: 0 });
    expect(quiet.current).toBe(START_LIMIT);
    learnLimit(quiet.limit, newsOf({ ...failing, timedOut: 0 }), sums, quiet.now + 1);
    expect(quiet.current).toBe(0.9 * 60);
  });
});

describe("queueing at the upstream", () => {
  it("cuts to what was in flight at its best latency, and half of what may wait", ({ expect }) => {
    const feed = queueing();
    const baselineMs = tailMs(100);
    const smoothMs = baselineMs + 0.3 * (tailMs(400) - baselineMs);
    const expected = (400 * baselineMs) / smoothMs + alphaOf(START_LIMIT);
    expect(feed.current).toBe(Math.floor(expected));
  });

  it("cuts to no less than half in one step, unless it is clear", ({ expect }) => {
    const limits = [700, 20_000].map((latencyMs) => {
      const feed = new Feed();
      feed.seconds(6, { inflight: 100, latencyMs: 100 });
      feed.seconds(1, { inflight: 240, latencyMs });
      return feed.current;
    });
    expect(limits[0]).toBe(240 / 2);
    expect(limits[1]).toBeLessThan(240 / 4);
  });

  it("tolerates what a divided limit needs", ({ expect }) => {
    const feed = new Feed();
    feed.seconds(6, { inflight: 100, latencyMs: 100 });
    feed.seconds(60, { inflight: 120, latencyMs: 130 });
    expect(feed.current).toBe(START_LIMIT);
  });

  it("does not judge a cut by what was begun before it", ({ expect }) => {
    const feed = queueing();
    const cut = feed.current;
    feed.seconds(2, { inflight: 390, latencyMs: 400 });
    expect(feed.current).toBe(cut);
  });

  it("gives back what a cut has cost: served less, it was not our doing", ({ expect }) => {
    const feed = queueing();
    const cut = feed.current;
    feed.seconds(2, { inflight: cut, latencyMs: 400 });
    feed.seconds(1, { inflight: cut, latencyMs: 400, served: 900 });
    // And grows by 3 % from there.
    expect(feed.current).toBe(Math.floor(1.03 * START_LIMIT));
    // This latency is the usual one now, and nothing is tried for half a minute.
    feed.seconds(20, { inflight: 220, latencyMs: 900, served: 900 });
    expect(feed.current).toBeGreaterThanOrEqual(START_LIMIT);
    feed.seconds(20, { inflight: 220, latencyMs: 900, served: 900 });
    expect(feed.current).toBeLessThan(START_LIMIT);
  });

  it("keeps a cut that has cost no more than chance does", ({ expect }) => {
    const feed = queueing();
    const cut = feed.current;
    feed.seconds(2, { inflight: 100, latencyMs: 100 });
    feed.seconds(2, { inflight: 100, latencyMs: 100, served: 940 });
    expect(feed.current).toBe(cut);
  });

  it("allows more for chance where few calls are served", ({ expect }) => {
    const few = [90, 80].map((served) => {
      const feed = new Feed();
      feed.seconds(6, { inflight: 100, latencyMs: 100, served: 100 });
      feed.seconds(1, { inflight: 400, latencyMs: 400, served: 100 });
      const cut = feed.current;
      feed.seconds(2, { inflight: 100, latencyMs: 100, served: 100 });
      feed.seconds(2, { inflight: 100, latencyMs: 100, served });
      return feed.current - cut;
    });
    expect(few[0]).toBe(0);
    expect(few[1]).toBeGreaterThan(0);
  });

  it("is no reason while more in flight has gone along with more served", ({ expect }) => {
    const feed = new Feed();
    for (const inflight of [60, 70, 80, 90, 100]) feed.seconds(1, { inflight, served: 10 * inflight });
    for (const inflight of [150, 200, 250]) {
      feed.seconds(1, { inflight, latencyMs: 400, served: 10 * inflight });
    }
    expect(feed.current).toBe(START_LIMIT);
  });
});

describe("an upstream that refuses", () => {
  it("cuts a little for a half percent of 503s, to what was in flight and a twentieth", ({ expect }) => {
    const limits = [
      { inflight: 200, refused: 4 },
      { inflight: 200, refused: 6 },
      { inflight: 250, refused: 6 },
    ].map(({ inflight, refused }) => {
      const feed = known(256);
      feed.seconds(2, { inflight, refused, served: 1000 - refused });
      return feed.current;
    });
    expect(limits).toEqual([256, 1.05 * 200, Math.floor(0.98 * 256 - 1)]);
  });

  it("lets growth rest for five seconds, then ten, up to forty while it goes on", ({ expect }) => {
    const feed = known();
    const rests: number[] = [];
    feed.seconds(1, { inflight: 200, refused: 30 });
    for (let round = 0; round < 6; round++) {
      feed.seconds(1, { inflight: 200, refused: 30 });
      const cut = feed.current;
      const from = feed.now;
      while (feed.current <= cut) feed.seconds(1, { inflight: cut });
      rests.push((feed.now - from) / 1000);
    }
    for (const [round, seconds] of [5, 10, 20, 40, 40, 40].entries()) {
      expect(rests[round]).toBeGreaterThanOrEqual(seconds);
      expect(rests[round]).toBeLessThanOrEqual(seconds + 1);
    }
  });

  it("is not judged by refusals before everybody has reported what is in flight", ({ expect }) => {
    const [refusing, silent] = [new Feed(256), new Feed(256)];
    refusing.seconds(1, { inflight: 150, refused: 500, served: 500 });
    expect(refusing.current).toBe(256);
    refusing.seconds(1, { inflight: 150, refused: 500, served: 500 });
    silent.seconds(1, { inflight: 150, timedOut: 500, served: 500 });
    expect([refusing.current, silent.current]).toEqual([0.9 * 150, 0.9 * 150]);
  });

  it("is cut to what was in flight when it refused, not to what was before a sudden load", ({ expect }) => {
    const feed = known(256);
    feed.seconds(1, { inflight: 65, refused: 50, served: 600 });
    expect(feed.current).toBe(256);
    feed.seconds(1, { inflight: 100, refused: 50, served: 950 });
    expect(feed.current).toBe(1.05 * 100);
  });

  it("has what its isolates have found out by themselves, within a fifth of what was in flight", ({
    expect,
  }) => {
    const limits = [130, 300, 90].map((goneBy) => {
      const feed = known(1000);
      feed.seconds(2, { inflight: 100, refused: 200, served: 800, goneBy });
      return feed.current;
    });
    expect(limits).toEqual([1.2 * 100, 0.9 * 100, 1.05 * 100]);
  });

  it("is cut by two in a hundred, and only for that many refusals, once it is known", ({ expect }) => {
    const feed = known(256);
    feed.seconds(2, { inflight: 100, refused: 10, served: 990 });
    expect([feed.current, isKnownFull(feed.limit, feed.now)]).toEqual([105, true]);
    feed.seconds(4, { inflight: 100, refused: 19, served: 981 });
    expect(feed.current).toBe(105);
    feed.seconds(1, { inflight: 80, refused: 21, served: 979 });
    expect(feed.current).toBe(Math.floor(0.98 * 105 - 1));
    feed.seconds(FULL_MS / 1000, { inflight: 40 });
    expect(isKnownFull(feed.limit, feed.now)).toBe(false);
  });

  it("makes nobody try less because calls have become slower", ({ expect }) => {
    const feed = known(256);
    feed.seconds(2, { inflight: 100, refused: 10, served: 990 });
    feed.seconds(20, { inflight: 100, latencyMs: 400 });
    expect(feed.current).toBe(105);
  });

  it("is given nine tenths of what it had when it pushes a tenth back, or throttles half", ({ expect }) => {
    const pushes = [
      { refused: 50, timedOut: 50, served: 900 },
      { timedOut: 99, served: 901 },
      { throttled: 500, served: 500 },
      { throttled: 499, served: 501 },
    ];
    const limits = pushes.map((push) => {
      const feed = known(256);
      feed.seconds(1, { inflight: 150, ...push });
      return feed.current;
    });
    expect(limits).toEqual([0.9 * 150, 256, 0.9 * 150, 256]);
  });
});

describe("a limit that turns requests away", () => {
  it("tries a fifth less when its best latency may have been learned in a queue", ({ expect }) => {
    const limits = [0, 100].map((shed) => {
      const feed = new Feed(256);
      feed.seconds(1, { inflight: 250, latencyMs: 300, shed });
      return feed.current;
    });
    expect(limits).toEqual([256, 0.8 * 250]);
  });

  it("holds a trial against what was served before the first of those that followed each other", ({
    expect,
  }) => {
    const feed = new Feed(256);
    feed.seconds(1, { inflight: 250, latencyMs: 300, shed: 100 });
    feed.seconds(4, { inflight: 200, latencyMs: 280, shed: 100, served: 960 });
    expect(feed.current).toBe(160);
    // Within chance of the 960, not of the 1000.
    feed.seconds(4, { inflight: 160, latencyMs: 260, shed: 100, served: 900 });
    expect(feed.current).toBeGreaterThanOrEqual(200);
  });
});

describe("whatever it sees", () => {
  const reports = fc.array(
    fc.record({
      waitMs: fc.nat({ max: 6000 }),
      inflight: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 5000, noNaN: true })),
      latencyMs: fc.integer({ min: 1, max: 60_000 }),
      served: fc.nat({ max: 3000 }),
      refused: fc.oneof(fc.constant(0), fc.nat({ max: 500 })),
      throttled: fc.oneof(fc.constant(0), fc.nat({ max: 500 })),
      timedOut: fc.oneof(fc.constant(0), fc.nat({ max: 500 })),
      shed: fc.nat({ max: 5000 }),
    }),
    { maxLength: 100 },
  );

  test("it is a whole number from its floor to its maximum, and no more than five times the peak", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2000 }), reports, (max, sequence) => {
        const feed = new Feed(max);
        let peak = 0;
        return sequence.every(({ waitMs, ...second }) => {
          feed.now += waitMs;
          const before = feed.limit.seen.length;
          feed.seconds(1, second);
          const { current } = feed;
          peak = Math.max(peak, second.inflight);
          const isCapped = before < 5 || current <= Math.max(CAP_FLOOR, Math.floor(5 * peak));
          return (
            Number.isInteger(current) && current >= Math.min(LIMIT_FLOOR, max) && current <= max && isCapped
          );
        });
      }),
    );
  });
});
