// The load report as text for people.
import { LATE_MS, type LoadReport } from "./open-loop.ts";
import type { PathReport } from "./tally.ts";

const HEADINGS = ["path", "offered", "2xx", "2xx %", "p50 ms", "p99 ms", "others"];

/** A table with one row per path, and what has to be known about the run itself. */
export function loadTable(report: LoadReport): string {
  const rows = [HEADINGS, ...report.paths.map(row)];
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((cells) => cells[column].length)));
  const lines = rows.map((cells) =>
    cells.map((cell, column) => align(cell, widths[column], column)).join("  "),
  );
  return [...lines.map((line) => line.trimEnd()), "", ...footnotes(report)].join("\n");
}

function row(path: PathReport): readonly string[] {
  const { p50, p99 } = path.okLatencyMs;
  const share = path.offered === 0 ? 0 : (100 * path.ok) / path.offered;
  const cells = [path.path, String(path.offered), String(path.ok), share.toFixed(1)];
  return [...cells, p50.toFixed(1), p99.toFixed(1), others(path)];
}

/** What was not 2xx: problem codes by name, the rest by status. */
function others(path: PathReport): string {
  const named = Object.values(path.codes).reduce((sum, count) => sum + count, 0);
  const parts = Object.entries(path.codes).map(([code, count]) => `${code} ${count}`);
  const answered = Object.values(path.statuses).reduce((sum, count) => sum + count, 0);
  const unnamed = answered - path.ok - named;
  if (unnamed > 0) parts.push(`without a problem code ${unnamed} (${statusList(path)})`);
  if (path.errors > 0) parts.push(`no answer ${path.errors}`);
  if (path.dropped > 0) parts.push(`not started ${path.dropped}`);
  return parts.join(", ");
}

function statusList(path: PathReport): string {
  return Object.keys(path.statuses)
    .filter((status) => !status.startsWith("2"))
    .join(" ");
}

function align(cell: string, width: number, column: number): string {
  return column === 0 || column === HEADINGS.length - 1 ? cell.padEnd(width) : cell.padStart(width);
}

function footnotes(report: LoadReport): readonly string[] {
  const { achievedRate, late, maxLateMs, dropped, keptUp, seed } = report;
  const worst = `worst ${maxLateMs.toFixed(1)} ms`;
  const starts = `${achievedRate.toFixed(1)} starts/s, ${late} later than ${LATE_MS} ms (${worst})`;
  const summary = `${starts}, ${dropped} not started; latency counts from the intended start; seed ${seed}`;
  if (keptUp) return [summary];
  return [summary, "this machine could not keep up: the numbers say more about it than about the gateway"];
}
