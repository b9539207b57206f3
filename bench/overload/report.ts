// The overload scenarios: S1 steady overload, S4 an upstream that turns slow, S6 recovery after an outage.
import type { Bench } from "../bench.ts";
import { markdownTable, type Cell } from "../markdown.ts";
import { overloadReally, type RealResult, type RealRow } from "./real.ts";
import { simulateOverload, type SimulatedResult, type SteadyRow } from "./simulated.ts";

export interface OverloadResult {
  readonly simulated: SimulatedResult;
  readonly real: RealResult;
}

export const overload: Bench<OverloadResult> = {
  name: "overload",
  measure: async ({ quick }) => ({
    simulated: simulateOverload(quick),
    real: await overloadReally(quick),
  }),
  tables: ({ simulated, real }) =>
    [
      `S1, simulated, seeds ${simulated.seeds.join(", ")}: P0 success / goodput, by offered load.`,
      steadyTable(simulated.steady),
      `S1 through real HTTP, ${real.secondsPerRun} s each, clients wait ${real.patienceMs} ms: ` +
        "P0 success / goodput.",
      realTable(real.rows),
      "The same runs by class: success of P0 / P1 / P2, and how long a successful P0 took.",
      classTable(real.rows),
      "S4, simulated: from the 10th second on, the upstream takes 30 times as long, without errors.",
      slowTable(simulated),
      "S6, simulated: connections are refused for 30 s, 60 requests/s are offered throughout.",
      outageTable(simulated),
    ].join("\n\n"),
};

interface LoadRow {
  readonly times: number;
  readonly policy: string;
  readonly goodput: number;
}

function byLoad<Row extends LoadRow>(rows: readonly Row[], cell: (row: Row) => string): string {
  const times = [...new Set(rows.map((row) => row.times))];
  const policies = [...new Set(rows.map(({ policy }) => policy))];
  const lines = policies.map((policy) => [
    policy,
    ...times.map(
      (factor) => rows.filter((row) => row.times === factor && row.policy === policy).map(cell)[0],
    ),
  ]);
  return markdownTable([["", ...times.map((factor) => `${factor}x`)], ...lines]);
}

function steadyTable(rows: readonly SteadyRow[]): string {
  return byLoad(rows, ({ successP0, goodput }) => `${percent(successP0)} / ${percent(goodput)}`);
}

function realTable(rows: readonly RealRow[]): string {
  return byLoad(rows, ({ successByClass, goodput }) => `${percent(successByClass[0])} / ${percent(goodput)}`);
}

function classTable(rows: readonly RealRow[]): string {
  const lines = rows.map((row): Cell[] => [
    `${row.policy}, ${row.times}x`,
    ...row.successByClass.map(percent),
    `${row.p50P0Ms.toFixed(0)} ms`,
    `${row.p99P0Ms.toFixed(0)} ms`,
    row.keptUp ? "yes" : "no",
  ]);
  return markdownTable([["", "P0", "P1", "P2", "p50", "p99", "generator kept up"], ...lines]);
}

function slowTable({ slow }: SimulatedResult): string {
  const headings = ["", "P0 success", "of what could be served", "P0 p99"];
  return markdownTable([
    headings,
    ...slow.map((row): Cell[] => [
      row.policy,
      percent(row.successP0),
      percent(row.useful),
      `${row.p99P0Ms.toFixed(0)} ms`,
    ]),
  ]);
}

function outageTable({ outage }: SimulatedResult): string {
  const headings = ["", "calls/s to the dead upstream", "back after", "most load afterwards"];
  return markdownTable([
    headings,
    ...outage.map((row): Cell[] => [
      row.policy,
      row.wastedPerSecond.toFixed(2),
      `${row.backAfterSeconds} s`,
      `${row.peakLoad.toFixed(2)}x capacity`,
    ]),
  ]);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
