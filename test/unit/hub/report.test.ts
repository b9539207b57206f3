// What an isolate sends is checked whole before anything of it counts.

import { describe, expect, it } from "vitest";
import { MAX_ENTRY_AMOUNT, MAX_KEY_CHARS, MAX_NAME_CHARS } from "../../../src/hub/protocol.ts";
import { MAX_REPORT_ENTRIES, MAX_SESSION_CHARS } from "../../../src/hub/protocol.ts";
import { MAX_WINDOW_MS, isSyncRequest } from "../../../src/hub/report.ts";
import { serveSync } from "../../../src/hub/sync.ts";
import { T0, contentOf, newHub, reportOf, syncOf, synced, termsOf, valueIn } from "./hubs.ts";

/** A request with one of everything. */
function sample(): object {
  const terms = termsOf();
  const report = reportOf("s", 1, {
    counts: [{ counter: "hits", key: "k", by: 2 }],
    uses: [{ terms, at: T0, units: 3 }],
    returns: [{ terms: termsOf({ consistency: "capped" }), period: 1, units: 4 }],
  });
  const asks = [{ terms, need: 1, want: 5, held: 1, unreported: 1 }];
  return { ...syncOf("weur", "s", report, asks), later: { version: "may", send: ["more"] } };
}

/** Every place in a value: the keys that lead to it. */
function placesIn(value: unknown, path: readonly string[] = []): string[][] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]: [string, unknown]) => [
    [...path, key],
    ...placesIn(inner, [...path, key]),
  ]);
}

function at(value: unknown, path: readonly string[]): unknown {
  let place = value;
  for (const key of path) place = Reflect.get(Object(place), key);
  return place;
}

/** The sample with another value at a place; undefined: without it. */
function changed(path: readonly string[], to: unknown): unknown {
  const request = structuredClone(sample());
  const holder = Object(at(request, path.slice(0, -1)));
  const key = path.at(-1) ?? "";
  if (to === undefined) Reflect.deleteProperty(holder, key);
  else Reflect.set(holder, key, to);
  return request;
}

function wrongTypesFor(value: unknown): unknown[] {
  if (typeof value === "string") return [undefined, null, 7, true, {}, []];
  if (typeof value === "number") return [undefined, null, "1", true, {}, NaN, Infinity, -Infinity];
  if (typeof value === "boolean") return [undefined, null, 1, "true"];
  return Array.isArray(value) ? [undefined, null, {}, "x", { length: 0 }] : [undefined, 7, "x", []];
}

/** Whether a request was refused as malformed and nothing of it counted. */
function isRefusedWhole(request: unknown): boolean {
  const hub = newHub("weur");
  const before = contentOf(hub);
  const reply = serveSync(hub, request, T0);
  const isRefused = reply.kind === "refused" && reply.reason === "malformed";
  return isRefused && contentOf(hub) === before && hub.tally.refused === 1;
}

const places = placesIn(sample())
  .filter(([first]) => first !== "later")
  .map((path) => [path.join("."), path] as const);

describe("a sync request", () => {
  it("is taken as it is", () => {
    const hub = newHub("weur");
    expect(serveSync(hub, sample(), T0)).toMatchObject({ kind: "synced", seq: 1 });
    expect(valueIn(hub, "hits", "k")).toBe(2);
  });

  it.for(places)("is refused and changes nothing when %s is missing or of another type", ([, path]) => {
    const value = at(sample(), path);
    // An element that goes leaves a shorter list, which is one.
    const isElement = /^[0-9]+$/.test(path.at(-1) ?? "");
    const wrong = wrongTypesFor(value).filter((other) => other !== undefined || !isElement);
    expect(wrong.length).toBeGreaterThan(2);
    expect(wrong.filter((other) => !isRefusedWhole(changed(path, other)))).toEqual([]);
  });

  it("may have more fields than this version knows, anywhere", () => {
    const request = structuredClone(sample());
    const objects = [[], ...placesIn(request)].map((path) => at(request, path));
    for (const place of objects) {
      const isPlain = typeof place === "object" && place !== null && !Array.isArray(place);
      if (isPlain) Reflect.set(place, "newer", 1);
    }
    expect(isSyncRequest(request)).toBe(true);
  });

  it("that is no object is refused", () => {
    const others = [undefined, null, 1, "x", [], () => undefined];
    expect(others.filter((request) => !isRefusedWhole(request))).toEqual([]);
  });

  it("of another region or session is refused whole", () => {
    const hub = newHub("enam");
    const before = contentOf(hub);
    expect(serveSync(hub, sample(), T0)).toEqual({ kind: "refused", reason: "wrong-region" });
    expect(contentOf(hub)).toBe(before);
    expect(isRefusedWhole(changed(["report", "session"], "another"))).toBe(true);
  });
});

const BOUNDS: readonly (readonly [place: string, most: unknown, over: unknown])[] = [
  ["session", null, "s".repeat(MAX_SESSION_CHARS + 1)],
  ["session", null, ""],
  ["session", null, "a b"],
  ["report.seq", Number.MAX_SAFE_INTEGER, 2 ** 53],
  ["report.seq", 1, 0],
  ["report.counts.0.counter", "n".repeat(MAX_NAME_CHARS), "n".repeat(MAX_NAME_CHARS + 1)],
  ["report.counts.0.key", "k".repeat(MAX_KEY_CHARS), "k".repeat(MAX_KEY_CHARS + 1)],
  ["report.counts.0.key", "\u{1F30A}", "\uD83C"],
  ["report.counts.0.by", MAX_ENTRY_AMOUNT, MAX_ENTRY_AMOUNT + 1],
  ["report.counts.0.by", 1, 0],
  ["report.counts.0.by", 1, -1],
  ["report.counts.0.by", 1, 1.5],
  ["report.uses.0.units", MAX_ENTRY_AMOUNT, MAX_ENTRY_AMOUNT + 1],
  ["report.uses.0.units", 1, 0],
  ["report.uses.0.terms.units", Number.MAX_SAFE_INTEGER, 2 ** 53],
  ["report.uses.0.terms.units", 1, 0],
  ["report.uses.0.terms.windowMs", MAX_WINDOW_MS, MAX_WINDOW_MS + 1],
  ["report.uses.0.terms.windowMs", 1, 0],
  ["report.uses.0.terms.limit", "a", "a:b"],
  ["report.uses.0.terms.consistency", "regional", "exact"],
  ["report.uses.0.terms.consistency", "capped", ""],
  ["report.returns.0.units", MAX_ENTRY_AMOUNT, MAX_ENTRY_AMOUNT + 1],
  ["report.returns.0.period", Number.MAX_SAFE_INTEGER, 1.5],
  ["asks.0.need", MAX_ENTRY_AMOUNT, MAX_ENTRY_AMOUNT + 1],
  ["asks.0.need", 1, 0],
  ["asks.0.want", 0, -1],
  ["asks.0.want", MAX_ENTRY_AMOUNT, MAX_ENTRY_AMOUNT + 1],
  ["asks.0.held", 0, -1],
  ["asks.0.unreported", 0, 0.5],
];

describe("a bound", () => {
  it.for(BOUNDS)("of %s holds at it and not one past it", ([place, most, over]) => {
    const path = place.split(".");
    expect(most === null || isSyncRequest(changed(path, most))).toBe(true);
    expect(isRefusedWhole(changed(path, over))).toBe(true);
  });

  it("of entries holds for each list by itself", () => {
    for (const place of ["report.counts", "report.uses", "report.returns", "asks"]) {
      const path = place.split(".");
      const entry: unknown = at(sample(), [...path, "0"]);
      const full = Array.from({ length: MAX_REPORT_ENTRIES }, () => entry);
      expect(isSyncRequest(changed(path, full))).toBe(true);
      expect(isSyncRequest(changed(path, [...full, entry]))).toBe(false);
    }
  });

  it("of one entry stops the whole report, also behind good ones", () => {
    const good = { counter: "hits", key: "k", by: 1 };
    const hub = newHub("weur");
    const counts = [good, good, { ...good, by: 0 }];
    const request = { ...syncOf("weur", "s", reportOf("s", 1, { counts })) };
    expect(serveSync(hub, request, T0).kind).toBe("refused");
    expect(valueIn(hub, "hits", "k")).toBe(0);
    synced(hub, syncOf("weur", "s", reportOf("s", 1, { counts: [good, good] })));
    expect(valueIn(hub, "hits", "k")).toBe(2);
  });
});
