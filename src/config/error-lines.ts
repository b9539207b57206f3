// Issues become lines: `<path>: <rule> (got <value>)`, each exactly one line. Values that could be a
// secret are never shown: a line ends up in logs of builds.

import type { core } from "zod/mini";
import { REQUIRED } from "./fields.ts";

export type ConfigPath = readonly PropertyKey[];

/** One broken rule at one place of the configuration. */
export interface ConfigIssue {
  readonly path: ConfigPath;
  readonly rule: string;
  /** What to show instead of the value at the path. */
  readonly value?: string;
}

const MAX_SHOWN_CHARACTERS = 60;
const UNKNOWN_KEY = "unknown key";

/** The schema's issues, one for each unknown key and one for each union. */
export function issuesFromSchema(issues: readonly core.$ZodIssue[], prefix: ConfigPath = []): ConfigIssue[] {
  return issues.flatMap((issue) => {
    const path = [...prefix, ...issue.path];
    if (issue.code === "unrecognized_keys") {
      const known = issue.message.split(" ");
      return issue.keys.map((key) => ({ path: [...path, key], rule: unknownKeyRule(key, known) }));
    }
    if (issue.code === "invalid_union") {
      const meant = issue.errors.find((branch) => branch.some(isInside));
      if (meant !== undefined) return issuesFromSchema(meant, path);
    }
    return { path, rule: issue.message };
  });
}

/** An issue below the value itself: the branch of a union that somebody meant. */
function isInside(issue: core.$ZodIssue): boolean {
  return issue.path.length > 0 || issue.code === "unrecognized_keys";
}

/** One line for an issue of `input`. */
export function formatIssue(input: unknown, issue: ConfigIssue): string {
  const start = `${formatPath(issue.path)}: ${issue.rule}`;
  if (issue.rule.startsWith(REQUIRED) || issue.rule.startsWith(UNKNOWN_KEY)) {
    return start;
  }
  return `${start} (got ${shownValue(issue.path, issue.value ?? valueAt(input, issue.path))})`;
}

/** `routes[2].request.set["x y"]`; the whole configuration is called `configuration`. */
export function formatPath(path: ConfigPath): string {
  let formatted = "";
  for (const key of path) {
    if (typeof key === "number") formatted += `[${key}]`;
    else if (/^[A-Za-z_*][\w*-]{0,63}$/.test(String(key))) {
      formatted += (formatted === "" ? "" : ".") + String(key);
    } else formatted += `[${quoted(String(key))}]`;
  }
  return formatted === "" ? "configuration" : formatted;
}

function valueAt(input: unknown, path: ConfigPath): unknown {
  let value = input;
  for (const key of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
    value = Reflect.get(value, key);
  }
  return value;
}

function shownValue(path: ConfigPath, value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  if (typeof value === "string") return mayBeSecret(path, value) ? "text that is not shown" : quoted(value);
  if (typeof value === "number" || typeof value === "boolean" || value === null) return String(value);
  if (value === undefined) return "nothing";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}

const PUBLIC_CONSUMER_FIELDS: ReadonlySet<PropertyKey> = new Set(["tenant", "priority"]);

/** Keys, secrets, header values, and addresses with a user or a query. */
function mayBeSecret(path: ConfigPath, value: string): boolean {
  if (path[0] === "consumers" && !PUBLIC_CONSUMER_FIELDS.has(path[2])) return true;
  if (path[0] === "routes" && path.some((key) => key === "set" || key === "headers")) return true;
  if ((path[0] === "sagas" || path[0] === "reactions") && path.includes("headers")) return true;
  if (path[0] === "subscriptions" && path.some((key) => key === "secrets" || key === "headers")) return true;
  return /@|:\/\/.*[?#]/.test(value);
}

/** JSON text of one line, cut. */
function quoted(value: string): string {
  const cut = value.length > MAX_SHOWN_CHARACTERS ? `${value.slice(0, MAX_SHOWN_CHARACTERS)}...` : value;
  return JSON.stringify(cut).replace(
    /[\u007f-\u009f\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function unknownKeyRule(key: string, known: readonly string[]): string {
  let closest = "";
  let distance = Math.min(3, Math.ceil(key.length / 2));
  for (const candidate of known) {
    const candidateDistance = editDistance(key.toLowerCase(), candidate.toLowerCase());
    if (candidateDistance < distance) {
      closest = candidate;
      distance = candidateDistance;
    }
  }
  return closest === "" ? UNKNOWN_KEY : `${UNKNOWN_KEY}, did you mean ${closest}?`;
}

/** Levenshtein's distance, row by row; keys longer than any known one are far anyway. */
function editDistance(left: string, right: string): number {
  if (Math.abs(left.length - right.length) > 2) return Infinity;
  let row = Array.from({ length: right.length + 1 }, (_, column) => column);
  for (let i = 1; i <= left.length; i++) {
    const next = [i];
    for (let j = 1; j <= right.length; j++) {
      const swapped = row[j - 1] + (left[i - 1] === right[j - 1] ? 0 : 1);
      next.push(Math.min(swapped, row[j] + 1, next[j - 1] + 1));
    }
    row = next;
  }
  return row[right.length];
}
