// Loads a configuration file (.ts, .mjs, .js or .json) as plain data, and tells which files it was made
// from. `import ... from "tidegate"` means this package. Every error is one line.
import { existsSync, realpathSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { extname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Bundle } from "./bundling.ts";
import { nonDataErrors } from "./plain-data.ts";
import { LIBRARY_ENTRY } from "./project.ts";

export type LoadedConfig =
  | { readonly ok: true; readonly config: unknown; readonly inputs: readonly string[] }
  | { readonly ok: false; readonly errors: readonly string[]; readonly inputs: readonly string[] };

const EXTENSIONS = [".ts", ".mjs", ".js", ".json"];

/** Loads the file; `inputs` are the absolute paths of every file that it was made from. */
export async function loadConfigFile(file: string): Promise<LoadedConfig> {
  const path = resolve(file);
  const fail = (...errors: string[]): LoadedConfig => ({ ok: false, errors, inputs: [path] });
  if (!existsSync(path) || !statSync(path).isFile()) {
    return fail(`${file}: no such file; --config takes the path of one`);
  }
  if (!EXTENSIONS.includes(extname(path))) {
    return fail(`${file}: must end in one of ${EXTENSIONS.join(" ")}`);
  }
  const loaded = extname(path) === ".json" ? await loadJson(path, file) : await loadModule(path, file);
  if (!loaded.ok) return loaded;
  const errors = nonDataErrors(loaded.config);
  if (errors.length > 0) return { ok: false, errors, inputs: loaded.inputs };
  // A copy through JSON is exactly what the Worker will get.
  return { ok: true, config: JSON.parse(JSON.stringify(loaded.config)), inputs: loaded.inputs };
}

async function loadJson(path: string, file: string): Promise<LoadedConfig> {
  try {
    return { ok: true, config: JSON.parse(await readFile(path, "utf8")), inputs: [path] };
  } catch (error) {
    return { ok: false, errors: [`${file}: ${messageOf(error)}`], inputs: [path] };
  }
}

async function loadModule(path: string, file: string): Promise<LoadedConfig> {
  const bundled = await bundleForNode(path);
  if (!bundled.ok) return { ok: false, errors: bundled.errors, inputs: [path] };
  const inputs = bundled.inputs.filter((input) => !input.includes("/node_modules/"));
  try {
    const module: Record<string, unknown> = await import(bundled.specifier);
    if (module.default === undefined) {
      return {
        ok: false,
        errors: [`${file}: has no default export; write export default defineGateway({ ... })`],
        inputs,
      };
    }
    return { ok: true, config: module.default, inputs };
  } catch (error) {
    return { ok: false, errors: [`${file}: ${messageOf(error)}`], inputs };
  }
}

type Importable =
  | { readonly ok: true; readonly specifier: string; readonly inputs: readonly string[] }
  | Extract<Bundle, { ok: false }>;

async function bundleForNode(path: string): Promise<Importable> {
  const bundling = await import("./bundling.ts").catch(() => null);
  // An image without the tools of development: Node reads the file as it is, and what it imports itself.
  if (bundling === null) return { ok: true, specifier: pathToFileURL(path).href, inputs: [path] };
  const bundled = bundling.bundle({
    entryPoints: [path],
    // esbuild names its inputs relative to the real path of this folder.
    absWorkingDir: realpathSync("."),
    platform: "node",
    alias: { tidegate: LIBRARY_ENTRY },
    external: ["cloudflare:*"],
  });
  if (!bundled.ok) return bundled;
  const { code, inputs } = bundled;
  return {
    ok: true,
    inputs,
    specifier: `data:text/javascript;base64,${Buffer.from(code).toString("base64")}`,
  };
}

function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split("\n")[0];
}
