// What is read of bindings, and a route's header edits with the secrets that they hold.

import type { HeaderEdit } from "../config/plan.ts";

/** A Worker's bindings, or a process's environment: secrets are texts, targets have a `fetch`. */
export type Bindings = Readonly<Record<string, unknown>>;

export interface TargetFetcher {
  fetch(request: Request): Promise<Response>;
}

/** A route's header edits with its secrets filled in. */
export interface ResolvedEdit {
  readonly set: readonly (readonly [name: string, value: string])[];
  readonly remove: readonly string[];
}

export function resolveEdit(edit: HeaderEdit, bindings: Bindings): ResolvedEdit {
  const set = edit.set.map(
    ({ name, value, secret }) => [name, secret === null ? value : (textOf(bindings, secret) ?? "")] as const,
  );
  return { set, remove: edit.remove };
}

/** A text binding; null where there is none, or it is empty. */
export function textOf(bindings: Bindings, name: string): string | null {
  const value = bindings[name];
  return typeof value === "string" && value !== "" ? value : null;
}

export function isFetcher(value: unknown): value is TargetFetcher {
  return typeof value === "object" && value !== null && "fetch" in value && typeof value.fetch === "function";
}
