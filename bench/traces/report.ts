// What traces cost a request: each ratio against the same gateway without a receiver, in the same round.
import type { Bench } from "../bench.ts";
import { markdownTable, type Cell } from "../markdown.ts";
import { median, range } from "../statistics.ts";
import { NO_RECEIVER, measureDecision, measureTraces, type Sample } from "./measure.ts";

interface Row {
  readonly name: string;
  readonly cpuMicros: number | null;
  readonly cpuRatio: number | null;
  readonly cpuRatioRange: readonly [number, number] | null;
  readonly perSecond: number;
}

export interface TracesResult {
  readonly decisionNs: number;
  readonly rows: readonly Row[];
  readonly samples: readonly Sample[];
}

export const traces: Bench<TracesResult> = {
  name: "traces",
  measure: async ({ quick }) => {
    const samples = await measureTraces(quick ? 4 : 24, 1);
    const names = [...new Set(samples.map(({ name }) => name))];
    return { decisionNs: measureDecision(), rows: names.map((name) => summarise(name, samples)), samples };
  },
  tables: ({ rows, decisionNs }) =>
    `${table(rows)}\n\nThe ratio's decision itself: ${decisionNs.toFixed(0)} ns.`,
};

function summarise(name: string, samples: readonly Sample[]): Row {
  const mine = samples.filter((sample) => sample.name === name);
  const ratios = mine.flatMap(({ cpuMicros, round }) => {
    const base = samples.find((sample) => sample.name === NO_RECEIVER && sample.round === round)?.cpuMicros;
    return cpuMicros === null || base === null || base === undefined ? [] : [cpuMicros / base];
  });
  const hasCpu = ratios.length > 0;
  return {
    name,
    cpuMicros: hasCpu ? median(mine.map(({ cpuMicros }) => cpuMicros ?? 0)) : null,
    cpuRatio: hasCpu ? median(ratios) : null,
    cpuRatioRange: hasCpu ? range(ratios) : null,
    perSecond: median(mine.map(({ perSecond }) => perSecond)),
  };
}

function table(rows: readonly Row[]): string {
  const headings = ["traces recorded", "CPU us/request", "CPU ratio", "range", "requests/s"];
  const cells = rows.map((row): Cell[] => [
    row.name,
    row.cpuMicros?.toFixed(0) ?? "n/a",
    row.cpuRatio?.toFixed(2) ?? "n/a",
    row.cpuRatioRange?.map((value) => value.toFixed(2)).join(" to ") ?? "n/a",
    row.perSecond.toFixed(0),
  ]);
  return markdownTable([headings, ...cells]);
}
