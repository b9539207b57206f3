import * as fc from "fast-check";
import { describe, it } from "vitest";
import { parseDuration } from "../../../src/http/durations.ts";
import { parseSize } from "../../../src/http/sizes.ts";

describe("parseDuration", () => {
  it("reads numbers of ms and numbers with a unit", ({ expect }) => {
    const written: [unknown, number][] = [
      [0, 0],
      [12.5, 12.5],
      ["250ms", 250],
      ["1.5s", 1500],
      ["1.005s", 1005],
      ["5m", 300_000],
      ["24h", 86_400_000],
      ["7d", 604_800_000],
    ];
    for (const [value, ms] of written) expect(parseDuration(value), String(value)).toBe(ms);
  });

  it("refuses everything else", ({ expect }) => {
    const refused: unknown[] = [
      -1,
      Number.NaN,
      Infinity,
      "",
      "5",
      "5 s",
      "-5s",
      "5S",
      "5w",
      ".5s",
      "5.s",
      "1e3ms",
      "5m3s",
    ];
    refused.push(null, undefined, true, [], {}, 5n, `${"9".repeat(400)}d`);
    for (const value of refused) expect(parseDuration(value), String(value)).toBeNull();
  });

  it("reads any whole number of any unit", ({ expect }) => {
    const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
    fc.assert(
      fc.property(fc.nat({ max: 1_000_000 }), fc.constantFrom("ms", "s", "m", "h", "d"), (count, unit) => {
        expect(parseDuration(`${count}${unit}`)).toBe(count * units[unit]);
      }),
    );
  });
});

describe("parseSize", () => {
  it("reads bytes and binary units", ({ expect }) => {
    expect([0, 65_536, "0B", "512B", "64KiB", "10MiB", "1GiB"].map(parseSize)).toEqual([
      0, 65_536, 0, 512, 65_536, 10_485_760, 1_073_741_824,
    ]);
  });

  it("refuses everything else", ({ expect }) => {
    const refused: unknown[] = [
      -1,
      1.5,
      Number.NaN,
      Infinity,
      2 ** 53,
      "",
      "5",
      "5KB",
      "5kib",
      "5 KiB",
      "1.5MiB",
      "-1B",
    ];
    refused.push(null, undefined, [], "9007199254740992B", "8388608GiB");
    for (const value of refused) expect(parseSize(value), String(value)).toBeNull();
  });
});
