// Urgency of a Priority field, with a complete Structured Fields parser as the oracle.

import * as fc from "fast-check";
import { parseDictionary } from "structured-headers";
import { describe, it } from "vitest";
import { leastClassForUrgency, parseUrgency } from "../../../src/http/priority.ts";

function urgencyByOracle(value: string): number {
  try {
    const urgency = parseDictionary(value).get("u")?.[0];
    const valid = typeof urgency === "number" && Number.isInteger(urgency) && urgency >= 0 && urgency <= 7;
    return valid ? Math.abs(urgency) : -1;
  } catch {
    return -1;
  }
}

// Left out, and pinned by examples: integral decimals (the oracle gives 3 for "3.0", which is no Integer) and
// dates (it refuses whatever follows a date, against RFC 9651 4.2.9).
const ITEMS = [
  ..."0 3 7 8 -1 -0 007 1.5 - 1. .5 1.2345 1234567890123456 123456789012345 a *t:/x".split(" "),
  ...String.raw`"s" "a\"b\\" "open "\x" :aGk=: :: :a ?0 ?1 ?2 %"a%c3%a9" %"%C3" %"%ff" %" é`.split(" "),
  ...'(1 2)|(1;a  a)|()|( 1 )|(1"a")|(1|(a,b)|((1))|(1;a=1 2);b|'.split("|"),
];
const anyMember = fc
  .tuple(
    fc.constantFrom("u", "u", "i", "*a-b.c_1", "U", "uu", "1u", ""),
    fc.option(fc.constantFrom(...ITEMS), { nil: null }),
    fc.constantFrom("", "", "", ";p", ";p=1", "; p=?0;q", ";", ";P", ";p=", " ;p"),
  )
  .map(([key, item, parameters]) => key + (item === null ? "" : `=${item}`) + parameters);
/** A field with one of these has an urgency unless another member is malformed: both outcomes are common. */
const urgentMember = fc.integer({ min: 0, max: 7 }).map((urgency) => `u=${urgency}`);
const otherMember = fc.constantFrom(...ITEMS).map((item) => `a=${item}`);
const member = fc.oneof(anyMember, urgentMember, urgentMember, otherMember);
const separator = fc.constantFrom(",", ", ", " ,\t", ",", "\t,", ", ", " ", ",,");
const field = fc
  .tuple(
    fc.constantFrom("", " ", "\t"),
    fc.array(fc.tuple(member, separator), { maxLength: 3 }),
    member,
    separator,
  )
  .map(([start, members, last, end]) => start + members.flat().join("") + last + (end === " " ? end : ""));

describe("parseUrgency", () => {
  it("reads the urgency", ({ expect }) => {
    for (let urgency = 0; urgency <= 7; urgency++) {
      expect(parseUrgency(`u=${urgency}`)).toBe(urgency);
      expect(parseUrgency(`i, u=${urgency};x="y" , a=(1 2)`)).toBe(urgency);
    }
  });

  it("takes the last of several", ({ expect }) => {
    expect(parseUrgency("u=1, u=6")).toBe(6);
    expect(parseUrgency("u=1, u=8")).toBe(-1);
    expect(parseUrgency("u=1, u")).toBe(-1);
  });

  it("takes what is absent, out of range or of another type as absent", ({ expect }) => {
    for (const value of [
      "",
      " ",
      "i",
      "u",
      "u=8",
      "u=-1",
      "u=3.0",
      'u="3"',
      "u=?1",
      "u=(3)",
      "u=@3",
      "U=3",
      "x=3",
    ]) {
      expect(parseUrgency(value), value).toBe(-1);
    }
  });

  it("drops a field that is malformed anywhere", ({ expect }) => {
    for (const value of [
      "u=3,",
      ",u=3",
      "u=3 i",
      "u=3, i=",
      'u=3, a="',
      "u=3, A=1",
      "u= 3",
      "u=3;;",
      "u=3, (1)",
    ]) {
      expect(parseUrgency(value), value).toBe(-1);
    }
  });

  it("passes over dates, which are integers behind an @", ({ expect }) => {
    for (const value of ["a=@1, u=3", "a=@-1659578233;x,u=3", "u=3, a=(@1 @2)"]) {
      expect(parseUrgency(value), value).toBe(3);
    }
    for (const value of ["u=3, a=@1.5", "u=3, a=@", "u=3, a=@a", "u=3, a=@1234567890123456"]) {
      expect(parseUrgency(value), value).toBe(-1);
    }
  });

  it("agrees with a complete parser on every field", ({ expect }) => {
    fc.assert(
      fc.property(field, (value) => {
        expect(parseUrgency(value), JSON.stringify(value)).toBe(urgencyByOracle(value));
      }),
      { numRuns: 10_000 },
    );
  });

  it("agrees with a complete parser on random text", ({ expect }) => {
    const text = fc
      .array(fc.constantFrom(...'u=13;,( )i"\\:?%a.-*\t'.split("")), { maxLength: 10 })
      .map((all) => all.join(""));
    fc.assert(
      fc.property(text, (value) => {
        if (/u=-?\d+\.0/.test(value)) return;
        expect(parseUrgency(value), JSON.stringify(value)).toBe(urgencyByOracle(value));
      }),
      { numRuns: 10_000 },
    );
  });
});

describe("leastClassForUrgency", () => {
  it("lowers the class in steps of two and keeps it without an urgency", ({ expect }) => {
    expect([-1, 0, 1, 2, 3, 4, 5, 6, 7].map(leastClassForUrgency)).toEqual([0, 0, 0, 1, 1, 2, 2, 3, 3]);
  });
});
