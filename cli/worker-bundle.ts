// Bundles the Worker for the local runtime, with a configuration in place of its import `#config`.
import { build, type Plugin } from "esbuild";
import { buildErrorLines } from "./build-errors.ts";
import { PROJECT_ROOT } from "./project.ts";

export type WorkerBundle =
  | { readonly ok: true; readonly code: string }
  | { readonly ok: false; readonly errors: readonly string[] };

/** One ES module; names and line breaks stay, so that a stack trace can be read. */
export async function bundleWorker(main: string, config: unknown): Promise<WorkerBundle> {
  try {
    const { outputFiles } = await build({
      entryPoints: [main],
      absWorkingDir: PROJECT_ROOT,
      bundle: true,
      write: false,
      format: "esm",
      platform: "browser",
      target: "es2024",
      conditions: ["workerd", "worker", "browser"],
      external: ["cloudflare:*", "node:*"],
      logLevel: "silent",
      plugins: [configPlugin(config)],
    });
    return { ok: true, code: outputFiles[0].text };
  } catch (error) {
    const errors = buildErrorLines(error, PROJECT_ROOT);
    if (errors === null) throw error;
    return { ok: false, errors };
  }
}

function configPlugin(config: unknown): Plugin {
  return {
    name: "configuration",
    setup(bundling) {
      bundling.onResolve({ filter: /^#config$/ }, () => ({ path: "config", namespace: "configuration" }));
      bundling.onLoad({ filter: /.*/, namespace: "configuration" }, () => ({
        contents: JSON.stringify(config),
        loader: "json",
      }));
    },
  };
}
