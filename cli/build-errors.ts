// esbuild's errors as lines for people.
import type { BuildFailure, Location } from "esbuild";
import { relative, resolve } from "node:path";

/** One line per error, or null when the thrown value is none of esbuild's. */
export function buildErrorLines(thrown: unknown, folder: string): readonly string[] | null {
  if (!isBuildFailure(thrown)) return null;
  return thrown.errors.map(({ location, text }) => place(location, folder) + text);
}

function isBuildFailure(thrown: unknown): thrown is BuildFailure {
  return thrown instanceof Error && "errors" in thrown && Array.isArray(thrown.errors);
}

function place(location: Location | null, folder: string): string {
  if (location === null) return "";
  const { file, line, column } = location;
  return `${relative(".", resolve(folder, file))}:${line}:${column + 1}: `;
}
