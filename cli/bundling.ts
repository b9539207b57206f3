// esbuild without its service process. That process would share our standard error and put it into blocking
// mode, and then a reader that stops reading it would stop the whole gateway.
import type { BuildFailure, BuildOptions, BuildResult, Location } from "esbuild";
import { relative, resolve } from "node:path";

// Read when esbuild is loaded: without a worker thread `buildSync` needs no service process either.
process.env.ESBUILD_WORKER_THREADS = "0";
const { buildSync } = await import("esbuild");

type Settings = BuildOptions & { readonly absWorkingDir: string };

export type Bundle =
  | { readonly ok: true; readonly code: string; readonly inputs: readonly string[] }
  | { readonly ok: false; readonly errors: readonly string[] };

/** Bundles one entry point to one ES module in memory. `inputs`: absolute paths; errors: one line each. */
export function bundle(settings: Settings): Bundle {
  try {
    const result = buildSync({
      ...settings,
      bundle: true,
      write: false,
      metafile: true,
      format: "esm",
      target: "es2024",
      logLevel: "silent",
    });
    return { ok: true, code: result.outputFiles[0].text, inputs: inputsOf(result, settings.absWorkingDir) };
  } catch (error) {
    if (!isBuildFailure(error)) throw error;
    const errors = error.errors.map(({ location, text }) => place(location, settings.absWorkingDir) + text);
    return { ok: false, errors };
  }
}

function inputsOf(result: BuildResult<{ metafile: true }>, folder: string): readonly string[] {
  return Object.keys(result.metafile.inputs).map((input) => resolve(folder, input));
}

function isBuildFailure(thrown: unknown): thrown is BuildFailure {
  return thrown instanceof Error && "errors" in thrown && Array.isArray(thrown.errors);
}

function place(location: Location | null, folder: string): string {
  if (location === null) return "";
  const { file, line, column } = location;
  return `${relative(".", resolve(folder, file))}:${line}:${column + 1}: `;
}
