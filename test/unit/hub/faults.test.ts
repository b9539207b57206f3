// Faults between hubs in local development: what may be set, and what becomes of messages then.

import { describe, expect, it } from "vitest";
import type { Faults } from "../../../src/hub/faults.ts";
import { MAX_FAULT_DELAY_MS, NO_FAULTS, parseFaults, passageOf } from "../../../src/hub/faults.ts";
import { createRandom } from "../../../src/resilience/random.ts";

const MESSAGES = 10_000;

function draw(faults: Partial<Faults>): { lost: number; twice: number } {
  const random = createRandom(1);
  let [lost, twice] = [0, 0];
  for (let index = 0; index < MESSAGES; index++) {
    const passage = passageOf({ ...NO_FAULTS, ...faults }, "weur", "enam", random);
    if (!passage.arrives) lost++;
    if (passage.twice) twice++;
  }
  return { lost: lost / MESSAGES, twice: twice / MESSAGES };
}

describe("faults that are set", () => {
  it("are what is given, and none where nothing is", () => {
    expect(parseFaults({})).toEqual({ kind: "faults", faults: NO_FAULTS, abort: [] });
    const partition = [["weur"], ["enam", "apac"]];
    const all = { partition, loss: 0.3, duplicate: 1, delayMs: MAX_FAULT_DELAY_MS };
    expect(parseFaults({ ...all, abort: ["weur"] })).toEqual({
      kind: "faults",
      faults: all,
      abort: ["weur"],
    });
  });

  it.for([
    [[], "the body"],
    [null, "the body"],
    ["x", "the body"],
    [{ los: 0.3 }, "los:"],
    [{ partition: ["weur"] }, "partition:"],
    [{ partition: [["weur"], ["weur"]] }, "partition:"],
    [{ partition: [["WEUR"]] }, "partition:"],
    [{ partition: [Array.from({ length: 65 }, (_, index) => `r${index}`)] }, "partition:"],
    [{ loss: 1.1 }, "loss:"],
    [{ loss: "0.1" }, "loss:"],
    [{ loss: NaN }, "loss:"],
    [{ duplicate: -0.1 }, "duplicate:"],
    [{ delayMs: MAX_FAULT_DELAY_MS + 1 }, "delayMs:"],
    [{ delayMs: NaN }, "delayMs:"],
    [{ abort: "weur" }, "abort:"],
    [{ abort: [7] }, "abort:"],
  ] as const)("are refused with the field that is wrong: %j", ([value, field]) => {
    const parsed = parseFaults(value);
    expect(parsed.kind === "invalid" && parsed.rule.startsWith(field)).toBe(true);
  });
});

describe("a message", () => {
  it("arrives once and at once when no fault is set", () => {
    const random = createRandom(1);
    expect(passageOf(NO_FAULTS, "weur", "enam", random)).toEqual({ arrives: true, twice: false, delayMs: 0 });
  });

  it("does not pass between groups, in either direction, and passes within one", () => {
    const faults = { ...NO_FAULTS, partition: [["weur", "eeur"], ["enam"]] };
    const arrives = (from: string, to: string): boolean =>
      passageOf(faults, from, to, createRandom(1)).arrives;
    expect([arrives("weur", "enam"), arrives("enam", "weur"), arrives("enam", "eeur")]).toEqual([
      false,
      false,
      false,
    ]);
    expect([arrives("weur", "eeur"), arrives("eeur", "weur")]).toEqual([true, true]);
  });

  it("of a region in no group reaches all, and all reach it", () => {
    const faults = { ...NO_FAULTS, partition: [["weur"], ["enam"]] };
    for (const [from, to] of [
      ["sam", "weur"],
      ["enam", "sam"],
      ["sam", "oc"],
    ]) {
      expect(passageOf(faults, from, to, createRandom(1)).arrives).toBe(true);
    }
  });

  it("is lost and doubled as often as was set", () => {
    const { lost, twice } = draw({ loss: 0.3, duplicate: 0.1 });
    expect(lost).toBeCloseTo(0.3, 1);
    expect(twice).toBeCloseTo(0.1, 1);
    expect(draw({ loss: 1 })).toEqual({ lost: 1, twice: 0 });
    expect(draw({ duplicate: 1 })).toEqual({ lost: 0, twice: 1 });
  });

  it("is held back as long as was set", () => {
    expect(passageOf({ ...NO_FAULTS, delayMs: 200 }, "weur", "enam", createRandom(1)).delayMs).toBe(200);
  });
});
