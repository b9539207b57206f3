// fast-check with the settings of these tests: a fixed number of runs, and a seed that a failure prints and
// `TIDEGATE_SEED` repeats.
import fastCheck from "fast-check";

function settings(numRuns: number): { numRuns: number; seed?: number; endOnFailure: boolean } {
  const given = process.env["TIDEGATE_SEED"];
  return { numRuns, endOnFailure: false, ...(given === undefined ? {} : { seed: Number(given) }) };
}

export const fc = { ...fastCheck, settings };
