// Regions among themselves, in simulated time: how soon all of them know of an update, and how far a limit
// that they share is passed, beside other ways to share it.
import {
  measureConvergences,
  measureOvershoot,
  type ConvergenceRow,
  type OvershootRow,
} from "../../test/simulation/regions/tables.ts";
import type { Bench } from "../bench.ts";
import { markdownTable, type Cell } from "../markdown.ts";
import { budgetTable, overshootTable, priceTable } from "./overshoot.ts";

const SEEDS = 60;
const QUICK_SEEDS = 4;
const CONVERGENCE_SEEDS = 5;
/** Of each seed. */
const UPDATES = 400;
const QUICK_UPDATES = 100;

export interface RegionsResult {
  readonly seeds: number;
  /** Of each row of the convergence. */
  readonly updates: number;
  readonly convergence: readonly ConvergenceRow[];
  readonly overshoot: readonly OvershootRow[];
}

export const regions: Bench<RegionsResult> = {
  name: "regions",
  measure: async ({ quick }) => {
    const seeds = firstSeeds(quick ? QUICK_SEEDS : SEEDS);
    const updates = quick ? QUICK_UPDATES : UPDATES;
    return {
      seeds: seeds.length,
      updates: updates * CONVERGENCE_SEEDS,
      convergence: measureConvergences(updates, firstSeeds(CONVERGENCE_SEEDS)),
      overshoot: measureOvershoot(seeds),
    };
  },
  tables: convergenceTables,
  sections: { "regions-limits": limitTables },
};

function firstSeeds(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}

function convergenceTables({ updates, convergence }: RegionsResult): string {
  const losses = [...new Set(convergence.map(({ loss }) => loss))];
  const headings = losses.flatMap((loss) => {
    const lost = loss === 0 ? "nothing lost" : `${(loss * 100).toFixed(0)} % lost`;
    return [`${lost}: p50`, "p99"];
  });
  const lines = [...new Set(convergence.map((row) => row.regions))].map((count): Cell[] => {
    const rows = convergence.filter((row) => row.regions === count);
    const quantiles = rows.flatMap(({ p50Ms, p99Ms }) => [p50Ms, p99Ms].map((ms) => `${ms.toFixed(0)} ms`));
    return [`${count}`, ...quantiles, rows[0].messageRate.toFixed(1)];
  });
  return [
    `From an update until the last region has it, ${updates} updates a cell, and messages of one region where ` +
      "nothing is lost, answers included.",
    markdownTable([["regions", ...headings, "messages/s"], ...lines]),
  ].join("\n\n");
}

function limitTables({ seeds, overshoot }: RegionsResult): string {
  return [
    `Admitted beyond the limit in the first window, over the limit: mean / worst of ${seeds} seeds. Below ` +
      "zero, less than the limit was admitted.",
    overshootTable(overshoot, ({ cold, coldWorst }) => [cold, coldWorst]),
    "The same in the next window, which gets the same load again.",
    overshootTable(overshoot, ({ warm, warmWorst }) => [warm, warmWorst]),
    "Against the budgets: the worst of their loads, in either window.",
    budgetTable(overshoot),
    "What it takes, both windows: requests that waited for an answer of the hub / calls of an isolate per " +
      "second while there is load / of what was offered and would have fitted into its window, what was refused.",
    priceTable(overshoot),
  ].join("\n\n");
}
