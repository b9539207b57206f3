// The bounds of what is sent behind responses, on a clock that the tests move.
import { describe, expect, it } from "vitest";
import {
  MAX_BATCH_SPANS,
  MAX_FLUSH_MS,
  MAX_QUEUED_SPANS,
  MAX_TRIES,
  SpanExporter,
  WARN_EVERY_MS,
} from "../../../src/telemetry/span-exporter.ts";
import type { Span } from "../../../src/telemetry/span.ts";
import { readRequest } from "../../integration/rig/otlp-receiver.ts";

const GATHER_MS = 1_000;
const TIMEOUT_MS = 10_000;

interface Waiter {
  readonly at: number;
  readonly resolve: () => void;
}

type Answer = () => Response | Promise<Response>;

/** An exporter whose receiver answers as told, at a time that stands still until it is moved. */
class Bench {
  readonly sizes: number[] = [];
  readonly requests: Request[] = [];
  readonly times: number[] = [];
  readonly lines: Record<string, unknown>[] = [];
  readonly kept: Promise<unknown>[] = [];
  answer: Answer = () => new Response("{}");
  now = 1_700_000_000_000;
  #waiters: Waiter[] = [];
  readonly exporter = new SpanExporter({
    receiver: {
      url: "http://collector.invalid/v1/traces",
      headers: [["authorization", "Bearer x"]],
      timeoutMs: TIMEOUT_MS,
      gatherMs: GATHER_MS,
    },
    resource: { "service.name": "edge" },
    fetch: async (request) => {
      this.requests.push(request);
      this.times.push(this.now);
      this.sizes.push(readRequest(await request.json()).length);
      return this.answer();
    },
    now: () => this.now,
    pause: (ms) => new Promise((resolve) => this.#waiters.push({ at: this.now + ms, resolve })),
    write: (line) => this.lines.push(JSON.parse(line)),
  });

  add(count: number): void {
    this.exporter.add(Array.from({ length: count }, span), (work) => this.kept.push(work));
  }

  /** Moves the clock, from one timer to the next. */
  async pass(ms: number): Promise<void> {
    const until = this.now + ms;
    await settle();
    for (;;) {
      const [next] = this.#waiters.filter(({ at }) => at <= until).toSorted((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.#waiters = this.#waiters.filter((waiter) => waiter !== next);
      this.now = Math.max(this.now, next.at);
      next.resolve();
      await settle();
    }
    this.now = until;
  }
}

/** Lets everything run that waits for no timer. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

function span(): Span {
  return {
    traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
    spanId: "00f067aa0ba902b7",
    parentSpanId: null,
    isParentRemote: false,
    traceState: null,
    name: "GET /",
    kind: 2,
    startMs: 1_700_000_000_000,
    endMs: 1_700_000_000_005,
    attributes: {},
    isError: false,
  };
}

const NOTHING_DROPPED = { queue_full: 0, refused: 0, unanswered: 0 };

describe("spans", () => {
  it("wait for company, and go out together with the configured fields", async () => {
    const bench = new Bench();
    bench.add(3);
    bench.add(2);
    await bench.pass(GATHER_MS - 1);
    expect(bench.sizes).toEqual([]);
    await bench.pass(1);
    expect(bench.sizes).toEqual([5]);
    expect(bench.requests[0].headers.get("authorization")).toBe("Bearer x");
    expect(bench.requests[0].headers.get("content-type")).toBe("application/json");
    await Promise.all(bench.kept);
    expect(bench.kept).toHaveLength(1);
    expect(bench.exporter.exported).toBe(5);
  });

  it("go out at once when a batch is full, and in batches", async () => {
    const bench = new Bench();
    bench.add(MAX_BATCH_SPANS - 1);
    await bench.pass(0);
    expect(bench.sizes).toEqual([]);
    bench.add(MAX_BATCH_SPANS);
    await bench.pass(0);
    expect(bench.sizes).toEqual([MAX_BATCH_SPANS, MAX_BATCH_SPANS - 1]);
  });

  it("that do not fit are dropped whole, counted and said once a minute", async () => {
    const bench = new Bench();
    const { promise, resolve } = Promise.withResolvers<Response>();
    bench.answer = () => promise;
    bench.add(1);
    await bench.pass(GATHER_MS);
    bench.add(MAX_QUEUED_SPANS - 2);
    bench.add(3);
    bench.add(2);
    bench.add(1);
    expect(bench.exporter.dropped).toEqual({ ...NOTHING_DROPPED, queue_full: 4 });
    expect(bench.lines).toMatchObject([{ event: "spans_dropped", reason: "queue_full", spans: 3 }]);
    bench.now += WARN_EVERY_MS;
    bench.add(1);
    expect(bench.lines[1]).toMatchObject({ spans: 2 });
    resolve(new Response("{}"));
    await settle();
  });

  it("are sent by somebody else when the runtime has ended the sender", async () => {
    const bench = new Bench();
    bench.answer = () => new Promise(() => {});
    bench.add(1);
    await bench.pass(GATHER_MS);
    bench.answer = () => new Response("{}");
    bench.add(1);
    await bench.pass(TIMEOUT_MS);
    expect(bench.kept).toHaveLength(1);
    await bench.pass(GATHER_MS);
    bench.add(1);
    expect(bench.kept).toHaveLength(2);
    await bench.pass(GATHER_MS);
    expect(bench.sizes).toEqual([1, 2]);
  });
});

describe("a receiver", () => {
  it("that says so is asked again, three times in all, later each time", async () => {
    const bench = new Bench();
    bench.answer = () => new Response(null, { status: 503 });
    bench.add(2);
    await bench.pass(60_000);
    const [first] = bench.times;
    expect(bench.times.map((at) => at - first)).toEqual([0, 500, 1500]);
    expect(bench.times).toHaveLength(MAX_TRIES);
    expect(bench.exporter.dropped).toEqual({ ...NOTHING_DROPPED, refused: 2 });
    expect(bench.exporter.exported).toBe(0);
  });

  it("is asked again when it wants to be, unless that is beyond the timeout", async () => {
    const bench = new Bench();
    let wait = "3";
    bench.answer = () => new Response(null, { status: 429, headers: { "retry-after": wait } });
    bench.add(1);
    await bench.pass(60_000);
    expect(bench.times.map((at) => at - bench.times[0])).toEqual([0, 3000, 6000]);
    bench.times.length = 0;
    wait = "11";
    bench.add(1);
    await bench.pass(60_000);
    expect(bench.times).toHaveLength(1);
  });

  it("that refuses for good is not asked again", async () => {
    const bench = new Bench();
    for (const status of [400, 401, 404, 500, 301]) {
      bench.answer = () => new Response(null, { status });
      bench.add(1);
      await bench.pass(60_000);
    }
    expect(bench.times).toHaveLength(5);
    expect(bench.exporter.dropped).toEqual({ ...NOTHING_DROPPED, refused: 5 });
  });

  it("that cannot be reached is tried again, and what is lost is counted so", async () => {
    const bench = new Bench();
    bench.answer = () => Promise.reject(new TypeError("connection refused"));
    bench.add(1);
    await bench.pass(60_000);
    expect(bench.times).toHaveLength(MAX_TRIES);
    expect(bench.exporter.dropped).toEqual({ ...NOTHING_DROPPED, unanswered: 1 });
    bench.answer = () => new Response("{}");
    bench.add(1);
    await bench.pass(60_000);
    expect(bench.exporter.exported).toBe(1);
  });

  it("that took a part has its word believed, as far as it can be read", async () => {
    const bench = new Bench();
    for (const text of [
      '{"partialSuccess":{"rejectedSpans":"2"}}',
      "{}",
      "",
      "<html>",
      '{"partialSuccess":{}}',
    ]) {
      bench.answer = () => new Response(text);
      bench.add(3);
      await bench.pass(60_000);
    }
    expect(bench.exporter.exported).toBe(13);
    expect(bench.exporter.dropped).toEqual({ ...NOTHING_DROPPED, refused: 2 });
  });
});

describe("the end of a process", () => {
  it("sends what waits without waiting for more, and tries nothing twice", async () => {
    const bench = new Bench();
    bench.add(1);
    bench.answer = () => new Response(null, { status: 503 });
    const flushed = bench.exporter.flush();
    await bench.pass(0);
    await flushed;
    expect(bench.sizes).toEqual([1]);
    expect(bench.exporter.dropped.refused).toBe(1);
  });

  it("does not wait for a receiver that says nothing", async () => {
    const bench = new Bench();
    bench.answer = () => new Promise(() => {});
    bench.add(1);
    let isOver = false;
    const flushed = bench.exporter.flush().then(() => (isOver = true));
    await bench.pass(MAX_FLUSH_MS - 1);
    expect(isOver).toBe(false);
    await bench.pass(1);
    await flushed;
  });
});
