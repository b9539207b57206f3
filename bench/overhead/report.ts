// From samples to ratios: each round is compared with the bare Worker of the same round, then the median
// over the rounds is taken, so that a slow minute of the machine changes nothing.
import type { Bench } from "../bench.ts";
import { against, markdownTable, type Cell } from "../markdown.ts";
import { median, range } from "../statistics.ts";
import { PROXY_CASES, REFUSAL_CASES } from "./cases.ts";
import { OPEN_LOOP_RATE, measureOverhead, type Sample } from "./measure.ts";

const BUDGET = { cpu: 1.25, throughput: 0.85, addedP50Ms: 0.15, refusalCpu: 0.5 } as const;

export interface CaseResult {
  readonly name: string;
  readonly cpuMicros: number | null;
  readonly cpuRatio: number | null;
  readonly cpuRatioRange: readonly [number, number] | null;
  readonly perSecond: number;
  readonly throughputRatio: number;
  readonly p50Ms: number | null;
  readonly addedP50Ms: number | null;
  readonly asMeant: number;
}

export interface OverheadResult {
  readonly openLoopRate: number;
  readonly cases: readonly CaseResult[];
  readonly samples: readonly Sample[];
}

export const overhead: Bench<OverheadResult> = {
  name: "overhead",
  measure: async ({ quick }) => {
    const options = quick
      ? { launches: 1, rounds: 5, seconds: 1, warmUpSeconds: 2 }
      : { launches: 4, rounds: 6, seconds: 1, warmUpSeconds: 3 };
    const samples = await measureOverhead(options);
    const names = [...PROXY_CASES, ...REFUSAL_CASES].map(({ name }) => name);
    return { openLoopRate: OPEN_LOOP_RATE, cases: names.map((name) => summarise(name, samples)), samples };
  },
  tables: ({ cases, openLoopRate }) => {
    const proxying = cases.filter(({ p50Ms }) => p50Ms !== null);
    const refusing = cases.filter(({ p50Ms }) => p50Ms === null);
    return [proxyTable(proxying, openLoopRate), refusalTable(refusing)].join("\n\n");
  },
};

function summarise(name: string, samples: readonly Sample[]): CaseResult {
  const mine = samples.filter((sample) => sample.name === name);
  const bareOf = ({ round }: Sample): Sample => {
    const bare = samples.find((sample) => sample.name === "bare" && sample.round === round);
    if (bare === undefined) throw new Error(`round ${round} has no bare Worker`);
    return bare;
  };
  const cpuRatios = mine.map((sample) => ratio(sample.cpuMicros, bareOf(sample).cpuMicros));
  const measured = cpuRatios.filter((value) => value !== null);
  const hasLatency = mine.every(({ p50Ms }) => p50Ms !== null);
  return {
    name,
    cpuMicros: measured.length === 0 ? null : median(mine.map(({ cpuMicros }) => cpuMicros ?? 0)),
    cpuRatio: measured.length === 0 ? null : median(measured),
    cpuRatioRange: measured.length === 0 ? null : range(measured),
    perSecond: median(mine.map(({ perSecond }) => perSecond)),
    throughputRatio: median(mine.map((sample) => sample.perSecond / bareOf(sample).perSecond)),
    p50Ms: hasLatency ? median(mine.map(({ p50Ms }) => p50Ms ?? 0)) : null,
    addedP50Ms: hasLatency
      ? median(mine.map((sample) => (sample.p50Ms ?? 0) - (bareOf(sample).p50Ms ?? 0)))
      : null,
    asMeant: mine.reduce((sum, { asMeant }) => sum + asMeant, 0) / mine.length,
  };
}

function ratio(value: number | null, bare: number | null): number | null {
  return value === null || bare === null ? null : value / bare;
}

function proxyTable(cases: readonly CaseResult[], rate: number): string {
  const headings = [
    "Worker",
    "CPU us/request",
    "CPU ratio",
    "range",
    "requests/s",
    "ratio",
    `p50 ms at ${rate}/s`,
    "added ms",
    "200 %",
  ];
  const rows = cases.map((one): Cell[] => [
    one.name,
    one.cpuMicros?.toFixed(0) ?? "n/a",
    one.cpuRatio?.toFixed(2) ?? "n/a",
    rangeText(one),
    one.perSecond.toFixed(0),
    one.throughputRatio.toFixed(2),
    one.p50Ms?.toFixed(2) ?? "",
    one.addedP50Ms?.toFixed(2) ?? "",
    (one.asMeant * 100).toFixed(1),
  ]);
  const budget = [
    "budget",
    "",
    `<= ${BUDGET.cpu}`,
    "",
    "",
    `>= ${BUDGET.throughput}`,
    "",
    `< ${BUDGET.addedP50Ms}`,
    "100",
  ];
  const gateway = cases.find(({ name }) => name === "gateway");
  return markdownTable([headings, ...rows, budget, ...(gateway === undefined ? [] : [verdict(gateway)])]);
}

function verdict(gateway: CaseResult): Cell[] {
  const cpu = gateway.cpuRatio === null ? "n/a" : against(gateway.cpuRatio, BUDGET.cpu, true);
  const throughput = against(gateway.throughputRatio, BUDGET.throughput, false);
  const added = against(gateway.addedP50Ms ?? 0, BUDGET.addedP50Ms, true);
  return ["the gateway", "", cpu, "", "", throughput, "", added, ""];
}

function refusalTable(cases: readonly CaseResult[]): string {
  const headings = [
    "refusal",
    "CPU us/request",
    "against a bare proxied request",
    "range",
    `budget <= ${BUDGET.refusalCpu}`,
    "refused %",
  ];
  const rows = cases.map((one): Cell[] => [
    `\`${one.name}\``,
    one.cpuMicros?.toFixed(0) ?? "n/a",
    one.cpuRatio?.toFixed(2) ?? "n/a",
    rangeText(one),
    one.cpuRatio === null ? "n/a" : against(one.cpuRatio, BUDGET.refusalCpu, true),
    (one.asMeant * 100).toFixed(1),
  ]);
  return markdownTable([headings, ...rows]);
}

function rangeText({ cpuRatioRange }: CaseResult): string {
  return cpuRatioRange === null ? "n/a" : cpuRatioRange.map((value) => value.toFixed(2)).join(" to ");
}
