// Small fields of a request and of an answer: ids, trace context, deadlines, Retry-After, decisions.

import * as fc from "fast-check";
import { describe, it } from "vitest";
import { parseDeadlineMs } from "../../../src/http/deadline-header.ts";
import { formatStage } from "../../../src/http/decision.ts";
import { isAcceptableRequestId } from "../../../src/http/request-id.ts";
import { parseRetryAfterMs, retryAfterSeconds } from "../../../src/http/retry-after.ts";
import { formatTraceparent, parseTraceparent } from "../../../src/http/trace-context.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const PARENT = "b7ad6b7169203331";
const NOW = Date.UTC(1994, 10, 6, 8, 49, 30);

describe("isAcceptableRequestId", () => {
  it("keeps 1 to 128 harmless characters", ({ expect }) => {
    for (const id of ["a", "A-b_c.9", "x".repeat(128)]) expect(isAcceptableRequestId(id), id).toBe(true);
    for (const id of ["", "x".repeat(129), "a b", "a\n", "a;b", "é", '"', "a/b"]) {
      expect(isAcceptableRequestId(id), id).toBe(false);
    }
  });
});

describe("parseTraceparent", () => {
  it("reads version 00", ({ expect }) => {
    expect(parseTraceparent(`00-${TRACE}-${PARENT}-01`)).toEqual({
      traceId: TRACE,
      parentId: PARENT,
      flags: "01",
    });
  });

  it("reads later versions and what they add behind a dash", ({ expect }) => {
    expect(parseTraceparent(`01-${TRACE}-${PARENT}-00`)?.traceId).toBe(TRACE);
    expect(parseTraceparent(`cc-${TRACE}-${PARENT}-03-what-else`)?.flags).toBe("03");
  });

  it("refuses everything else", ({ expect }) => {
    const zeros = "0".repeat(32);
    const invalid = [
      "",
      "00",
      `ff-${TRACE}-${PARENT}-01`,
      `00-${zeros}-${PARENT}-01`,
      `00-${TRACE}-${"0".repeat(16)}-01`,
    ];
    invalid.push(
      `00-${TRACE.toUpperCase()}-${PARENT}-01`,
      `00-${TRACE}-${PARENT}-01-x`,
      `00-${TRACE}-${PARENT}-01-`,
    );
    invalid.push(
      `00-${TRACE}-${PARENT}-0`,
      `01-${TRACE}-${PARENT}-01x`,
      `00-${TRACE}-${PARENT}-0x`,
      `0-${TRACE}-${PARENT}-01`,
    );
    invalid.push(` 00-${TRACE}-${PARENT}-01`, `00-${TRACE}-${PARENT}-01\n`, `00-${TRACE}_${PARENT}-01`);
    for (const value of invalid) expect(parseTraceparent(value), value).toBeNull();
  });
});

describe("formatTraceparent", () => {
  it("writes version 00 and clears flags that it does not know", ({ expect }) => {
    expect(formatTraceparent(TRACE, PARENT, "01")).toBe(`00-${TRACE}-${PARENT}-01`);
    expect(formatTraceparent(TRACE, PARENT, "00")).toBe(`00-${TRACE}-${PARENT}-00`);
    expect(formatTraceparent(TRACE, PARENT, "ff")).toBe(`00-${TRACE}-${PARENT}-03`);
  });
});

describe("parseDeadlineMs", () => {
  it("reads digits and ignores everything else", ({ expect }) => {
    expect(parseDeadlineMs("0")).toBe(0);
    expect(parseDeadlineMs("1500")).toBe(1500);
    expect(parseDeadlineMs("9".repeat(400))).toBe(Number.MAX_SAFE_INTEGER);
    for (const value of ["", "-1", "+1", "1.5", "1e3", "0x10", " 1", "1 ", "1s", "1, 2", "NaN", "١"]) {
      expect(parseDeadlineMs(value), value).toBeNull();
    }
  });
});

describe("parseRetryAfterMs", () => {
  it("reads seconds", ({ expect }) => {
    expect(parseRetryAfterMs("0", NOW)).toBe(0);
    expect(parseRetryAfterMs("120", NOW)).toBe(120_000);
    expect(parseRetryAfterMs("9".repeat(400), NOW)).toBe(Number.MAX_SAFE_INTEGER);
  });

  it("reads the three forms of a date", ({ expect }) => {
    for (const date of [
      "Sun, 06 Nov 1994 08:49:37 GMT",
      "Sunday, 06-Nov-94 08:49:37 GMT",
      "Sun Nov  6 08:49:37 1994",
    ]) {
      expect(parseRetryAfterMs(date, NOW), date).toBe(7000);
    }
  });

  it("reads every date that this platform writes", ({ expect }) => {
    const second = fc.integer({ min: 0, max: 253_402_300_799 });
    fc.assert(
      fc.property(second, (seconds) => {
        expect(parseRetryAfterMs(new Date(seconds * 1000).toUTCString(), 0)).toBe(seconds * 1000);
      }),
    );
  });

  it("does not wait for a date that has passed", ({ expect }) => {
    expect(parseRetryAfterMs("Sun, 06 Nov 1994 08:49:00 GMT", NOW)).toBe(0);
  });

  it("takes a year of two digits that seems over 50 years ahead as past", ({ expect }) => {
    const now = Date.UTC(2026, 0, 1);
    expect(parseRetryAfterMs("Sunday, 06-Nov-94 08:49:37 GMT", now)).toBe(0);
    expect(parseRetryAfterMs("Wednesday, 01-Jan-76 00:00:00 GMT", now)).toBe(Date.UTC(2076, 0, 1) - now);
    expect(parseRetryAfterMs("Friday, 01-Jan-77 00:00:00 GMT", now)).toBe(0);
  });

  it("refuses everything else", ({ expect }) => {
    const invalid = [
      "",
      "-1",
      "1.5",
      "1 ",
      "soon",
      "1994-11-06T08:49:37Z",
      "Sun, 06 Nov 1994 08:49:37",
      "06 Nov 1994",
    ];
    invalid.push(
      "Sun, 06 Nox 1994 08:49:37 GMT",
      "Sun, 32 Nov 1994 08:49:37 GMT",
      "Sun, 06 Nov 1994 24:49:37 GMT",
    );
    invalid.push(
      "Sun, 06 Nov 1994 08:60:37 GMT",
      "Sun, 06 Nov 1994 08:49:61 GMT",
      "Sun, 00 Nov 1994 08:49:37 GMT",
    );
    for (const value of invalid) expect(parseRetryAfterMs(value, NOW), value).toBeNull();
  });
});

describe("retryAfterSeconds", () => {
  it("rounds up and is at least 1", ({ expect }) => {
    expect([-5, 0, 1, 999, 1000, 1001, 12_345].map(retryAfterSeconds)).toEqual([1, 1, 1, 1, 1, 2, 13]);
  });
});

describe("formatStage", () => {
  it("writes verdict and numbers", ({ expect }) => {
    expect(formatStage("shed", "ok", { level: 12, cursor: 512 })).toBe("shed=ok;level=12;cursor=512");
    expect(formatStage("match", "ok", {})).toBe("match=ok");
  });

  it("lets no value break the field", ({ expect }) => {
    fc.assert(
      fc.property(
        fc.string(),
        fc.string(),
        fc.dictionary(fc.string(), fc.string()),
        (stage, verdict, numbers) => {
          const [first, ...rest] = formatStage(stage, verdict, numbers).split(";");
          for (const part of [first, ...rest]) {
            expect(part).toMatch(/^[A-Za-z0-9._:/*+-]*=[A-Za-z0-9._:/*+-]*$/);
          }
          expect(rest).toHaveLength(Object.keys(numbers).length);
        },
      ),
    );
  });
});
