// `npm run bench [name ...] [--quick]`: runs the benches in turn, keeps their results and rewrites their
// tables. Without a name all of them run.
import { print, report } from "../cli/output.ts";
import type { Bench } from "./bench.ts";
import { thisMachine } from "./machine.ts";
import { overhead } from "./overhead/report.ts";
import { merge } from "./merge/report.ts";
import { regionCosts } from "./region-costs/report.ts";
import { ring0 } from "./ring0/report.ts";
import { bundle } from "./bundle.ts";
import { overload } from "./overload/report.ts";
import { provenance, writeRecord, writeTables, type Recorded } from "./record.ts";

type Runner = (quick: boolean) => Promise<void>;

const RUNNERS = new Map<string, Runner>([
  runnerOf(ring0),
  runnerOf(overhead),
  runnerOf(overload),
  runnerOf(merge),
  runnerOf(regionCosts),
  runnerOf(bundle),
]);

async function main(args: readonly string[]): Promise<number> {
  const quick = args.includes("--quick");
  const names = args.filter((argument) => argument !== "--quick");
  const unknown = names.filter((name) => !RUNNERS.has(name));
  if (unknown.length > 0) {
    report(
      `no bench is called ${unknown.join(", ")}; there are ${[...RUNNERS.keys()].join(", ")} and --quick`,
    );
    return 2;
  }
  for (const [name, run] of RUNNERS) if (names.length === 0 || names.includes(name)) await run(quick);
  return 0;
}

function runnerOf<Result>(bench: Bench<Result>): [string, Runner] {
  const run: Runner = async (quick) => {
    report(`bench ${bench.name}`);
    const result = await bench.measure({ quick });
    const command = `npm run bench ${bench.name}${quick ? " -- --quick" : ""}`;
    const record: Recorded<Result> = {
      bench: bench.name,
      command,
      measuredAt: new Date().toISOString(),
      quick,
      machine: thisMachine(),
      result,
    };
    const tables = bench.tables(result);
    print(`${tables}\n`);
    if (quick) return;
    writeRecord(record);
    writeTables(bench.name, `${provenance(record)}\n\n${tables}`);
  };
  return [bench.name, run];
}

process.exit(await main(process.argv.slice(2)));
