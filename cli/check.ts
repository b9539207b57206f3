// `tidegate check`: errors (exit 1) and advice (exit 0) for a configuration.
import { resolve } from "node:path";
import { parseOptions } from "./arguments.ts";
import { print, report, reportAll } from "./output.ts";
import { prepareConfig } from "./prepare.ts";
import { DEFAULT_CONFIG_FILE, WRANGLER_TOML } from "./project.ts";

const SPECS = {
  config: { type: "string" },
  // Bundles the Worker as well, which finds what is wrong with its own code.
  build: { type: "boolean", default: false },
} as const;

export async function check(args: string[]): Promise<number> {
  const parsed = parseOptions("check", args, SPECS);
  if (!parsed.ok) {
    report(parsed.error);
    return 2;
  }
  const { config, build } = parsed.values;
  const prepared = await prepareConfig(config === undefined ? DEFAULT_CONFIG_FILE : resolve(config));
  const errors = prepared.ok && build ? await buildErrors(prepared.config) : [];
  if (!prepared.ok) errors.push(...prepared.errors);
  if (!prepared.ok || errors.length > 0) {
    reportAll(errors);
    return 1;
  }
  reportAll(prepared.advice, "advice: ");
  print(`ok ${prepared.plan.hash}`);
  return 0;
}

async function buildErrors(config: unknown): Promise<string[]> {
  const { bundleWorker } = await import("./worker-bundle.ts");
  const { readWorkerShape } = await import("./workerd.ts");
  const { main } = await readWorkerShape(WRANGLER_TOML);
  const bundle = bundleWorker(main, config);
  return bundle.ok ? [] : [...bundle.errors];
}
