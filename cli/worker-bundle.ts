// Bundles the Worker for the local runtime, with a compiled configuration in place of its import `#config`.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CompiledConfig } from "../src/config/compiled-config.ts";
import { bundle, type Bundle } from "./bundling.ts";
import { PROJECT_ROOT } from "./project.ts";
import type { WorkerShape } from "./workerd.ts";

/** One ES module; names and line breaks stay, so that a stack trace can be read. */
export function bundleWorker(
  { main, aliases }: Pick<WorkerShape, "main" | "aliases">,
  config: CompiledConfig,
): Bundle {
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
      // A configuration that is reloaded may bring relays.
      alias: { ...aliases, "#config": configFile, "#relay": "./src/delivery/relays/relay-object.ts" },
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
