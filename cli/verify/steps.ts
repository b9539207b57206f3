// What is checked, in order: the cheap steps that fail most often come first.
import { PROJECT_ROOT } from "../project.ts";
import { checkBundle } from "./bundle.ts";
import { runTool } from "./tool.ts";

export interface Step {
  readonly name: string;
  /** Prints what it finds; true: it holds. */
  readonly run: () => Promise<boolean>;
}

/** Where the dry run leaves its bundle. */
const BUNDLE_FOLDER = `${PROJECT_ROOT}dist`;

export const STEPS: readonly Step[] = [
  { name: "types of the Worker", run: () => runTool("tsc", "--noEmit", "-p", "tsconfig.json") },
  { name: "types of commands and tests", run: () => runTool("tsc", "--noEmit", "-p", "tsconfig.node.json") },
  {
    name: "types of tests inside the Worker",
    run: () => runTool("tsc", "--noEmit", "-p", "tsconfig.workers.json"),
  },
  { name: "lint", run: () => runTool("oxlint", "--type-aware") },
  { name: "format", run: () => runTool("oxfmt", "--check") },
  { name: "tests", run: () => runTool("vitest", "run") },
  {
    name: "deploy, dry run",
    run: () => runTool("wrangler", "deploy", "--dry-run", "--minify", "--outdir", BUNDLE_FOLDER),
  },
  { name: "bundle", run: () => checkBundle(`${BUNDLE_FOLDER}/index.js`) },
];
