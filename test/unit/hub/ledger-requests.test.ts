// What another version of the Worker may send: each wrong field in its turn is a value with that name.

import { describe, expect, it } from "vitest";
import {
  MAX_LEDGER_ID_CHARS,
  MAX_LEDGER_PAGE_ROWS,
  MAX_LEDGER_WINDOW_MS,
  checkConsume,
  checkEntries,
  checkMint,
} from "../../../src/hub/ledger-requests.ts";

const CONSUME = { id: "a", amount: 1, rate: 10, windowMs: 1000 };
const MINT = { period: 1, slot: "weur.0.0.0", seq: 1, want: 1, cap: 0 };
const NO_WHOLE = [0, -1, 1.5, Number.NaN, Infinity, 2 ** 53, "1", 1n, null, undefined, {}];

describe("a consume request", () => {
  it("is taken at its bounds", () => {
    const id = "x".repeat(MAX_LEDGER_ID_CHARS);
    const request = { id, amount: 1, rate: Number.MAX_SAFE_INTEGER, windowMs: MAX_LEDGER_WINDOW_MS };
    expect(checkConsume({ ...request, later: "field" })).toEqual({ kind: "valid", request });
  });

  it.for([
    ["request", [null, undefined, 1, "text"].map((input) => input)],
    ["id", ["", "x".repeat(MAX_LEDGER_ID_CHARS + 1), "\uD800", 1, null].map((id) => ({ ...CONSUME, id }))],
    ["amount", NO_WHOLE.map((amount) => ({ ...CONSUME, amount }))],
    ["rate", NO_WHOLE.map((rate) => ({ ...CONSUME, rate }))],
    ["windowMs", [...NO_WHOLE, MAX_LEDGER_WINDOW_MS + 1].map((windowMs) => ({ ...CONSUME, windowMs }))],
  ] as const)("is invalid with a wrong %s", ([reason, inputs]) => {
    for (const input of inputs) expect(checkConsume(input)).toEqual({ kind: "invalid", reason });
  });
});

describe("a mint request", () => {
  it("is taken", () => expect(checkMint(MINT)).toEqual({ kind: "valid", request: MINT }));

  it.for([
    ["request", [null, []]],
    ["period", [1.5, 2 ** 53, "1"].map((period) => ({ ...MINT, period }))],
    ["slot", ["", "weur", "weur.0.0", "mint", 1].map((slot) => ({ ...MINT, slot }))],
    ["seq", NO_WHOLE.map((seq) => ({ ...MINT, seq }))],
    ["want", NO_WHOLE.map((want) => ({ ...MINT, want }))],
    ["cap", NO_WHOLE.slice(1).map((cap) => ({ ...MINT, cap }))],
  ] as const)("is invalid with a wrong %s", ([reason, inputs]) => {
    const expected = reason === "request" ? ["request", "period"] : [reason];
    for (const input of inputs) {
      const checked = checkMint(input);
      expect(checked.kind === "invalid" && expected.includes(checked.reason)).toBe(true);
    }
  });
});

describe("a request for entries", () => {
  it("gets a page at most", () => {
    expect(checkEntries({ after: 0, max: MAX_LEDGER_PAGE_ROWS + 1 })).toEqual({
      kind: "valid",
      request: { after: 0, max: MAX_LEDGER_PAGE_ROWS },
    });
  });

  it("is invalid with anything but whole numbers", () => {
    expect(checkEntries({ after: -1, max: 1 })).toEqual({ kind: "invalid", reason: "after" });
    expect(checkEntries({ after: 0, max: 0 })).toEqual({ kind: "invalid", reason: "max" });
    expect(checkEntries(undefined)).toEqual({ kind: "invalid", reason: "request" });
  });
});
