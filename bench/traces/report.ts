// What traces cost a request: each ratio against the same gateway without a receiver, in the same round.
import type { Bench } from "../bench.ts";
import { markdownTable, type Cell } from "../markdown.ts";
import { median, range } from "../statistics.ts";
import { CASES, NO_RECEIVER, measureTraces, type Sample } from "./measure.ts";
import { measurePipeline } from "./pipeline.ts";

interface Row {
  readonly name: string;
  readonly cpuMicros: number | null;
  readonly cpuRatio: number | null;
  readonly cpuRatioRange: readonly [number, number] | null;
  readonly perSecond: number;
}

export interface TracesResult {
  /** The pipeline alone, by case. */
  readonly pipelineMicros: readonly number[];
  readonly rows: readonly Row[];
  readonly samples: readonly Sample[];
}

export const traces: Bench<TracesResult> = {
  name: "traces",
  measure: async ({ quick }) => {
    const samples = await measureTraces(quick ? 4 : 24, 1);
    const names = [...new Set(samples.map(({ name }) => name))];
    const ratios = Object.values(CASES).map((ratio) => (ratio === null ? null : Number(ratio)));
    const pipelineMicros = await measurePipeline(ratios, quick ? 5 : 40);
    return { pipelineMicros, rows: names.map((name) => summarise(name, samples)), samples };
  },
  tables: ({ rows, pipelineMicros }) => `${pipelineTable(rows, pipelineMicros)}\n\n${table(rows)}`,
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

function pipelineTable(rows: readonly Row[], micros: readonly number[]): string {
  const [without] = micros;
  const headings = ["traces recorded", "the pipeline alone, us/request", "added, us"];
  const cells = rows.map(({ name }, index): Cell[] => [
    name,
    micros[index].toFixed(1),
    (micros[index] - without).toFixed(1),
  ]);
  return markdownTable([headings, ...cells]);
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
