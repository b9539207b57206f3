// What can be wrong with the project rather than with a command: packages that are not installed, a
// wrangler.toml that cannot be read. Told in lines that say what to do; all other errors are bugs.
import { relative } from "node:path";
import { fieldOf } from "./fields.ts";

/** One line each; null: the error is none of these. */
export function projectProblems(error: unknown): readonly string[] | null {
  const message = error instanceof Error ? error.message : "";
  const missing = /^Cannot find package '([^']+)'/.exec(message)?.[1];
  if (missing !== undefined) {
    return [`tidegate: the package ${missing} is not installed: run ${installCommand()} first`];
  }
  // wrangler's classes for what its users can mend.
  const kind = error instanceof Error ? error.constructor.name : "";
  if (kind !== "ParseError" && kind !== "UserError") return null;
  return message
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("Processing "))
    .map((line) => placeOf(error) + line.replace(/^[\s-]+/, ""));
}

/** In production npm leaves the tools of development out, and most commands are such tools. */
function installCommand(): string {
  return process.env.NODE_ENV === "production" ? "npm ci --include=dev" : "npm ci";
}

/** `wrangler.toml:123:8: `, or what stands for it where wrangler names no place. */
function placeOf(error: unknown): string {
  const location = fieldOf(error, "location");
  const [file, line, column] = ["file", "line", "column"].map((each) => fieldOf(location, each));
  if (typeof file !== "string") return "wrangler.toml: ";
  return `${[relative(".", file), line, column].map(String).join(":")}: `;
}
