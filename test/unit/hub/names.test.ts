// Names of states: whatever a key holds, a name gives back the parts that it was made of, and only those.

import { describe, expect, it } from "vitest";
import {
  KIND_OF_FAMILY,
  MEMBERSHIP_NAME,
  claimedName,
  isDurable,
  isKey,
  isPlainName,
  isShared,
  loadName,
  callsName,
  cellMsOf,
  overrideName,
  parseStateName,
  quotaName,
  regionalName,
  statusName,
  usageName,
  usedName,
} from "../../../src/hub/names.ts";
import { MAX_KEY_CHARS, MAX_NAME_CHARS } from "../../../src/hub/protocol.ts";
import { fc } from "../resilience/property.ts";

const HOSTILE_KEYS = [":", "::", "a:b:c", "w:1000:api:x", "\n", "\0", " ", "__proto__", "ключ", "🌊", "1"];

const keys = fc.oneof(
  fc.constantFrom(...HOSTILE_KEYS),
  fc.string({ unit: "binary", minLength: 1, maxLength: MAX_KEY_CHARS / 2 }),
  fc.array(fc.constantFrom(":", "a", "0", "é"), { minLength: 1, maxLength: 9 }).map((all) => all.join("")),
);
const plain = fc.stringMatching(/^[A-Za-z][A-Za-z0-9_-]{0,8}$/);
const whole = fc.oneof(fc.nat(), fc.constantFrom(0, 1, 2 ** 31, Number.MAX_SAFE_INTEGER));

describe("a state's name", () => {
  it("gives back what it was made of, for every family and any key", () => {
    fc.assert(
      fc.property(keys, plain, whole, whole, (key, name, length, period) => {
        expect(parseStateName(usageName(name, key))).toEqual({ family: "usage", counter: name, key });
        expect(parseStateName(quotaName(length, period, name, key))).toEqual({
          family: "quota",
          periodMs: length,
          period,
          limit: name,
          key,
        });
        expect(parseStateName(overrideName(name))).toEqual({ family: "override", upstream: name });
        expect(parseStateName(statusName(name))).toEqual({ family: "status", upstream: name });
        expect(parseStateName(loadName(name))).toEqual({ family: "load", upstream: name });
        expect(parseStateName(callsName(name))).toEqual({ family: "calls", upstream: name });
        const cells = { cellMs: length, limit: name, key };
        expect(parseStateName(usedName(length, name, key))).toEqual({ family: "used", ...cells });
        expect(parseStateName(claimedName(length, name, key))).toEqual({ family: "claimed", ...cells });
        expect(cellMsOf(claimedName(length, name, key))).toBe(length);
        expect(parseStateName(regionalName(length, name, key))).toEqual({ family: "regional", ...cells });
      }),
    );
    expect(parseStateName(MEMBERSHIP_NAME)).toEqual({ family: "membership" });
  });

  it("is never that of two different things", () => {
    fc.assert(
      fc.property(plain, keys, plain, keys, (one, key, other, otherKey) => {
        const isSame = one === other && key === otherKey;
        expect(usageName(one, key) === usageName(other, otherKey)).toBe(isSame);
        expect(usedName(1000, one, key) === usedName(1000, other, otherKey)).toBe(isSame);
        expect(quotaName(1, 2, one, key) === quotaName(1, 2, other, otherKey)).toBe(isSame);
      }),
    );
  });

  it("is read from no other text", () => {
    const texts = [
      "",
      "x:api:k",
      "u",
      "u:api",
      "u:api:",
      "u::k",
      "u:a b:k",
      "u:9a:k",
      `u:${"n".repeat(MAX_NAME_CHARS + 1)}:k`,
      `u:api:${"k".repeat(MAX_KEY_CHARS + 1)}`,
      "u:api:\uD800",
      "o:",
      "o:up:k",
      "s:up:k",
      "l:",
      "l:up:k",
      "c:",
      "m:",
      "q:60000:api:k",
      "q:060000:1:api:k",
      "q:-1:1:api:k",
      "q:60000:1.5:api:k",
      "q:60000:1:api:",
      "q:99999999999999999:1:api:k",
      "w:1e3:api:k",
      "w::api:k",
      "w:1000:api",
      "k:1000::k",
      "r:9007199254740992:api:k",
    ];
    expect(texts.filter((text) => parseStateName(text) !== null)).toEqual([]);
  });

  it("says what must be stored and what goes to other regions", () => {
    const names = {
      usage: usageName("hits", "k"),
      quota: quotaName(60_000, 1, "api", "k"),
      override: overrideName("up"),
      status: statusName("up"),
      load: loadName("up"),
      calls: callsName("up"),
      membership: MEMBERSHIP_NAME,
      used: usedName(1000, "api", "k"),
      claimed: claimedName(1000, "api", "k"),
      regional: regionalName(1000, "api", "k"),
    };
    expect(Object.keys(names)).toEqual(Object.keys(KIND_OF_FAMILY));
    const all = Object.entries(names);
    expect(all.filter(([, name]) => isDurable(name)).map(([family]) => family)).toEqual([
      "usage",
      "quota",
      "override",
      "status",
      "load",
      "membership",
    ]);
    expect(all.filter(([, name]) => !isShared(name)).map(([family]) => family)).toEqual(["regional"]);
    for (const [family, name] of all) expect(parseStateName(name)?.family).toBe(family);
  });
});

describe("what a name is made of", () => {
  it("has bounds, and a text at the bound is one still", () => {
    expect(isPlainName("n".repeat(MAX_NAME_CHARS))).toBe(true);
    expect(isPlainName("n".repeat(MAX_NAME_CHARS + 1))).toBe(false);
    expect(isKey("k".repeat(MAX_KEY_CHARS))).toBe(true);
    expect(isKey("k".repeat(MAX_KEY_CHARS + 1))).toBe(false);
  });

  it("is a text and well formed", () => {
    const others = [undefined, null, 1, {}, [], true, ["a"]];
    expect([...others, "", "1a", "-a", "a.b", "a:b", "ä"].filter(isPlainName)).toEqual([]);
    expect([...others, "", "\uDC00", "a\uD800b"].filter(isKey)).toEqual([]);
  });
});
