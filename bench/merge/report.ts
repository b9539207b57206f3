// Nanoseconds and bytes of counters that regions merge, beside plain memory and beside libraries.
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Bench } from "../bench.ts";
import { packageVersion } from "../machine.ts";
import { against, markdownTable, type Cell } from "../markdown.ts";
import { median, range } from "../statistics.ts";
import { BATCHES, measureBytes, type BytesRow } from "./bytes.ts";
import type { Work } from "./task.ts";

const ROUNDS = 3;
const QUICK_ROUNDS = 1;
const LIBRARIES = ["crdts", "delta-crdts", "yjs"] as const;
const LATTICE_WORKS = ["increment", "merge", "merge-all", "local"] as const;
const SLOTS = [9, 11] as const;

const SUBJECTS: Readonly<Record<string, readonly Work[]>> = {
  tidegate: [...LATTICE_WORKS, "receive", "send"],
  Float64Array: LATTICE_WORKS,
  Map: LATTICE_WORKS,
  crdts: ["merge", "local", "receive"],
  "delta-crdts": ["increment", "merge", "local", "receive"],
  yjs: ["increment", "local", "receive"],
};

const SLOT_BUDGET_NANOS = 20;
const FULL_BUDGET_NANOS = 150;
const CELL_BUDGET_BYTES = 14;

export interface MergeRow {
  readonly implementation: string;
  readonly work: Work;
  /** Slots, or counters in a message. */
  readonly size: number;
  /** Per operation; of a message per counter. */
  readonly nanos: number;
  readonly nanosRange: readonly [number, number];
}

export interface MergeResult {
  readonly versions: Readonly<Record<string, string>>;
  readonly rows: readonly MergeRow[];
  readonly bytes: readonly BytesRow[];
}

export const merge: Bench<MergeResult> = {
  name: "merge",
  measure: async ({ quick }) => ({
    versions: Object.fromEntries(LIBRARIES.map((name) => [name, packageVersion(name)])),
    rows: await measureTimes(quick ? QUICK_ROUNDS : ROUNDS),
    bytes: measureBytes(),
  }),
  tables: (result) =>
    [
      "Nanoseconds per operation, on a counter with 9 / 11 slots.",
      timeTable(result),
      "Nanoseconds per counter in a message of 1 / 100 / 1000 counters, one increment of each.",
      messageTable(result),
      "Bytes of such messages.",
      bytesTable(result.bytes),
      "Against the budgets.",
      budgetTable(result),
    ].join("\n\n"),
};

/** Every subject once a round, each time in a new process: what disturbs a round disturbs all of them. */
async function measureTimes(rounds: number): Promise<MergeRow[]> {
  const subjects = Object.entries(SUBJECTS).flatMap(([implementation, works]) =>
    works.flatMap((work) =>
      sizesOf(work).map((size) => ({ implementation, work, size, runs: [] as number[] })),
    ),
  );
  for (let round = 0; round < rounds; round++) {
    for (const { implementation, work, size, runs } of subjects) {
      const perOperation = median(await runLoop(implementation, work, size));
      runs.push(isMessage(work) ? perOperation / size : perOperation);
    }
  }
  return subjects.map(({ runs, ...subject }) => ({
    ...subject,
    nanos: median(runs),
    nanosRange: range(runs),
  }));
}

function isMessage(work: Work): boolean {
  return work === "receive" || work === "send";
}

function sizesOf(work: Work): readonly number[] {
  return isMessage(work) ? BATCHES : SLOTS;
}

async function runLoop(implementation: string, work: Work, size: number): Promise<readonly number[]> {
  const file = fileURLToPath(new URL("loops.ts", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [file, implementation, work, String(size)]);
  const nanos: readonly number[] = JSON.parse(stdout);
  return nanos;
}

function timeTable(result: MergeResult): string {
  const headings = [
    "",
    "one remote increment",
    "whole state, one slot new",
    "all slots new",
    "own increment and value",
  ];
  const lines = Object.keys(SUBJECTS).map((name) => [
    shown(result, name),
    ...LATTICE_WORKS.map((work) => times(result, name, work)),
  ]);
  return markdownTable([headings, ...lines]);
}

function messageTable(result: MergeResult): string {
  const names = ["tidegate", ...LIBRARIES];
  const lines = names.map((name) => [
    shown(result, name),
    times(result, name, "receive"),
    times(result, name, "send"),
  ]);
  return markdownTable([["", "decode and merge", "encode"], ...lines]);
}

function bytesTable(rows: readonly BytesRow[]): string {
  const headings = ["", ...BATCHES.map((count) => `${count}`), "per counter", "per cell", "without the name"];
  const [, , most] = BATCHES;
  const lines = rows.map(({ name, cells, bytes, nameBytes }): Cell[] => {
    const perCounter = bytes[bytes.length - 1] / most;
    const bare = nameBytes === null ? "" : ((perCounter - nameBytes) / cells).toFixed(1);
    return [name, ...bytes, perCounter.toFixed(1), (perCounter / cells).toFixed(1), bare];
  });
  return markdownTable([headings, ...lines]);
}

function budgetTable(result: MergeResult): string {
  const increment = rowOf(result, "tidegate", "increment", 11);
  const full = rowOf(result, "tidegate", "merge-all", 11);
  const [one] = result.bytes;
  const [, , most] = BATCHES;
  const perCell = one.bytes[one.bytes.length - 1] / most / one.cells;
  const bare = perCell - (one.nameBytes ?? 0);
  return markdownTable([
    ["", "median", "rounds", "budget", ""],
    ["a delta of one slot, merged alone", ...nanosAgainst(increment, 1, SLOT_BUDGET_NANOS)],
    ["a slot within a whole state of 11", ...nanosAgainst(full, 11, SLOT_BUDGET_NANOS)],
    ["a whole state of 11 slots, all new", ...nanosAgainst(full, 1, FULL_BUDGET_NANOS)],
    ["a cell in a message of 1000, without the counter's name", ...bytesAgainst(bare)],
    ["the same with its name of 24 bytes", ...bytesAgainst(perCell)],
  ]);
}

/** Median, fastest and slowest round, of one of `parts`. */
function nanosAgainst(row: MergeRow | null, parts: number, budget: number): Cell[] {
  if (row === null) return ["", "", "", ""];
  const value = row.nanos / parts;
  const rounds = row.nanosRange.map((nanos) => (nanos / parts).toFixed(0)).join(" to ");
  return [`${value.toFixed(1)} ns`, rounds, `${budget} ns`, against(value, budget, true)];
}

function bytesAgainst(value: number): Cell[] {
  const budget = CELL_BUDGET_BYTES;
  return [`${value.toFixed(1)} bytes`, "", `${budget} bytes`, against(value, budget, true)];
}

function shown({ versions }: MergeResult, name: string): string {
  return name in versions ? `${name} ${versions[name]}` : name;
}

function times(result: MergeResult, implementation: string, work: Work): string {
  const all = sizesOf(work).map((size) => rowOf(result, implementation, work, size));
  return all.every((row) => row === null) ? "" : all.map((row) => rounded(row?.nanos ?? 0)).join(" / ");
}

function rounded(nanos: number): string {
  return nanos < 10 ? nanos.toFixed(1) : nanos.toFixed(0);
}

function rowOf({ rows }: MergeResult, implementation: string, work: Work, size: number): MergeRow | null {
  const isIt = (row: MergeRow): boolean =>
    row.implementation === implementation && row.work === work && row.size === size;
  return rows.find(isIt) ?? null;
}
