// Tidegate beside published algorithms, simulated: the tables.
import type { Bench } from "../bench.ts";
import { markdownTable, type Cell } from "../markdown.ts";
import { simulatePeers, type PeerRow, type SimulatedPeers } from "./simulated.ts";

/** The load whose runs are shown in full; the others are in the JSON. */
const SHOWN_TIMES = 5;

export const peersOverload: Bench<SimulatedPeers> = {
  name: "peers-overload",
  measure: ({ quick }) => Promise.resolve(simulatePeers(quick)),
  tables: ({ seeds, rows }) => {
    const of = (scenario: PeerRow["scenario"], beyond: PeerRow["beyond"]): readonly PeerRow[] =>
      rows.filter((row) => row.scenario === scenario && row.beyond === beyond);
    const parts = (
      [
        ["queue", "an upstream of 1,000/s that queues"],
        ["refuse", "an upstream of 1,000/s that refuses"],
      ] as const
    ).flatMap(([beyond, upstream]) => [
      `S1, ${upstream}: P0 success / goodput of the capacity, by offered load.`,
      loadTable(of("S1", beyond)),
      `S1, ${upstream}, at ${SHOWN_TIMES}x. *P0 late*: from 30 s on.`,
      detailTable(of("S1", beyond).filter(({ times }) => times === SHOWN_TIMES)),
      `S2, ${upstream}: 0.5x, then 5x for 20 s, which the numbers are of, then 0.5x again. *P0 late*: its ` +
        "second half.",
      detailTable(of("S2", beyond)),
      `S3, ${upstream}: at 0.6x, P2 multiplies by twelve for 30 s, which the numbers are of. *P0 late*: their ` +
        "second half.",
      detailTable(of("S3", beyond)),
    ]);
    return [`Seeds ${seeds.join(", ")}; medians, breaches of all seeds together.`, ...parts].join("\n\n");
  },
};

function loadTable(rows: readonly PeerRow[]): string {
  const times = [...new Set(rows.map((row) => row.times))];
  const policies = [...new Set(rows.map(({ policy }) => policy))];
  const lines = policies.map((policy): Cell[] => [
    policy,
    ...rows
      .filter((row) => row.policy === policy)
      .map(({ success, goodput }) => `${percent(success[0])} / ${percent(goodput)}`),
  ]);
  return markdownTable([["", ...times.map((factor) => `${factor}x`)], ...lines]);
}

function detailTable(rows: readonly PeerRow[]): string {
  const hasEnd = rows.some(({ fullAfterSeconds }) => fullAfterSeconds !== null);
  const headings = ["", "P0", "P1", "P2", "P0 late", "P0 p99", "goodput", "G1", "G2", "deviation"];
  const lines = rows.map((row): Cell[] => [
    row.policy,
    ...row.success.map(percent),
    percent(row.successP0Late),
    `${row.p99P0Ms.toFixed(0)} ms`,
    percent(row.goodput),
    row.levelBreaches,
    row.roomBreaches,
    row.rejectionDeviation.toFixed(3),
    ...(hasEnd ? [secondsText(row.fullAfterSeconds)] : []),
  ]);
  return markdownTable([hasEnd ? [...headings, "all served after"] : headings, ...lines]);
}

function secondsText(seconds: number | null): string {
  return seconds === null || !Number.isFinite(seconds) ? "later" : `${seconds} s`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
