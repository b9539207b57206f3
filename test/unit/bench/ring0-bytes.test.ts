// What the isolate's decisions leave on the heap. Each is measured as the bench does it, in a process of its
// own, and held against the bench's clock, which makes a new number now and then.

import { describe, it } from "vitest";
import { BUDGETS, bytesPerOperation, usesClock } from "../../../bench/ring0/report.ts";
import { CLOCK_ALONE } from "../../../bench/ring0/subjects.ts";

/** The least one counts: the first may have run before the compiler was done. */
const BATCHES = 3;
/** A number of its own takes 16 bytes. What a tick leaves twice a second is far less than one. */
const MOST_BYTES = 0.5;

async function leastBytes(name: string): Promise<number> {
  return Math.min(...(await bytesPerOperation(name, BATCHES)));
}

describe("ring 0", () => {
  it("allocates nothing: no decision leaves anything on the heap", async ({ expect }) => {
    const names = Object.keys(BUDGETS);
    const [clock, ...bytes] = await Promise.all([CLOCK_ALONE, ...names].map(leastBytes));
    const own = names.map((name, index) => [name, bytes[index] - (usesClock(name) ? clock : 0)] as const);
    expect(clock).toBeGreaterThan(1);
    expect(own.filter(([, left]) => left > MOST_BYTES)).toEqual([]);
  });
});
