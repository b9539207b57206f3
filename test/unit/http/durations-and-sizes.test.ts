import * as fc from "fast-check";
import { describe, it } from "vitest";
import { formatDuration, parseDuration } from "../../../src/http/durations.ts";
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

  it("reads back what formatDuration writes", ({ expect }) => {
    fc.assert(
      fc.property(
        fc.nat({ max: Number.MAX_SAFE_INTEGER }),
        fc.constantFrom(1, 1000, 60_000, 3_600_000),
        (count, unit) => {
          const ms = (count % 1_000_000) * unit;
          expect(parseDuration(formatDuration(ms))).toBe(ms);
        },
      ),
    );
  });
});

describe("formatDuration", () => {
  it("takes the largest unit that holds it whole", ({ expect }) => {
    expect([0, 1, 0.5, 250, 1500, 90_000, 300_000, 86_400_000].map(formatDuration)).toEqual([
      "0ms",
      "1ms",
      "0.5ms",
      "250ms",
      "1500ms",
      "90s",
      "5m",
      "1d",
    ]);
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
