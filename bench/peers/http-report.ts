// Tidegate beside HAProxy and nginx, through real HTTP: the table.
import type { Bench } from "../bench.ts";
import { markdownTable, type Cell } from "../markdown.ts";
import { measureHttpPeers, type HttpPart, type HttpPeers, type HttpRow } from "./http.ts";

export const peersHttp: Bench<HttpPeers> = {
  name: "peers-http",
  measure: ({ quick }) => measureHttpPeers(quick),
  tables: ({ versions, capacity, patienceMs, runsLeftOut, rows }) => {
    const { haproxy, nginx } = versions;
    const leftOut = runsLeftOut > 0 ? ` ${runsLeftOut} runs were left out for want of time.` : "";
    const times = [...new Set(rows.map((row) => row.times))];
    const parts = times.flatMap((factor) => {
      const of = rows.filter((row) => row.times === factor);
      const { cold, settled } = of[0];
      return [
        `${factor}x, the first ${cold.seconds} s from a cold start / the ${settled.seconds} s after them.`,
        loadTable(of),
      ];
    });
    const versionText = `HAProxy ${haproxy}, nginx ${nginx}.`;
    const serverText = `A server of ${capacity}/s, clients wait ${patienceMs} ms.`;
    return [`${versionText} ${serverText}${leftOut}`, ...parts].join("\n\n");
  },
};

function loadTable(rows: readonly HttpRow[]): string {
  const headings = ["", "P0", "P1", "P2", "goodput", "P0 p50", "P0 p99", "P1 p99", "generator kept up"];
  const lines = rows.map(({ gateway, cold, settled }): Cell[] => {
    const both = (of: (part: HttpPart) => string): string => `${of(cold)} / ${of(settled)}`;
    return [
      gateway,
      ...[0, 1, 2].map((index) => both(({ success }) => percent(success[index]))),
      both(({ goodput }) => percent(goodput)),
      both(({ p50P0Ms }) => milliseconds(p50P0Ms)),
      both(({ p99P0Ms }) => milliseconds(p99P0Ms)),
      both(({ p99P1Ms }) => milliseconds(p99P1Ms)),
      cold.keptUp && settled.keptUp ? "yes" : "no",
    ];
  });
  return markdownTable([headings, ...lines]);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

function milliseconds(ms: number): string {
  return `${ms.toFixed(0)} ms`;
}
