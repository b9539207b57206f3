// Keeps what was measured: `results/<bench>.json`, and the tables of docs/benchmarks.md, which are made of
// those files alone. A table stands between `<!-- table:<bench> -->` and `<!-- /table:<bench> -->`.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Machine } from "./machine.ts";

const inBench = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export const DOCUMENT = inBench("../docs/benchmarks.md");

export interface Recorded<Result> {
  readonly bench: string;
  readonly command: string;
  /** ISO 8601. */
  readonly measuredAt: string;
  readonly quick: boolean;
  readonly machine: Machine;
  readonly result: Result;
}

export function writeRecord(record: Recorded<unknown>): void {
  mkdirSync(inBench("results"), { recursive: true });
  writeFileSync(inBench(`results/${record.bench}.json`), `${JSON.stringify(record, null, 2)}\n`);
}

/** Replaces one bench's tables in the document. */
export function writeTables(bench: string, text: string): void {
  writeFileSync(DOCUMENT, replaceBetween(readFileSync(DOCUMENT, "utf8"), bench, text));
}

/** The document with everything between a bench's two markers replaced; throws when one is missing. */
export function replaceBetween(document: string, bench: string, text: string): string {
  const opening = `<!-- table:${bench} -->`;
  const closing = `<!-- /table:${bench} -->`;
  const start = document.indexOf(opening);
  const end = document.indexOf(closing);
  if (start < 0 || end < start) throw new Error(`the document has no ${opening} ... ${closing}`);
  return `${document.slice(0, start + opening.length)}\n${text}\n${document.slice(end)}`;
}

/** One line: how the numbers came about. */
export function provenance({ command, measuredAt, machine, quick }: Recorded<unknown>): string {
  const { cores, processor, memoryGib, platform, node, workerd } = machine;
  const versions = `Node ${node}, workerd ${workerd}`;
  const where = `${cores} cores (${processor}), ${memoryGib} GiB, ${platform}, ${versions}`;
  return `\`${command}\`, ${measuredAt.slice(0, 10)}${quick ? ", a quick run" : ""}: ${where}.`;
}
