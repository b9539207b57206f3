// `tidegate check`: errors (exit 1) and advice (exit 0) for a configuration. With `--compile` it is the build
// command of wrangler.toml, and leaves what the Worker is bundled with.
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { packPlan } from "../src/config/compiled-config.ts";
import type { Plan } from "../src/config/plan.ts";
import { parseOptions } from "./arguments.ts";
import { print, report, reportAll } from "./output.ts";
import { prepareConfig } from "./prepare.ts";
import { relayCode } from "./chosen-relay.ts";
import { CHOSEN_RELAY_FILE, COMPILED_CONFIG_FILE, DEFAULT_CONFIG_FILE, WRANGLER_TOML } from "./project.ts";

const SPECS = {
  config: { type: "string" },
  // Bundles the Worker as well, which finds what is wrong with its own code.
  build: { type: "boolean", default: false },
  // Writes the compiled configuration that wrangler puts in the place of `#config`.
  compile: { type: "boolean", default: false },
} as const;

export async function check(args: string[]): Promise<number> {
  const parsed = parseOptions("check", args, SPECS);
  if (!parsed.ok) {
    report(parsed.error);
    return 2;
  }
  const { config, build, compile } = parsed.values;
  const prepared = await prepareConfig(config === undefined ? DEFAULT_CONFIG_FILE : resolve(config));
  const errors = prepared.ok && build ? await buildErrors(prepared.plan) : [];
  if (!prepared.ok) errors.push(...prepared.errors);
  if (!prepared.ok || errors.length > 0) {
    reportAll(errors);
    if (compile) rmSync(COMPILED_CONFIG_FILE, { force: true });
    return 1;
  }
  if (compile) writeCompiled(prepared.plan);
  reportAll(prepared.advice, "advice: ");
  print(`ok ${prepared.plan.hash}`);
  return 0;
}

function writeCompiled(plan: Plan): void {
  writeWhole(CHOSEN_RELAY_FILE, relayCode(plan, dirname(CHOSEN_RELAY_FILE)));
  writeWhole(COMPILED_CONFIG_FILE, JSON.stringify(packPlan(plan)));
}

/** Another build that runs at the same time sees the old file or the new one, never a part of it. */
function writeWhole(file: string, text: string): void {
  const written = `${file}.${process.pid}`;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(written, text);
  renameSync(written, file);
}

async function buildErrors(plan: Plan): Promise<string[]> {
  const { bundleWorker } = await import("./worker-bundle.ts");
  const { readWorkerShape } = await import("./workerd.ts");
  const bundle = bundleWorker(await readWorkerShape(WRANGLER_TOML), packPlan(plan));
  return bundle.ok ? [] : [...bundle.errors];
}
