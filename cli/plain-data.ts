// A configuration is plain data: what JSON can carry. This finds what JSON would drop or change.

/** One line per value that is not plain data, each with its path (`routes[2].priority`). */
export function nonDataErrors(value: unknown): readonly string[] {
  const errors: string[] = [];
  collect(value, "", new Set(), errors);
  return errors;
}

function collect(value: unknown, path: string, above: Set<object>, errors: string[]): void {
  const problem = scalarProblem(value);
  if (problem !== null) {
    errors.push(`${path === "" ? "(the whole configuration)" : path}: must be plain data, got ${problem}`);
    return;
  }
  if (typeof value !== "object" || value === null) return;
  if (above.has(value)) {
    errors.push(`${path}: must be plain data, got a reference to something that contains it`);
    return;
  }
  above.add(value);
  for (const [key, inner] of Object.entries(value)) {
    // An absent optional field is often written as undefined; JSON leaves it out, and so it means the same.
    if (inner === undefined && !Array.isArray(value)) continue;
    collect(inner, Array.isArray(value) ? `${path}[${key}]` : join(path, key), above, errors);
  }
  above.delete(value);
}

function scalarProblem(value: unknown): string | null {
  switch (typeof value) {
    case "string":
    case "boolean":
      return null;
    case "number":
      return Number.isFinite(value) ? null : String(value);
    case "object":
      return objectProblem(value);
    default:
      return value === undefined ? "undefined" : `a ${typeof value}`;
  }
}

function objectProblem(value: object | null): string | null {
  if (value === null || Array.isArray(value)) return null;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === null || prototype === Object.prototype) return null;
  return `a ${value.constructor?.name ?? "class"} object`;
}

function join(path: string, key: string): string {
  const name = /^[A-Za-z_$][\w$-]*$/.test(key) ? key : JSON.stringify(key);
  return path === "" ? name : `${path}.${name}`;
}
