// Runs one of the installed tools with its output passed through.
import { spawn } from "node:child_process";
import { delimiter } from "node:path";
import { PROJECT_ROOT } from "../project.ts";

/** True when the tool exits with 0. */
export function runTool(tool: string, ...args: string[]): Promise<boolean> {
  const installed = `${PROJECT_ROOT}node_modules/.bin`;
  return new Promise((resolve) => {
    const child = spawn(`${installed}/${tool}`, args, {
      cwd: PROJECT_ROOT,
      stdio: ["ignore", "inherit", "inherit"],
      // The tools are scripts that look for `node` on the path, and need the one that is installed here.
      env: {
        ...process.env,
        PATH: `${installed}${delimiter}${process.env.PATH ?? ""}`,
        WRANGLER_SEND_METRICS: "false",
      },
    });
    child.on("error", (error) => {
      process.stderr.write(`${tool} cannot be run: ${error.message}; run npm ci first\n`);
      resolve(false);
    });
    child.on("exit", (code) => resolve(code === 0));
  });
}
