// The tables of limits: what was admitted beyond them, by load and policy, what that costs, and the budgets.
import type { OvershootRow } from "../../test/simulation/regions/tables.ts";
import { markdownTable, type Cell } from "../markdown.ts";

interface Budget {
  readonly name: string;
  readonly policy: string;
  readonly loads: RegExp;
  /** Of the limit's units. */
  readonly most: number;
}

const GLOBAL = "Tidegate, global";
const COLD = "Tidegate, global, cold regions";

const BUDGETS: readonly Budget[] = [
  { name: "global, steady", policy: GLOBAL, loads: /(?<!0\.8)x steady/, most: 0.01 },
  { name: "global, 2x burst", policy: GLOBAL, loads: / 2x burst/, most: 0.05 },
  { name: "global, 10x burst", policy: GLOBAL, loads: / 10x burst/, most: 0.3 },
  { name: "global, cold, steady", policy: COLD, loads: /(?<!0\.8)x steady/, most: 0.01 },
  { name: "global, cold, 2x burst", policy: COLD, loads: / 2x burst/, most: 0.05 },
  { name: "global, cold, 10x burst", policy: COLD, loads: / 10x burst/, most: 0.3 },
  { name: "capped, every load", policy: "Tidegate, capped", loads: /x /, most: 0 },
];

/** One line a load, one column a policy. Loads below the limit cannot pass it and are left out. */
export function overshootTable(
  rows: readonly OvershootRow[],
  pick: (row: OvershootRow) => readonly [mean: number, worst: number],
): string {
  const above = rows.filter(({ load }) => !load.includes("0.8x"));
  return byLoad(above, (row) => pick(row).map(percent).join(" / "));
}

/** Waits, calls and needless refusals. */
export function priceTable(rows: readonly OvershootRow[]): string {
  return byLoad(rows, ({ waited, callRate, refusedInVain }) => {
    const refused = `${(refusedInVain * 100).toFixed(1)} %`;
    return [`${(waited * 100).toFixed(0)} %`, callRate.toFixed(1), refused].join(" / ");
  });
}

/** Of each budget the worst load and window: its mean over the seeds, and the worst seed of any of them. */
export function budgetTable(rows: readonly OvershootRow[]): string {
  const lines = BUDGETS.map(({ name, policy, loads, most }): Cell[] => {
    const own = rows.filter((row) => row.policy === policy && loads.test(row.load));
    const mean = Math.max(...own.flatMap(({ cold, warm }) => [cold, warm]));
    const worst = Math.max(...own.flatMap(({ coldWorst, warmWorst }) => [coldWorst, warmWorst]));
    return [name, percent(most), percent(mean), verdict(mean, most), percent(worst), verdict(worst, most)];
  });
  return markdownTable([["", "budget", "mean of the seeds", "", "worst seed", ""], ...lines]);
}

function verdict(value: number, most: number): string {
  return value <= most ? "met" : `missed by ${percent(value - most)} of the limit`;
}

function byLoad(rows: readonly OvershootRow[], show: (row: OvershootRow) => string): string {
  const policies = [...new Set(rows.map(({ policy }) => policy))];
  const loads = [...new Set(rows.map(({ load }) => load))];
  const lines = loads.map((load): Cell[] => {
    const ofLoad = rows.filter((row) => row.load === load);
    return [
      load,
      ...policies.map((policy) =>
        ofLoad
          .filter((row) => row.policy === policy)
          .map(show)
          .join(),
      ),
    ];
  });
  return markdownTable([["", ...policies], ...lines]);
}

/** Without a minus before what rounds to nothing. */
function percent(part: number): string {
  return `${(part * 100).toFixed(1).replace(/^-(0\.0)$/, "$1")} %`;
}
