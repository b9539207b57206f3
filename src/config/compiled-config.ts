// A compiled configuration: the Plan as text. The commands write it, and a Worker that reads it needs no
// validator. The text is JSON in which every array begins with a word for what it stands for, so that no
// object of the data can be taken for one: ["list", ...], ["set", ...], ["map", ["list", key, value], ...],
// ["number", "-0"], ["undefined"].

import type { Plan } from "./plan.ts";

/** What stands in for a configuration file's default export. No field of a configuration has this name. */
export interface CompiledConfig {
  readonly compiledPlan: string;
}

/** The compiled configuration of a Plan. */
export function packPlan(plan: Plan): CompiledConfig {
  return { compiledPlan: packData(plan) };
}

/** The Plan of a compiled configuration; null: it is something else, as a rule one that was not compiled. */
export function unpackPlan(config: unknown): Plan | null {
  if (typeof config !== "object" || config === null || !("compiledPlan" in config)) return null;
  if (typeof config.compiledPlan !== "string") return null;
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- packPlan wrote it
  return unpackData(config.compiledPlan) as Plan;
}

/** Text of plain data, maps and sets, in any depth. Throws on what is none of them, which is a bug. */
export function packData(data: unknown): string {
  return JSON.stringify(encode(data));
}

/** What `packData` was given; objects and arrays are frozen. */
export function unpackData(text: string): unknown {
  return decode(JSON.parse(text));
}

function encode(data: unknown): unknown {
  if (data === null || typeof data === "string" || typeof data === "boolean") return data;
  if (data === undefined) return ["undefined"];
  if (typeof data === "number") {
    if (Object.is(data, -0)) return ["number", "-0"];
    return Number.isFinite(data) ? data : ["number", String(data)];
  }
  if (typeof data !== "object") throw new Error(`cannot pack a ${typeof data}`);
  if (Array.isArray(data)) return ["list", ...data.map(encode)];
  if (data instanceof Map) return ["map", ...[...data].map(encode)];
  if (data instanceof Set) return ["set", ...[...data].map(encode)];
  const prototype: unknown = Object.getPrototypeOf(data);
  if (prototype !== Object.prototype && prototype !== null) {
    throw new Error(`cannot pack a ${data.constructor.name} object`);
  }
  return mapValues(data, encode);
}

function decode(code: unknown): unknown {
  if (typeof code !== "object" || code === null) return code;
  if (!Array.isArray(code)) return Object.freeze(mapValues(code, decode));
  const [kind, ...inner]: unknown[] = code;
  if (kind === "undefined") return undefined;
  if (kind === "number") return Number(inner[0]);
  const items = inner.map(decode);
  if (kind === "set") return new Set(items);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the entries of a map
  if (kind === "map") return new Map(items as [unknown, unknown][]);
  return Object.freeze(items);
}

/** Own properties alone, and defined, not assigned: a key may be `__proto__`. */
function mapValues(object: object, change: (value: unknown) => unknown): object {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]));
}
