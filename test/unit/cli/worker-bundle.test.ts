// The Worker as wrangler.toml shapes it: compiled configuration in, validator out. The bundle runs on Node
// too, for it uses web standards alone, but for the class that its objects extend.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, describe, it } from "vitest";
import { compileForWorker } from "../../../cli/prepare.ts";
import {
  CHOSEN_RELAY_FILE,
  COMPILED_CONFIG_FILE,
  DEFAULT_CONFIG_FILE,
  PROJECT_ROOT,
  WRANGLER_TOML,
} from "../../../cli/project.ts";
import { bundleProblems } from "../../../cli/verify/bundle.ts";
import { bundleWorker } from "../../../cli/worker-bundle.ts";
import { readWorkerShape } from "../../../cli/workerd.ts";
import type { CompiledConfig } from "../../../src/config/compiled-config.ts";
import { minimalConfig } from "../config/sample.ts";

const folder = mkdtempSync(join(tmpdir(), "tidegate-bundle-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const shape = await readWorkerShape(WRANGLER_TOML);

function codeWith(config: unknown, aliases = shape.aliases): string {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a raw one is what is tried here
  const bundle = bundleWorker({ main: shape.main, aliases }, config as CompiledConfig);
  if (!bundle.ok) throw new Error(bundle.errors.join("\n"));
  return bundle.code;
}

/** Imports a bundle from a file; rejects with what its global scope throws. */
function run(code: string, name: string): Promise<unknown> {
  const file = join(folder, name);
  writeFileSync(
    join(folder, "workers.mjs"),
    "export class DurableObject {}\nexport class WorkerEntrypoint {}\nexport class WorkflowEntrypoint {}",
  );
  writeFileSync(file, code.replaceAll('"cloudflare:workers"', '"./workers.mjs"'));
  return import(/* @vite-ignore */ pathToFileURL(file).href);
}

describe("the Worker", () => {
  it("holds neither zod nor the rules for configuration files", ({ expect }) => {
    const { problems } = bundleProblems(Buffer.from(codeWith(compileForWorker(minimalConfig()))));
    // This one is not minified, so its size says nothing.
    expect(problems.filter((problem) => !problem.includes("ceiling"))).toEqual([]);
  });

  it("starts with a compiled configuration", async ({ expect }) => {
    const module = await run(codeWith(compileForWorker(minimalConfig())), "compiled.mjs");
    expect(module).toHaveProperty("default.fetch");
  });

  it("says at its start what to do when its configuration was not compiled", async ({ expect }) => {
    await expect(run(codeWith(minimalConfig()), "raw.mjs")).rejects.toThrow(
      /1 error\(s\):\n.*must be compiled.*remove #validator from \[alias\] in wrangler\.toml$/,
    );
  });

  it("validates by itself where #validator is not replaced", async ({ expect }) => {
    const { "#validator": _, ...others } = shape.aliases;
    const code = codeWith(minimalConfig(), others);
    expect(await run(code, "validating.mjs")).toHaveProperty("default.fetch");
    // So the search above can fail.
    expect(bundleProblems(Buffer.from(code)).problems.join("\n")).toMatch(/_zod[^]*\(got /);
  });
});

describe("wrangler.toml", () => {
  it("takes in what its build command writes", ({ expect }) => {
    expect(shape.aliases["#config"]).toBe(`./${relative(PROJECT_ROOT, COMPILED_CONFIG_FILE)}`);
    expect(shape.aliases["#relay"]).toBe(`./${relative(PROJECT_ROOT, CHOSEN_RELAY_FILE)}`);
    expect(readFileSync(WRANGLER_TOML, "utf8")).toMatch(
      /^command = "node cli\/tidegate\.mjs check --compile"$/m,
    );
    expect(DEFAULT_CONFIG_FILE).toBe(join(PROJECT_ROOT, "tidegate.config.ts"));
  });
});
