// What a result was measured on. Numbers of two machines cannot be compared; ratios of one run can.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { cpus, totalmem } from "node:os";
import { dirname, join } from "node:path";

export interface Machine {
  readonly cores: number;
  readonly processor: string;
  readonly memoryGib: number;
  readonly platform: string;
  readonly node: string;
  readonly workerd: string;
}

export function thisMachine(): Machine {
  return {
    cores: cpus().length,
    processor: cpus()[0]?.model.trim() ?? "unknown",
    memoryGib: Math.round(totalmem() / 2 ** 30),
    platform: `${process.platform} ${process.arch}`,
    node: process.versions.node,
    workerd: packageVersion("workerd"),
  };
}

/** The version that is installed. */
export function packageVersion(name: string): string {
  const entry = createRequire(import.meta.url).resolve(name);
  let folder = dirname(entry);
  while (!folder.endsWith(join("node_modules", name))) folder = dirname(folder);
  const manifest: { version: string } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  return manifest.version;
}
