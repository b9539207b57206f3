// Idempotency keys: the string of the draft, and the bare form that clients send instead.

import { describe, it } from "vitest";
import { parseIdempotencyKey } from "../../../src/http/idempotency-key.ts";
import { fc } from "../resilience/property.ts";

const MAX_CHARS = 256;

function parse(value: string): string | null {
  return parseIdempotencyKey(value, MAX_CHARS);
}

describe("an idempotency key", () => {
  it.for([
    ['"8e03978e-40d5-43dd-bc93-6894a57f9324"', "8e03978e-40d5-43dd-bc93-6894a57f9324"],
    ["8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"],
    ['"a b, c"', "a b, c"],
    [String.raw`"say \"hi\" \\"`, String.raw`say "hi" \ `.trim()],
    ['  "k"  ', "k"],
    ['"k";v=1', "k"],
    ["a+b/c==", "a+b/c=="],
    ["x".repeat(256), "x".repeat(256)],
    [`"${"x".repeat(256)}"`, "x".repeat(256)],
  ])("%s means %s", ([value, key], { expect }) => {
    expect(parse(value)).toBe(key);
  });

  it.for([
    "",
    " ",
    '""',
    "a, b",
    '"a", "b"',
    '"a" "b"',
    '"a',
    'a"b',
    String.raw`"a\b"`,
    "a b",
    "a;b",
    '"caf\u00e9"',
    "caf\u00e9",
    '"k";=',
    "x".repeat(257),
    `"${"x".repeat(257)}"`,
  ])("%s is none", (value, { expect }) => {
    expect(parse(value)).toBeNull();
  });

  it("means the same with and without quotes", ({ expect }) => {
    const token = fc.stringMatching(/^[!#-+\--:<-[\]-~]{1,64}$/);
    fc.assert(fc.property(token, (key) => parse(key) === key && parse(`"${key}"`) === key));
    expect(parse("a")).toBe(parse('"a"'));
  });
});
