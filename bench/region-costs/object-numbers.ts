// The numbers of durable-objects/region-hub.ts, which only a Worker can import: they are read from its text,
// so that a bench never goes on with ones that have changed.
import { readFileSync } from "node:fs";

const SOURCE = readFileSync(new URL("../../durable-objects/region-hub.ts", import.meta.url), "utf8");

export const ROUND_MS = numberOf("ROUND_MS");
export const ROUND_JITTER_MS = numberOf("ROUND_JITTER_MS");
export const COMMIT_DELAY_MS = numberOf("COMMIT_DELAY_MS");
export const FOREIGN_COMMIT_MS = numberOf("FOREIGN_COMMIT_MS");

function numberOf(name: string): number {
  const found = new RegExp(`^(?:export )?const ${name} = ([0-9_]+);$`, "m").exec(SOURCE);
  if (found === null) throw new Error(`region-hub.ts has no ${name}`);
  return Number(found[1].replaceAll("_", ""));
}
