// Bundles the Worker for the local runtime, with a configuration in place of its import `#config`.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundle, type Bundle } from "./bundling.ts";
import { PROJECT_ROOT } from "./project.ts";

/** One ES module; names and line breaks stay, so that a stack trace can be read. */
export function bundleWorker(main: string, config: unknown): Bundle {
  const folder = mkdtempSync(join(tmpdir(), "tidegate-config-"));
  const configFile = join(folder, "config.json");
  try {
    writeFileSync(configFile, JSON.stringify(config));
    return bundle({
      entryPoints: [main],
      absWorkingDir: PROJECT_ROOT,
      platform: "browser",
      conditions: ["workerd", "worker", "browser"],
      external: ["cloudflare:*", "node:*"],
      alias: { "#config": configFile },
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
