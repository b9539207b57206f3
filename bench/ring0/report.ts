// Nanoseconds and bytes of the isolate's own decisions, beside opossum and cockatiel.
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Bench } from "../bench.ts";
import { packageVersion } from "../machine.ts";
import { against, markdownTable, type Cell } from "../markdown.ts";
import { median, range } from "../statistics.ts";
import { PEER_NAMES } from "./peers.ts";
import { CLOCK_ALONE, SUBJECTS } from "./subjects.ts";

interface Budget {
  readonly nanos: number;
  readonly bytes: number;
}

export const BUDGETS: Readonly<Record<string, Budget>> = {
  "whole decision and its result": { nanos: 150, bytes: 0 },
  "breaker: admit and record": { nanos: 30, bytes: 0 },
  cursor: { nanos: 10, bytes: 0 },
  "open breaker: refuse": { nanos: 100, bytes: 0 },
};

/** MiB. A batch must fit, or a collection in the middle of it would hide what it has allocated. */
const NURSERY_MIB = 128;
const NURSERY = [`--min-semi-space-size=${NURSERY_MIB}`, `--max-semi-space-size=${NURSERY_MIB}`];

export interface Ring0Row {
  readonly name: string;
  readonly nanos: number;
  readonly nanosRange: readonly [number, number];
  readonly bytes: number;
}

export interface Ring0Result {
  readonly peers: Readonly<Record<string, string>>;
  readonly rows: readonly Ring0Row[];
}

export const ring0: Bench<Ring0Result> = {
  name: "ring0",
  measure: async () => {
    const names = [...SUBJECTS.map(({ name }) => name), ...PEER_NAMES];
    const rows: Ring0Row[] = [];
    let clockBytes = 0;
    for (const name of names) {
      const nanos = await runLoop("time", name, []);
      const bytes = median(await bytesPerOperation(name));
      if (name === CLOCK_ALONE) clockBytes = bytes;
      const ownBytes = bytes - (usesClock(name) ? clockBytes : 0);
      rows.push({ name, nanos: median(nanos), nanosRange: range(nanos), bytes: ownBytes });
    }
    return { peers: { opossum: packageVersion("opossum"), cockatiel: packageVersion("cockatiel") }, rows };
  },
  tables: ({ rows, peers }) => {
    const headings = ["operation", "ns", "range", "bytes", "budget", ""];
    const lines = rows.filter(({ name }) => name !== CLOCK_ALONE).map((row) => line(row, peers));
    return markdownTable([headings, ...lines]);
  },
};

/** What each of some batches leaves on the heap, by operation. */
export function bytesPerOperation(name: string, batches?: number): Promise<readonly number[]> {
  const wanted = batches === undefined ? [] : [String(batches)];
  return runLoop("bytes", name, ["--expose-gc", ...NURSERY], wanted);
}

/** The bench's own clock allocates a number now and then; that is not the subject's doing. */
export function usesClock(name: string): boolean {
  return name in BUDGETS && name !== "cursor";
}

async function runLoop(
  what: "time" | "bytes",
  name: string,
  flags: readonly string[],
  rest: readonly string[] = [],
): Promise<readonly number[]> {
  const file = fileURLToPath(new URL("loops.ts", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, file, what, name, ...rest]);
  const { batches }: { batches: readonly number[] } = JSON.parse(stdout);
  return batches;
}

function line({ name, nanos, nanosRange, bytes }: Ring0Row, peers: Readonly<Record<string, string>>): Cell[] {
  const budget = BUDGETS[name];
  const [peer, rest] = name.split(":");
  const shown = peer in peers ? `${peer} ${peers[peer]}:${rest}` : name;
  const cells = [
    shown,
    nanos.toFixed(0),
    nanosRange.map((value) => value.toFixed(0)).join(" to "),
    String(Math.round(bytes) || 0),
  ];
  if (budget === undefined) return [...cells, "", ""];
  const kept = [
    `time ${against(nanos, budget.nanos, true)}`,
    Math.round(bytes) <= budget.bytes ? "" : "memory missed",
  ];
  return [...cells, `${budget.nanos} ns, ${budget.bytes} bytes`, kept.filter(Boolean).join(", ")];
}
