// Patterns, ids and the parts of JSON texts.

import { describe, expect, it } from "vitest";
import { decodeBase64, encodeBase64 } from "../../../../src/delivery/events/base64.ts";
import { uuidV7, uuidV7Time } from "../../../../src/delivery/events/event-id.ts";
import { isEventPattern, matchesEvent } from "../../../../src/delivery/events/event-pattern.ts";
import { elementTexts, memberTexts } from "../../../../src/delivery/events/json-spans.ts";
import { fc } from "../../resilience/property.ts";

describe("event patterns", () => {
  it.for<[string, string, boolean]>([
    ["*", "anything", true],
    ["order.*", "order.paid", true],
    ["order.*", "order.item.added", true],
    ["order.*", "order", false],
    ["order.*", "order.", false],
    ["order.*", "orders.paid", false],
    ["order.paid", "order.paid", true],
    ["order.paid", "order.paid.twice", false],
  ])("%s means %s: %s", ([pattern, type, expected]) => {
    expect(isEventPattern(pattern)).toBe(true);
    expect(matchesEvent([pattern], type)).toBe(expected);
  });

  it.for(["", "*.paid", "order*", "**", ".*", "order.*.paid", "a b", "order.**"])("%j is none", (pattern) => {
    expect(isEventPattern(pattern)).toBe(false);
  });
});

describe("ids", () => {
  it("are UUIDs of version 7 that tell their time", () => {
    expect(uuidV7(0x017f22e279b0, new Uint8Array(10).fill(0xff))).toBe(
      "017f22e2-79b0-7fff-bfff-ffffffffffff",
    );
    expect(uuidV7Time("017f22e2-79b0-7fff-bfff-ffffffffffff")).toBe(0x017f22e279b0);
    expect(uuidV7Time("017f22e2-79b0-4fff-bfff-ffffffffffff")).toBeNull();
  });

  it("sort by time", () => {
    fc.assert(
      fc.property(fc.nat(2 ** 31), fc.nat(2 ** 31), fc.uint8Array({ minLength: 10 }), (a, b, random) => {
        fc.pre(a < b);
        expect(uuidV7(a, random) < uuidV7(b, new Uint8Array(10))).toBe(true);
      }),
    );
  });
});

describe("parts of a JSON text", () => {
  it("say the same as the whole", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 4 }), fc.constantFrom(0, 2), (json, indent) => {
        const value: unknown = JSON.parse(json);
        const text = ` ${JSON.stringify(value, null, indent)}\n`;
        fc.pre(typeof value === "object" && value !== null);
        const parts = [...(Array.isArray(value) ? elementTexts(text).entries() : memberTexts(text))];
        expect(parts.map(([name, part]): unknown => [String(name), JSON.parse(part)])).toEqual(
          Object.entries(JSON.parse(json)),
        );
      }),
    );
  });
});

it("writes and reads base64", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 20_000 }), (bytes) => {
      const text = encodeBase64(bytes);
      expect(text).toBe(Buffer.from(bytes).toString("base64"));
      expect(decodeBase64(text)).toEqual(bytes);
      expect(decodeBase64(text.replaceAll("=", ""))).toEqual(bytes);
    }),
  );
  for (const wrong of ["a", "a=", "ab=c", "a_b-", "abcd=", " ab="]) expect(decodeBase64(wrong)).toBeNull();
});
