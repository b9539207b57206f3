// What a deploy uploads and what a cold start pays: the bundle's size, and the processor time of its
// global scope as `wrangler check startup` profiles it in workerd on this machine.
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { PROJECT_ROOT } from "../cli/project.ts";
import { BUNDLE_BUDGET_BYTES, bundleProblems } from "../cli/verify/bundle.ts";
import type { Bench } from "./bench.ts";
import { against, markdownTable } from "./markdown.ts";
import { median, range } from "./statistics.ts";

const STARTUP_BUDGET_MS = 30;
const KIB = 1024;

export interface BundleResult {
  readonly minifiedBytes: number;
  readonly gzipBytes: number;
  /** Of each profiled start, in ms, without idle time. */
  readonly startupMs: readonly number[];
}

export const bundle: Bench<BundleResult> = {
  name: "bundle",
  measure: async ({ quick }) => {
    const folder = await mkdtemp(join(tmpdir(), "tidegate-bundle-"));
    try {
      await wrangler("deploy", "--dry-run", "--minify", "--outdir", folder);
      const code = await readFile(join(folder, "index.js"));
      const startupMs: number[] = [];
      for (let start = 0; start < (quick ? 3 : 9); start++) startupMs.push(await profileStart(folder));
      return { minifiedBytes: code.length, gzipBytes: bundleProblems(code).gzipBytes, startupMs };
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
  tables: ({ minifiedBytes, gzipBytes, startupMs }) => {
    const [least, most] = range(startupMs).map((ms) => ms.toFixed(0));
    return markdownTable([
      ["", "measured", "budget", ""],
      ["bundle, minified", `${(minifiedBytes / KIB).toFixed(1)} KiB`, "", ""],
      [
        "bundle, minified, gzip",
        `${(gzipBytes / KIB).toFixed(1)} KiB`,
        `${BUNDLE_BUDGET_BYTES / KIB} KiB`,
        against(gzipBytes, BUNDLE_BUDGET_BYTES, true),
      ],
      [
        "start, CPU",
        `${median(startupMs).toFixed(0)} ms (${least} to ${most}, ${startupMs.length} starts)`,
        `${STARTUP_BUDGET_MS} ms`,
        against(median(startupMs), STARTUP_BUDGET_MS, true),
      ],
    ]);
  },
};

interface Profile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: { readonly functionName: string } }[];
  readonly samples: readonly number[];
  /** Microseconds before each sample. */
  readonly timeDeltas: readonly number[];
}

async function profileStart(folder: string): Promise<number> {
  const file = join(folder, "startup.cpuprofile");
  await wrangler("check", "startup", "--args=--minify", "--outfile", file);
  const profile: Profile = JSON.parse(await readFile(file, "utf8"));
  const idle = new Set(
    profile.nodes.filter(({ callFrame }) => callFrame.functionName === "(idle)").map(({ id }) => id),
  );
  let micros = 0;
  for (const [index, id] of profile.samples.entries()) if (!idle.has(id)) micros += profile.timeDeltas[index];
  return micros / 1000;
}

async function wrangler(...args: readonly string[]): Promise<void> {
  const installed = join(PROJECT_ROOT, "node_modules/.bin");
  await promisify(execFile)(join(installed, "wrangler"), args, {
    cwd: PROJECT_ROOT,
    env: {
      ...process.env,
      PATH: `${installed}${delimiter}${process.env.PATH ?? ""}`,
      WRANGLER_SEND_METRICS: "false",
    },
  });
}
