// Runs wrangler: the one on the path, else the one that is installed here.
import { spawn } from "node:child_process";
import { delimiter } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { PROJECT_ROOT } from "./project.ts";

export type WranglerRun =
  | { readonly kind: "ran"; readonly code: number; readonly output: string }
  | { readonly kind: "absent"; readonly reason: string };

/** What it printed, on either stream, without colours. */
export function runWrangler(args: readonly string[]): Promise<WranglerRun> {
  return new Promise((resolve) => {
    const child = spawn("wrangler", args, {
      cwd: PROJECT_ROOT,
      // It asks nothing when nobody can answer.
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...process.env,
        PATH: [process.env.PATH ?? "", `${PROJECT_ROOT}node_modules/.bin`].join(delimiter),
        WRANGLER_SEND_METRICS: "false",
        NO_COLOR: "1",
      },
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
    }
    child.on("error", (error) => resolve({ kind: "absent", reason: error.message }));
    child.on("close", (code) => {
      resolve({ kind: "ran", code: code ?? 1, output: stripVTControlCharacters(output) });
    });
  });
}

/** The line that says what went wrong. */
export function firstError(output: string): string {
  const lines = output.split("\n").map((line) => line.trim());
  const error = lines.find((line) => line.includes("[ERROR]")) ?? lines.findLast((line) => line !== "");
  return (error ?? "it said nothing").replace(/^.*\[ERROR\]\s*/, "");
}
