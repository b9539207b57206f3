// From whatever a configuration file exports to a Plan, or to all of its errors at once, one line each.

import * as z from "zod/mini";
import { compileConfig } from "./compile.ts";
import { crossCheck } from "./cross-checks.ts";
import { formatIssue, issuesFromSchema } from "./error-lines.ts";
import { hashConfig } from "./hash.ts";
import type { Plan } from "./plan.ts";
import { configSchema } from "./schema.ts";

export type Validation =
  | { readonly ok: true; readonly plan: Plan }
  | { readonly ok: false; readonly errors: readonly string[] };

/** Checks and compiles plain data. Never throws; each error is one line, `<path>: <rule> (got <value>)`. */
export function validateConfig(input: unknown): Validation {
  const parsed = z.safeParse(configSchema, input);
  const issues = [...(parsed.success ? [] : issuesFromSchema(parsed.error.issues)), ...crossCheck(input)];
  if (parsed.success && issues.length === 0) {
    return { ok: true, plan: compileConfig(parsed.data, hashConfig(input)) };
  }
  return { ok: false, errors: [...new Set(issues.map((issue) => formatIssue(input, issue)))] };
}
