// The table as text, and its place in docs/overload.md.

import type { Row } from "./row.ts";
import { numberOf } from "./all.ts";

const OPENING = "<!-- scenarios -->";
const CLOSING = "<!-- /scenarios -->";

/** Markdown; what belongs to one scenario stands together. */
export function tableOf(rows: readonly Row[]): string {
  const lines = rows.map(
    ({ id, what, measured, line, verdict }) => `| ${id} | ${what} | ${verdict} | ${measured} | ${line} |`,
  );
  return ["| | scenario | | measured | line |", "|---|---|---|---|---|", ...lines].join("\n");
}

/** How many rows are met, missed, not covered; and of how many scenarios all rows are met. */
export function summaryOf(rows: readonly Row[]): string {
  const count = (verdict: Row["verdict"]): number => rows.filter((row) => row.verdict === verdict).length;
  const scenarios = [...new Set(rows.map(numberOf))];
  const whole = scenarios.filter((one) =>
    rows.every((row) => numberOf(row) !== one || row.verdict === "met"),
  );
  return (
    `${rows.length} rows: ${count("met")} met, ${count("missed")} missed, ` +
    `${count("not covered")} not covered. ` +
    `Met in every row: ${whole.map((one) => `S${one}`).join(", ") || "none"}.`
  );
}

/** The document with the table between its two markers replaced; throws when one is missing. */
export function withTable(document: string, text: string): string {
  const start = document.indexOf(OPENING);
  const end = document.indexOf(CLOSING);
  if (start < 0 || end < start) throw new Error(`the document has no ${OPENING} ... ${CLOSING}`);
  return `${document.slice(0, start + OPENING.length)}\n\n${text}\n\n${document.slice(end)}`;
}
