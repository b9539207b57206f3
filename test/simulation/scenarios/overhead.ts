// S15: what a decision costs, by the loops of `npm run bench ring0` in processes of their own. Times are
// those of the fastest batch: what else the machine does at the moment is not what is looked for.

import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { median } from "../../../bench/statistics.ts";
import { CLOCK_ALONE } from "../../../bench/ring0/subjects.ts";
import type { Entry, Measure } from "./row.ts";
import { atMost } from "./row.ts";

const LOOPS = fileURLToPath(new URL("../../../bench/ring0/loops.ts", import.meta.url));
/** A batch must fit, or a collection in the middle of it would hide what it has allocated. */
const NURSERY = ["--expose-gc", "--min-semi-space-size=128", "--max-semi-space-size=128"];
const WHOLE = "whole decision and its result";
const BREAKER = "breaker: admit and record";

export const OVERHEAD: Entry = {
  id: "S15",
  what: "what a decision costs, in the fastest of 25 batches",
  measure: measureOverhead,
  note: "medians, and the whole gateway, in [benchmarks.md](benchmarks.md)",
};

function measureOverhead(): Measure[] {
  const clockBytes = bytesOf(CLOCK_ALONE);
  return [
    atMost("breaker, admit and record", "nanoseconds", 30, [fastest(BREAKER)]),
    atMost("cursor", "nanoseconds", 10, [fastest("cursor")]),
    atMost("the whole decision", "nanoseconds", 150, [fastest(WHOLE)]),
    atMost("bytes of the breaker", "count", 0, [bytesOf(BREAKER) - clockBytes]),
    atMost("bytes of the whole decision", "count", 0, [bytesOf(WHOLE) - clockBytes]),
  ];
}

function fastest(subject: string): number {
  return Math.min(...run("time", subject, []));
}

/** Bytes per decision, in whole ones. */
function bytesOf(subject: string): number {
  return Math.round(median(run("bytes", subject, NURSERY)));
}

function run(what: "time" | "bytes", subject: string, flags: readonly string[]): readonly number[] {
  const output = execFileSync(process.execPath, [...flags, LOOPS, what, subject], { encoding: "utf8" });
  const { batches }: { batches: readonly number[] } = JSON.parse(output);
  return batches;
}
