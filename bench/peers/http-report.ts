// Tidegate beside HAProxy and nginx, through real HTTP: the table.
import type { Bench } from "../bench.ts";
import { markdownTable, type Cell } from "../markdown.ts";
import { measureHttpPeers, type HttpPeers } from "./http.ts";

export const peersHttp: Bench<HttpPeers> = {
  name: "peers-http",
  measure: ({ quick }) => measureHttpPeers(quick),
  tables: ({ versions, capacity, secondsPerRun, patienceMs, runsLeftOut, rows }) => {
    const { haproxy, nginx } = versions;
    const headings = ["", "P0", "P1", "P2", "goodput", "P0 p50", "P0 p99", "P1 p99", "generator kept up"];
    const lines = rows.map((row): Cell[] => [
      `${row.times}x ${row.gateway}`,
      ...row.success.map(percent),
      percent(row.goodput),
      milliseconds(row.p50P0Ms),
      milliseconds(row.p99P0Ms),
      milliseconds(row.p99P1Ms),
      row.keptUp ? "yes" : "no",
    ]);
    return [
      `HAProxy ${haproxy}, nginx ${nginx}. A server of ${capacity}/s, ${secondsPerRun} s each, clients wait ` +
        `${patienceMs} ms${runsLeftOut > 0 ? `; ${runsLeftOut} runs were left out for want of time` : ""}.`,
      markdownTable([headings, ...lines]),
    ].join("\n\n");
  },
};

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

function milliseconds(ms: number): string {
  return `${ms.toFixed(0)} ms`;
}
