// Tables for docs/benchmarks.md.

export type Cell = string | number;

/** The first row holds the headings; columns but the first are aligned to the right. */
export function markdownTable(rows: readonly (readonly Cell[])[]): string {
  const [headings, ...body] = rows.map((row) => row.map(String));
  const widths = headings.map((_, column) => Math.max(3, ...rows.map((row) => String(row[column]).length)));
  const line = (cells: readonly string[]): string => {
    const padded = cells.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]),
    );
    return `| ${padded.join(" | ")} |`;
  };
  const rule = widths.map((width, column) =>
    column === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`,
  );
  return [line(headings), line(rule), ...body.map(line)].join("\n");
}

/** `met`, or by how much it is missed. */
export function against(value: number, budget: number, atMost: boolean): string {
  const met = atMost ? value <= budget : value >= budget;
  return met ? "met" : `missed by ${Math.round(Math.abs(value / budget - 1) * 100)} %`;
}
