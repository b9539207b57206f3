// The sidecar beside other proxies, and its memory over time. Each round is compared with @fastify/http-proxy
// in the same round, then the median over the rounds is taken.
import type { Bench } from "../bench.ts";
import { against, markdownTable, type Cell } from "../markdown.ts";
import { installPeers, type Versions } from "../peers/installed.ts";
import { median, range } from "../statistics.ts";
import { REQUESTS, measureMemory, measureProxies, type MemoryResult, type Sample } from "./measure.ts";

const BASELINE = "@fastify/http-proxy";
const SIDECAR = "tidegate sidecar";
const BUDGET_CPU = 1.3;
/** More than this over the requests would be a leak; collections of garbage come and go below it. */
const FLAT_GROWTH = 0.1;

interface Row {
  readonly proxy: string;
  readonly request: string;
  readonly cpuMicros: number | null;
  readonly cpuRatio: number | null;
  readonly cpuRatioRange: readonly [number, number] | null;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly asMeant: number;
}

export interface SidecarResult {
  /** null: they are not installed. */
  readonly peers: Versions | null;
  readonly rows: readonly Row[];
  readonly memory: MemoryResult | null;
  readonly samples: readonly Sample[];
}

export const sidecar: Bench<SidecarResult> = {
  name: "sidecar",
  measure: async ({ quick }) => {
    const peers = installPeers();
    const withPeers = peers !== null;
    const options = quick
      ? { rounds: 4, seconds: 1, warmUpSeconds: 2, withPeers }
      : { rounds: 12, seconds: 1, warmUpSeconds: 4, withPeers };
    const samples = await measureProxies(options);
    const memory = process.platform === "linux" ? await measureMemory(quick ? 50_000 : 200_000) : null;
    const names = [...new Set(samples.map(({ proxy }) => proxy))];
    const rows = Object.keys(REQUESTS).flatMap((request) =>
      names.map((proxy) => summarise(proxy, request, samples)),
    );
    return { peers, rows, memory, samples };
  },
  tables: ({ rows, memory }) =>
    [proxyTable(rows), ...(memory === null ? [] : [memoryTable(memory)])].join("\n\n"),
};

function summarise(proxy: string, request: string, samples: readonly Sample[]): Row {
  const of = (name: string): readonly Sample[] =>
    samples.filter((sample) => sample.proxy === name && sample.request === request);
  const mine = of(proxy);
  const baseline = of(BASELINE);
  const ratios = mine.flatMap(({ cpuMicros, round }) => {
    const other = baseline.find((sample) => sample.round === round)?.cpuMicros ?? null;
    return cpuMicros === null || other === null ? [] : [cpuMicros / other];
  });
  const hasCpu = ratios.length > 0;
  return {
    proxy,
    request,
    cpuMicros: hasCpu ? median(mine.map(({ cpuMicros }) => cpuMicros ?? 0)) : null,
    cpuRatio: hasCpu ? median(ratios) : null,
    cpuRatioRange: hasCpu ? range(ratios) : null,
    perSecond: median(mine.map(({ perSecond }) => perSecond)),
    p50Ms: median(mine.map(({ p50Ms }) => p50Ms)),
    p99Ms: median(mine.map(({ p99Ms }) => p99Ms)),
    asMeant: mine.reduce((sum, { asMeant }) => sum + asMeant, 0) / mine.length,
  };
}

function proxyTable(rows: readonly Row[]): string {
  const headings = [
    "proxy",
    "request",
    "CPU us/request",
    "CPU ratio",
    "range",
    "requests/s",
    "p50 ms",
    "p99 ms",
    "200 %",
    "budget",
  ];
  const cells = rows.map((row): Cell[] => [
    row.proxy,
    row.request,
    row.cpuMicros?.toFixed(0) ?? "n/a",
    row.cpuRatio?.toFixed(2) ?? "n/a",
    row.cpuRatioRange?.map((value) => value.toFixed(2)).join(" to ") ?? "n/a",
    row.perSecond.toFixed(0),
    row.p50Ms.toFixed(2),
    row.p99Ms.toFixed(2),
    (row.asMeant * 100).toFixed(1),
    row.proxy === SIDECAR && row.cpuRatio !== null
      ? `<= ${BUDGET_CPU}: ${against(row.cpuRatio, BUDGET_CPU, true)}`
      : "",
  ]);
  return markdownTable([headings, ...cells]);
}

function memoryTable({ requests, rssMiB }: MemoryResult): string {
  const headings = ["requests", ...rssMiB.map((_, tenth) => String(Math.round((requests * tenth) / 10)))];
  const [first] = rssMiB;
  const last = rssMiB.at(-1) ?? first;
  const growth = last / first - 1;
  const percent = `${growth >= 0 ? "+" : ""}${(growth * 100).toFixed(0)} %`;
  const verdict = `From the first to the last: ${percent}, ${growth <= FLAT_GROWTH ? "flat" : "not flat"}.`;
  return `${markdownTable([headings, ["RSS, MiB", ...rssMiB.map((mib) => mib.toFixed(0))]])}\n\n${verdict}`;
}
