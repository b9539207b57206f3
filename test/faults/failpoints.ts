// `npm run faults -- --seeds 100`: the faults that are injected inside the runtime, each with so many seeds;
// crashes within a transaction a hundred times as often. In pieces, each in processes of its own: a runtime
// that has had some thousand objects die in it is slow. A piece leaves its output in a file.
import { spawn } from "node:child_process";
import { createWriteStream, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PROJECT_ROOT } from "../../cli/project.ts";

const CRASHES_PER_SEED = 100;
/** Of the crashes within a transaction, whose test does a hundred for each seed. */
const CRASH_PIECE_SEEDS = 10;
const PIECE_SEEDS = 20;

interface Fault {
  readonly name: string;
  readonly file: string;
  /** Of the tests of that file; empty: all. */
  readonly only: string;
  readonly pieceSeeds: number;
  readonly runsPerSeed: number;
}

function faultOf(name: string, file: string, only: string): Fault {
  return { name, file, only, pieceSeeds: PIECE_SEEDS, runsPerSeed: 1 };
}

const OUTBOX = "test/workers/outbox-faults";
const CONSUMER = "test/workers/consumer-faults";
const FAULTS: readonly Fault[] = [
  {
    ...faultOf("crash within a transaction", OUTBOX, "two writes"),
    pieceSeeds: CRASH_PIECE_SEEDS,
    runsPerSeed: CRASHES_PER_SEED,
  },
  faultOf("crash before the send", OUTBOX, "before the send"),
  faultOf("crash behind the send", CONSUMER, "behind the send"),
  faultOf("pointers three times, in any order", CONSUMER, "three times"),
  faultOf("consumer killed in a batch", CONSUMER, "killed in a batch"),
  faultOf("upstream down, outbox dying", CONSUMER, "upstream that is down"),
  faultOf("upstream down for ten minutes, simulated", "test/simulation/delivery/outage", ""),
  faultOf("one job in a hundred unreadable", CONSUMER, "one job in a hundred"),
  faultOf("over the watermark", OUTBOX, "refuses from exactly"),
  faultOf("clock wrong by an hour", OUTBOX, "hour wrong"),
  faultOf("alarm failing seven times", OUTBOX, "fails seven times"),
];

/** True: they all hold. `only`: those whose names contain it. */
export async function injectFaults(seeds: number, only = ""): Promise<boolean> {
  if (!Number.isInteger(seeds) || seeds < 1) throw new Error("--seeds takes a number of seeds, at least 1");
  const folder = mkdtempSync(join(tmpdir(), "tidegate-faults-"));
  let holds = true;
  for (const fault of FAULTS.filter(({ name }) => name.includes(only))) {
    let failed = 0;
    const startedAt = Date.now();
    const { pieceSeeds, runsPerSeed, name } = fault;
    for (let from = 0; from < seeds; from += pieceSeeds) {
      const piece = Math.min(pieceSeeds, seeds - from);
      const output = join(folder, `${name.replaceAll(/\W+/g, "-")}-${from}.txt`);
      if (await runPiece(fault, piece, from * runsPerSeed + 1, output)) continue;
      failed += 1;
      console.log(`FAILED ${name}, seeds from ${from * runsPerSeed + 1}: ${output}`);
    }
    const took = `${Math.round((Date.now() - startedAt) / 1_000)} s`;
    console.log(`${failed === 0 ? "ok    " : "FAILED"} ${name}: ${seeds * runsPerSeed} runs, ${took}`);
    holds &&= failed === 0;
  }
  return holds;
}

/** Some seeds of one fault; true: its tests passed. */
function runPiece({ file, only }: Fault, seeds: number, first: number, output: string): Promise<boolean> {
  const filter = only === "" ? [] : ["-t", only];
  const vitest = join(PROJECT_ROOT, "node_modules/vitest/vitest.mjs");
  const child = spawn(process.execPath, [vitest, "run", file, ...filter], {
    cwd: PROJECT_ROOT,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, TIDEGATE_FAULT_RUNS: String(seeds), TIDEGATE_FAULT_FIRST: String(first) },
  });
  const written = createWriteStream(output);
  child.stdout.pipe(written, { end: false });
  child.stderr.pipe(written, { end: false });
  return new Promise((resolve) => {
    child.on("close", (code) => written.end(() => resolve(code === 0)));
  });
}
