// `npm run bench [name ...] [--quick]`: runs the benches in turn, keeps their results and rewrites their
// tables. Without a name all of them run.
import { print, report } from "../cli/output.ts";
import type { Bench } from "./bench.ts";
import { thisMachine } from "./machine.ts";
import { delivery } from "./delivery/report.ts";
import { events } from "./events/report.ts";
import { overhead } from "./overhead/report.ts";
import { merge } from "./merge/report.ts";
import { regionCosts } from "./region-costs/report.ts";
import { regions } from "./regions/report.ts";
import { ring0 } from "./ring0/report.ts";
import { sagas } from "./sagas/report.ts";
import { sidecar } from "./sidecar/report.ts";
import { sidecarMemory } from "./sidecar/memory.ts";
import { traces } from "./traces/report.ts";
import { bundle } from "./bundle.ts";
import { overload } from "./overload/report.ts";
import { peersHttp } from "./peers/http-report.ts";
import { peersOverload } from "./peers/overload-report.ts";
import { provenance, writeRecord, writeTables, type Recorded } from "./record.ts";

type Runner = (quick: boolean) => Promise<void>;

const RUNNERS = new Map<string, Runner>([
  runnerOf(ring0),
  runnerOf(overhead),
  runnerOf(overload),
  runnerOf(peersOverload),
  runnerOf(peersHttp),
  runnerOf(merge),
  runnerOf(regionCosts),
  runnerOf(regions),
  runnerOf(sidecar),
  runnerOf(sidecarMemory),
  runnerOf(delivery),
  runnerOf(sagas),
  runnerOf(events),
  runnerOf(traces),
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
    if (result === null) return;
    const command = `npm run bench ${bench.name}${quick ? " -- --quick" : ""}`;
    const record: Recorded<Result> = {
      bench: bench.name,
      command,
      measuredAt: new Date().toISOString(),
      quick,
      machine: thisMachine(),
      result,
    };
    const sections = { [bench.name]: bench.tables, ...bench.sections };
    const texts = Object.entries(sections).map(([name, tables]) => ({ name, text: tables(result) }));
    for (const { text } of texts) print(`${text}\n`);
    if (quick) return;
    writeRecord(record);
    for (const { name, text } of texts) writeTables(name, `${provenance(record)}\n\n${text}`);
  };
  return [bench.name, run];
}

process.exit(await main(process.argv.slice(2)));
