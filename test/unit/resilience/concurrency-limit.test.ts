import { describe, it } from "vitest";
import {
  AimdLimit,
  DROP_FLOOR,
  LATENCY_FLOOR,
  LONGEST_HOLD_MS,
  SHORTEST_HOLD_MS,
  WINDOW_MS,
  WINDOW_SAMPLES,
} from "../../../src/resilience/aimd-limit.ts";
import {
  ISOLATE_START_LIMIT,
  SampleFate,
  createFixedLimit,
} from "../../../src/resilience/concurrency-limit.ts";
import { fc, test } from "./property.ts";

interface Sample {
  readonly latencyMs?: number;
  readonly inflight: number;
  readonly fate?: SampleFate;
}

/** A limit that is fed in virtual time; every sample ends where the clock stands. */
class Feed {
  readonly limit: AimdLimit;
  now = 10_000;

  constructor(max: number) {
    this.limit = new AimdLimit(max);
  }

  one({ latencyMs = 100, inflight, fate = SampleFate.served }: Sample): boolean {
    return this.limit.observe(latencyMs, inflight, inflight, this.now - latencyMs, fate, this.now);
  }

  /** Windows of 100 ms with enough samples, all alike. */
  windows(count: number, sample: Sample): void {
    for (let index = 0; index < count * WINDOW_SAMPLES; index++) {
      this.now += 10;
      this.one(sample);
    }
  }
}

describe("the adaptive limit", () => {
  it("starts at its maximum, or where a cold upstream starts, and stays there while nothing is wrong", ({
    expect,
  }) => {
    for (const max of [50, 1000]) {
      const feed = new Feed(max);
      feed.windows(100, { inflight: 20 });
      expect(feed.limit.current).toBe(Math.min(max, ISOLATE_START_LIMIT));
      expect(feed.limit.ceiling).toBe(max);
    }
  });

  it("doubles while half of it is in use and each window serves a quarter more", ({ expect }) => {
    const feed = new Feed(1000);
    const limits = [100, 125, 157, 197, 247, 309].map((served) => {
      for (let index = 0; index < served; index++) {
        feed.now += WINDOW_MS / served;
        feed.one({ inflight: feed.limit.current / 2 });
      }
      return feed.limit.current;
    });
    expect(limits).toEqual([0, 1, 2, 3, 4, 5].map((step) => Math.min(1000, ISOLATE_START_LIMIT * 2 ** step)));
  });

  it("stops doubling when what it lets in is not served sooner, as where it only queues", ({ expect }) => {
    const feed = new Feed(1000);
    feed.windows(2, { inflight: ISOLATE_START_LIMIT, latencyMs: 1 });
    expect(feed.limit.current).toBe(ISOLATE_START_LIMIT);
    feed.windows(2, { inflight: ISOLATE_START_LIMIT, latencyMs: 1 });
    expect(feed.limit.current).toBe(ISOLATE_START_LIMIT + Math.sqrt(ISOLATE_START_LIMIT));
  });

  test("stays between one and its maximum, whatever it sees", () => {
    const samples = fc.array(
      fc.record({
        waitMs: fc.nat({ max: 300 }),
        latencyMs: fc.integer({ min: 0, max: 20_000 }),
        inflight: fc.integer({ min: 1, max: 2000 }),
        fate: fc.constantFrom(
          SampleFate.served,
          SampleFate.refused,
          SampleFate.throttled,
          SampleFate.timedOut,
        ),
      }),
      { maxLength: 300 },
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 500 }), samples, (max, sequence) => {
        const feed = new Feed(max);
        return sequence.every(({ waitMs, ...sample }) => {
          feed.now += waitMs;
          feed.one(sample);
          const { current, ceiling } = feed.limit;
          const whole = Number.isInteger(current) && Number.isInteger(ceiling);
          return whole && current >= 1 && current <= max && ceiling >= 1 && ceiling <= max;
        });
      }),
    );
  });

  it("netflix: a refusal shrinks it, whatever the latency", ({ expect }) => {
    const feed = new Feed(1000);
    expect(feed.one({ inflight: 11, latencyMs: 1, fate: SampleFate.refused })).toBe(true);
    expect(feed.limit.current).toBe(10);
  });

  it("refusals of what was under way at the cut say no more than the first one", ({ expect }) => {
    const feed = new Feed(1000);
    const startedAt = feed.now - 5;
    for (const inflight of [41, 45, 43, 50]) {
      expect(feed.limit.observe(5, inflight, 40, startedAt, SampleFate.refused, feed.now)).toBe(true);
    }
    expect(feed.limit.current).toBe(40);
  });

  it("a later refusal beyond the ceiling leaves it where it is", ({ expect }) => {
    const feed = new Feed(1000);
    feed.one({ inflight: 11, latencyMs: 1, fate: SampleFate.refused });
    feed.now += 50;
    expect(feed.one({ inflight: 12, latencyMs: 1, fate: SampleFate.refused })).toBe(true);
    expect(feed.limit.current).toBe(10);
  });

  it("a refusal with no more in flight than was served lately is a failure, not a full upstream", ({
    expect,
  }) => {
    const feed = new Feed(1000);
    feed.windows(2, { inflight: 20 });
    expect(feed.one({ inflight: 20, fate: SampleFate.refused })).toBe(false);
    expect(feed.one({ inflight: DROP_FLOOR, fate: SampleFate.refused })).toBe(false);
    expect(feed.limit.current).toBe(ISOLATE_START_LIMIT);
  });

  it("a tenth refused at what seemed to be served tells that some of it was only on its way", ({
    expect,
  }) => {
    const feed = new Feed(1000);
    feed.windows(2, { inflight: 31 });
    const refuse = (): boolean => feed.one({ inflight: 31, latencyMs: 1, fate: SampleFate.refused });
    feed.windows(1, { inflight: 30 });
    const [first] = [refuse(), refuse()];
    feed.windows(1, { inflight: 30 });
    expect([first, feed.limit.current]).toEqual([false, Math.floor(30 * 0.9)]);
    feed.now += 10;
    expect([refuse(), feed.limit.ceiling]).toEqual([true, Math.floor(30 * 0.9)]);
  });

  it("an upstream that refuses all is found to be failing after one round trip", ({ expect }) => {
    const feed = new Feed(1000);
    feed.one({ inflight: 50, latencyMs: 10, fate: SampleFate.refused });
    feed.now += 100;
    expect(feed.one({ inflight: 49, latencyMs: 10, fate: SampleFate.refused })).toBe(false);
  });

  it("tries its ceiling again after a while, and waits longer while it is confirmed", ({ expect }) => {
    const feed = new Feed(1000);
    const holds: number[] = [];
    const burst = [11, 13, 12];
    for (const inflight of burst) feed.one({ inflight, latencyMs: 1, fate: SampleFate.refused });
    for (let round = 0; round < 6; round++) {
      const refusedAt = feed.now;
      while (feed.limit.current <= 10) feed.windows(1, { inflight: 10 });
      holds.push(feed.now - refusedAt);
      feed.one({ inflight: 11, latencyMs: 1, fate: SampleFate.refused });
    }
    expect(feed.limit.current).toBe(10);
    expect(holds[0]).toBeGreaterThanOrEqual(SHORTEST_HOLD_MS);
    expect(holds[0]).toBeLessThan(SHORTEST_HOLD_MS + 500);
    expect(holds[1]).toBeGreaterThanOrEqual(2 * SHORTEST_HOLD_MS);
    expect(holds.at(-1)).toBeGreaterThanOrEqual(LONGEST_HOLD_MS);
    expect(holds.at(-1)).toBeLessThan(LONGEST_HOLD_MS + 500);
  });

  it("netflix: time-outs shrink it to nine tenths of what is in flight, a window at a time", ({ expect }) => {
    const feed = new Feed(1000);
    feed.windows(3, { inflight: 50, latencyMs: 100, fate: SampleFate.timedOut });
    expect(feed.limit.current).toBeLessThanOrEqual(45);
    expect(feed.limit.current).toBeGreaterThanOrEqual(40);
  });

  it("a single time-out among many answers changes nothing", ({ expect }) => {
    const feed = new Feed(1000);
    feed.windows(2, { inflight: 5 });
    feed.one({ inflight: 5, latencyMs: 10_000, fate: SampleFate.timedOut });
    feed.windows(3, { inflight: 5 });
    expect(feed.limit.current).toBe(ISOLATE_START_LIMIT);
  });

  it("half of a window throttled shrinks it, less does not", ({ expect }) => {
    const shrunk = [4, 6].map((throttled) => {
      const feed = new Feed(1000);
      for (let window = 0; window < 5; window++) {
        for (let index = 0; index < WINDOW_SAMPLES; index++) {
          feed.now += 11;
          feed.one({ inflight: 50, fate: index < throttled ? SampleFate.throttled : SampleFate.served });
        }
      }
      return feed.limit.current < 100;
    });
    expect(shrunk).toEqual([false, true]);
  });

  it("netflix: does not grow while less than half of it is in use", ({ expect }) => {
    const grown = [20, 21].map((inflight) => {
      const feed = new Feed(1000);
      feed.one({ inflight: 43, latencyMs: 1, fate: SampleFate.refused });
      feed.windows(1, { inflight });
      feed.now += SHORTEST_HOLD_MS + 1;
      feed.windows(10, { inflight });
      return feed.limit.current;
    });
    expect(grown[0]).toBe(42);
    expect(grown[1]).toBeGreaterThan(42);
  });

  it("grows by one a window after it was cut, by its root when that is long ago", ({ expect }) => {
    const feed = new Feed(1000);
    feed.one({ inflight: 101, latencyMs: 1, fate: SampleFate.refused });
    feed.now += SHORTEST_HOLD_MS + 1;
    feed.windows(2, { inflight: 100 });
    const before = feed.limit.current;
    feed.windows(10, { inflight: 100 });
    expect(feed.limit.current - before).toBeGreaterThanOrEqual(8);
    expect(feed.limit.current - before).toBeLessThanOrEqual(11);
    feed.now += 30_000;
    feed.windows(1, { inflight: 100 });
    const later = feed.limit.current;
    feed.windows(1, { inflight: 100 });
    expect(feed.limit.current - later).toBeGreaterThanOrEqual(9);
  });

  it("netflix: tolerates a small rise of the latency", ({ expect }) => {
    const feed = new Feed(1000);
    feed.windows(10, { inflight: 20, latencyMs: 100 });
    feed.windows(50, { inflight: 31, latencyMs: 200 });
    expect(feed.limit.current).toBe(ISOLATE_START_LIMIT);
  });

  it("netflix: shrinks when requests queue, at once to what would be borne", ({ expect }) => {
    const feed = new Feed(1000);
    feed.windows(5, { inflight: 10, latencyMs: 100 });
    feed.windows(1, { inflight: 60, latencyMs: 300 });
    expect(feed.limit.current).toBe(ISOLATE_START_LIMIT);
    feed.windows(1, { inflight: 60, latencyMs: 300 });
    // In flight * (2 * baseline + 25) / latency.
    expect(feed.limit.current).toBe(Math.floor((60 * 225) / 300));
  });

  it("congestion does not cut again for what stood in the queue of before the cut", ({ expect }) => {
    const feed = new Feed(1000);
    feed.windows(5, { inflight: 10, latencyMs: 100 });
    feed.windows(2, { inflight: 60, latencyMs: 300 });
    const cut = feed.limit.current;
    feed.windows(8, { inflight: cut, latencyMs: 300 });
    expect(feed.limit.current).toBe(cut);
    feed.windows(1, { inflight: cut, latencyMs: 300 });
    expect(feed.limit.current).toBe(Math.floor((cut * 225) / 300));
  });

  it("congestion never cuts below what twice the usual latency needs", ({ expect }) => {
    const feed = new Feed(1000);
    feed.windows(5, { inflight: 50, latencyMs: 200 });
    feed.windows(4, { inflight: 60, latencyMs: 2000 });
    // Windows take 200 ms now, in which twenty are served: 2 * 200 * 0.1 = 40; borne were 60 * 425 / 2000.
    expect(feed.limit.current).toBe(40);
  });

  it("latency alone never cuts below its floor", ({ expect }) => {
    const feed = new Feed(1000);
    feed.windows(5, { inflight: 4, latencyMs: 10 });
    for (let window = 0; window < 40; window++) {
      feed.windows(1, {
        inflight: Math.min(50, feed.limit.current),
        latencyMs: 100 + feed.limit.current * 50,
      });
      expect(feed.limit.current).toBeGreaterThanOrEqual(LATENCY_FLOOR);
    }
  });

  it("when fewer in flight do not make it faster, it was not our doing: the limit comes back", ({
    expect,
  }) => {
    const feed = new Feed(1000);
    feed.windows(10, { inflight: 40, latencyMs: 20 });
    let least = 1000;
    for (let window = 0; window < 200; window++) {
      feed.windows(1, { inflight: Math.min(100, feed.limit.current), latencyMs: 600 });
      least = Math.min(least, feed.limit.current);
    }
    // Borne were 100 * (2 * 20 + 25) / 600.
    expect(least).toBe(LATENCY_FLOOR);
    expect(feed.limit.current).toBeGreaterThanOrEqual(100);
  });

  it("netflix: without samples it does not change", ({ expect }) => {
    const feed = new Feed(1000);
    feed.one({ inflight: 11, latencyMs: 1, fate: SampleFate.refused });
    feed.now += 3_600_000;
    expect(feed.limit.current).toBe(10);
  });

  it("starts over when the upstream was away", ({ expect }) => {
    const feed = new Feed(1000);
    feed.one({ inflight: 11, latencyMs: 1, fate: SampleFate.refused });
    feed.limit.forget();
    expect(feed.limit.current).toBe(1000);
  });
});

describe("a refusal before anything was served", () => {
  it("tells where to stop, however little was in flight; once something was served, four do not", ({
    expect,
  }) => {
    const [fresh, used] = [new Feed(1000), new Feed(1000)];
    used.now += 100;
    used.one({ inflight: 1 });
    for (const feed of [fresh, used]) {
      feed.now += 200;
      feed.one({ latencyMs: 2, inflight: 3, fate: SampleFate.refused });
    }
    expect([fresh.limit.current, used.limit.current]).toEqual([2, ISOLATE_START_LIMIT]);
  });
});

describe("the adaptive limit under a region's hub", () => {
  it("goes along with its share where nothing else binds it", ({ expect }) => {
    const { limit } = new Feed(1000);
    const limits = [50, 80, 30, 300, 2000].map((share) => {
      limit.follow(share);
      return limit.current;
    });
    expect(limits).toEqual([50, 80, 30, 300, 1000]);
    expect(limit.ceiling).toBe(1000);
  });

  it("goes on from its share when the hub is gone, and grows no further than it is told", ({ expect }) => {
    const feed = new Feed(1000);
    feed.limit.follow(30);
    feed.limit.follow(null, 50);
    expect(feed.limit.current).toBe(30);
    feed.windows(100, { inflight: 50 });
    expect(feed.limit.current).toBe(50);
    expect(feed.limit.ceiling).toBe(1000);
  });

  it("keeps to what it has cut by itself, and grows no further than its share", ({ expect }) => {
    const feed = new Feed(1000);
    feed.limit.follow(100);
    feed.one({ inflight: 61, latencyMs: 1, fate: SampleFate.refused });
    feed.limit.follow(100);
    expect(feed.limit.current).toBe(60);
    feed.limit.follow(20);
    feed.limit.follow(40);
    expect(feed.limit.current).toBe(40);
    feed.now += SHORTEST_HOLD_MS + 1;
    feed.windows(100, { inflight: 40 });
    expect(feed.limit.current).toBe(40);
  });

  it("goes on from its share, up to what is configured, when the hub is gone", ({ expect }) => {
    const feed = new Feed(1000);
    feed.limit.follow(40);
    feed.limit.follow(null);
    expect(feed.limit.current).toBe(40);
    feed.windows(100, { inflight: 1000 });
    expect(feed.limit.current).toBe(1000);
  });

  it("is given leave by a larger share, and finds out by itself whether to use it", ({ expect }) => {
    const { limit } = new Feed(1000);
    limit.follow(200);
    expect(limit.current).toBe(ISOLATE_START_LIMIT);
  });
});

describe("an adaptive limit that obeys its region", () => {
  it("goes by what it is told, whatever it has found out itself", ({ expect }) => {
    const feed = new Feed(1000);
    feed.limit.follow(50);
    feed.windows(2, { inflight: 30 });
    feed.now += 100;
    feed.one({ latencyMs: 2, inflight: 40, fate: SampleFate.refused });
    expect(feed.limit.current).toBe(39);
    feed.limit.follow(45);
    expect(feed.limit.current).toBe(39);
    feed.limit.obey(45);
    expect([feed.limit.current, feed.limit.ceiling]).toEqual([45, 1000]);
  });
});

describe("the fixed limit", () => {
  it("stays where it is and explains no failure away", ({ expect }) => {
    const limit = createFixedLimit(7);
    expect(limit.observe(1, 100, 100, 0, SampleFate.refused, 1)).toBe(false);
    limit.forget();
    expect([limit.current, limit.ceiling]).toEqual([7, 7]);
  });

  it("is the isolate's part while a hub says which", ({ expect }) => {
    const limit = createFixedLimit(7);
    limit.follow(3);
    expect([limit.current, limit.ceiling]).toEqual([3, 7]);
    limit.follow(null);
    expect(limit.current).toBe(7);
  });
});
