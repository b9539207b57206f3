// What isolates say of their load is checked whole before anything of it counts: every number has bounds.

import { describe, it } from "vitest";
import { isBulkheadAsk, isLoadAsk, isLoadEntry } from "../../../src/hub/load-protocol.ts";
import { MAX_BULKHEAD_CHARS } from "../../../src/hub/load-protocol.ts";
import { MAX_ENTRY_AMOUNT, MAX_NAME_CHARS, MAX_REPORT_ENTRIES } from "../../../src/hub/protocol.ts";
import { LATENCY_BUCKETS } from "../../../src/resilience/latency.ts";
import { LEVEL_COUNT } from "../../../src/resilience/level.ts";
import { contentOf, newHub, reportOf, syncOf, T0 } from "./hubs.ts";
import { serveSync } from "../../../src/hub/sync.ts";

const TERMS = { upstream: "shop", max: 1000, adaptive: true, retryShare: 0.1 };
const ENTRY = {
  terms: TERMS,
  spanMs: 1000,
  arrivals: [0, 5, LEVEL_COUNT - 1, 1],
  settled: 6,
  ok: 4,
  signals: 1,
  lineBusyMs: 20,
  served: [0, 1, LATENCY_BUCKETS - 1, 3],
  refused: 1,
  throttled: 1,
  timedOut: 0,
  busyMs: 400,
  refusedInflight: 3,
  originals: 6,
  retries: 1,
};
const ASK = { terms: TERMS, inflight: 3, waiting: 1, limit: 50 };
const BULKHEAD = { name: "route:pay", max: 10, inUse: 3, waiting: 0 };

type Check = (value: unknown) => boolean;
const SHAPES: readonly (readonly [string, Check, object])[] = [
  ["load", isLoadEntry, ENTRY],
  ["an ask", isLoadAsk, ASK],
  ["a bulkhead's ask", isBulkheadAsk, BULKHEAD],
];

/** Every number of the value but those in lists, replaced. */
function withNumber(value: object, key: string, to: unknown): object {
  return { ...value, [key]: to };
}

describe.for(SHAPES)("%s", ([, check, sample]) => {
  const numbers = Object.entries(sample).flatMap(([key, value]) => (typeof value === "number" ? [key] : []));

  it("is taken as it is, with more in it than is known", ({ expect }) => {
    expect(check(sample)).toBe(true);
    expect(check({ ...sample, later: "more" })).toBe(true);
  });

  it("is refused when it is nothing of the kind", ({ expect }) => {
    for (const value of [null, undefined, 7, "x", true, [], {}]) expect(check(value)).toBe(false);
  });

  it.for(numbers)("has a whole number up to the greatest amount in %s", (key, { expect }) => {
    const least = key === "max" ? 1 : 0;
    const most = key === "max" ? 1_000_000 : MAX_ENTRY_AMOUNT;
    for (const value of [least, most]) expect(check(withNumber(sample, key, value))).toBe(true);
    for (const value of [least - 1, most + 1, 1.5, NaN, Infinity, "1", null, undefined]) {
      expect(check(withNumber(sample, key, value)), String(value)).toBe(false);
    }
  });
});

function accepts(terms: object): boolean {
  return (
    isLoadAsk({ ...ASK, terms: { ...TERMS, ...terms } }) &&
    isLoadEntry({ ...ENTRY, terms: { ...TERMS, ...terms } })
  );
}

describe("terms", () => {
  it("name an upstream, a bulkhead within bounds, and a share of retries or none", ({ expect }) => {
    for (const terms of [
      { upstream: "a".repeat(MAX_NAME_CHARS) },
      { max: 1 },
      { max: 1_000_000 },
      { adaptive: false },
      { retryShare: null },
      { retryShare: 0 },
      { retryShare: 1 },
    ]) {
      expect(accepts(terms), JSON.stringify(terms)).toBe(true);
    }
  });

  it("are refused beyond their bounds", ({ expect }) => {
    for (const terms of [
      { upstream: "a".repeat(MAX_NAME_CHARS + 1) },
      { upstream: "" },
      { upstream: "a b" },
      { upstream: 7 },
      { max: 0 },
      { max: 1_000_001 },
      { max: 1.5 },
      { adaptive: 1 },
      { retryShare: -0.01 },
      { retryShare: 1.01 },
      { retryShare: NaN },
      { retryShare: undefined },
      { retryShare: "0.1" },
    ]) {
      expect(accepts(terms), String(Object.values(terms)[0])).toBe(false);
    }
    expect(isLoadAsk({ ...ASK, terms: null })).toBe(false);
  });
});

function full(length: number): number[] {
  return Array.from({ length }, (_, index) => [index, 1]).flat();
}

describe("counts by index", () => {
  it("may name every level and every bucket, each within the range", ({ expect }) => {
    expect(isLoadEntry({ ...ENTRY, arrivals: full(LEVEL_COUNT), served: full(LATENCY_BUCKETS) })).toBe(true);
    expect(isLoadEntry({ ...ENTRY, arrivals: [], served: [] })).toBe(true);
    expect(isLoadEntry({ ...ENTRY, arrivals: [3, MAX_ENTRY_AMOUNT] })).toBe(true);
  });

  it("are refused when they are no pairs, too many, or out of range", ({ expect }) => {
    for (const pairs of [
      [1],
      [1, 2, 3],
      [-1, 1],
      [0.5, 1],
      [1, -1],
      [1, 1.5],
      [1, MAX_ENTRY_AMOUNT + 1],
      ["0", 1],
    ]) {
      expect(isLoadEntry({ ...ENTRY, arrivals: pairs }), JSON.stringify(pairs)).toBe(false);
      expect(isLoadEntry({ ...ENTRY, served: pairs }), JSON.stringify(pairs)).toBe(false);
    }
    expect(isLoadEntry({ ...ENTRY, arrivals: [LEVEL_COUNT, 1] })).toBe(false);
    expect(isLoadEntry({ ...ENTRY, served: [LATENCY_BUCKETS, 1] })).toBe(false);
    expect(isLoadEntry({ ...ENTRY, arrivals: [...full(LEVEL_COUNT), 0, 1] })).toBe(false);
    expect(isLoadEntry({ ...ENTRY, served: [...full(LATENCY_BUCKETS), 0, 1] })).toBe(false);
    expect(isLoadEntry({ ...ENTRY, arrivals: { length: 0 } })).toBe(false);
  });
});

describe("a bulkhead's name", () => {
  it("is a text within bounds", ({ expect }) => {
    expect(isBulkheadAsk({ ...BULKHEAD, name: "x".repeat(MAX_BULKHEAD_CHARS) })).toBe(true);
    for (const name of ["", "x".repeat(MAX_BULKHEAD_CHARS + 1), 7, null]) {
      expect(isBulkheadAsk({ ...BULKHEAD, name })).toBe(false);
    }
  });
});

function refusedWhole(changes: object): boolean {
  const hub = newHub("weur");
  const before = contentOf(hub);
  const reply = serveSync(hub, { ...syncOf("weur", "s", null), ...changes }, T0);
  return reply.kind === "refused" && reply.reason === "malformed" && contentOf(hub) === before;
}

describe("a sync", () => {
  it("is refused whole for one entry that is malformed, or one too many", ({ expect }) => {
    const report = { ...reportOf("s", 1), loads: [ENTRY, { ...ENTRY, ok: -1 }] };
    expect(refusedWhole({ report })).toBe(true);
    expect(refusedWhole({ loads: [ASK, { ...ASK, waiting: -1 }] })).toBe(true);
    expect(refusedWhole({ bulkheads: [{ ...BULKHEAD, max: 0 }] })).toBe(true);
    expect(refusedWhole({ loads: Array.from({ length: MAX_REPORT_ENTRIES + 1 }, () => ASK) })).toBe(true);
    expect(refusedWhole({ loads: "x" })).toBe(true);
  });

  it("of another version, that says nothing of load, is served", ({ expect }) => {
    const hub = newHub("weur");
    expect(serveSync(hub, syncOf("weur", "s", reportOf("s", 1)), T0)).toMatchObject({
      kind: "synced",
      loads: [],
    });
    expect(hub.loads.size).toBe(0);
  });
});
