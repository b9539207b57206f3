// Building blocks of the schema: one field, one rule in words. A value that breaks its rule gives one
// issue whose message is the rule itself, so that every error line reads `<path>: <rule> (got <value>)`.
// Only `zod/mini`: the full package would be most of the Worker's bundle.

import * as z from "zod/mini";
import { parseDuration } from "../http/durations.ts";
import { parseSize } from "../http/sizes.ts";
import type { TrafficClass } from "./plan.ts";

export const REQUIRED = "is required";

/** Timers of JavaScript hold 31 bits: a longer one fires at once. 24.8 days. */
export const MAX_DURATION_MS = 2 ** 31 - 1;

/** Names of upstreams, consumers, tenants, limits, counters and routes. */
export const NAME_PATTERN = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/;
export const NAME_RULE = "must be a name: a letter, then up to 63 letters, digits, _ or -";

/** Names of bindings and secrets, which become properties of the Worker's environment. */
export const BINDING_PATTERN = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;

/** What a parser of a field gives back: the value, or the rule that was broken. */
export type Parsed<T> = { readonly value: T } | { readonly rule: string };

/** A field whose parser says which rule was broken. */
export function checkedField<T>(parse: (value: unknown) => Parsed<T>) {
  return z.pipe(
    z.unknown(),
    z.transform((value: unknown, context): T => {
      const parsed: Parsed<T> = value === undefined ? { rule: REQUIRED } : parse(value);
      if ("value" in parsed) return parsed.value;
      context.issues.push({ code: "custom", message: parsed.rule, input: value });
      return z.NEVER;
    }),
  );
}

/** A field with one rule; `parse` gives null for a value that breaks it. */
export function field<T>(rule: string, parse: (value: unknown) => T | null) {
  return checkedField<T>((value) => {
    const parsed = parse(value);
    return parsed === null ? { rule } : { value: parsed };
  });
}

/** An object with exactly these keys. The message of an unknown key lists the known ones. */
export function exactObject<Shape extends z.core.$ZodShape>(shape: Shape) {
  return z.strictObject(shape, {
    error: (issue) => {
      if (issue.code === "unrecognized_keys") return Object.keys(shape).join(" ");
      return issue.input === undefined ? REQUIRED : "must be an object";
    },
  });
}

/** A list of at least `minimum` items. */
export function listOf<Item extends z.core.$ZodType>(item: Item, minimum: 0 | 1, rule: string) {
  const error = (issue: { readonly input?: unknown }): string =>
    issue.input === undefined ? REQUIRED : rule;
  return z.array(item, { error }).check(z.minLength(minimum, rule));
}

/** An object from names to values of one kind. */
export function mapOf<Value extends z.core.$ZodType>(value: Value) {
  return z.record(z.string(), value, {
    error: (issue) => (issue.input === undefined ? REQUIRED : "must be an object of names"),
  });
}

/** `false`, or what `value` takes; `rule` is for everything else. */
export function falseOr<Value extends z.core.$ZodType>(value: Value, rule = "must be false or an object") {
  return z.union([z.literal(false), value], { error: rule });
}

export function name() {
  return field(NAME_RULE, (value) => (typeof value === "string" && NAME_PATTERN.test(value) ? value : null));
}

export function text(rule = "must be text") {
  return field(rule, (value) => (typeof value === "string" ? value : null));
}

export function flag() {
  return field("must be true or false", (value) => (typeof value === "boolean" ? value : null));
}

/** One of at least two texts. */
export function oneOf<const Choice extends string>(choices: readonly Choice[]) {
  const quoted = choices.map((choice) => JSON.stringify(choice));
  const rule = `must be ${quoted.slice(0, -1).join(", ")} or ${quoted.at(-1)}`;
  return field<Choice>(rule, (value) => choices.find((choice) => choice === value) ?? null);
}

/** Above 0 and at most 1. */
export function rate() {
  return field("must be a number above 0 and at most 1", (value) =>
    typeof value === "number" && value > 0 && value <= 1 ? value : null,
  );
}

export function integer(minimum: number, maximum: number = Number.MAX_SAFE_INTEGER) {
  const upTo =
    maximum === Number.MAX_SAFE_INTEGER ? `, at least ${minimum}` : ` from ${minimum} to ${maximum}`;
  return field(`must be a whole number${upTo}`, (value) =>
    typeof value === "number" && Number.isSafeInteger(value) && value >= minimum && value <= maximum
      ? value
      : null,
  );
}

/** Milliseconds; `zero` says whether 0 is a sensible value. */
export function duration(zero: "zero" | "above zero" = "above zero") {
  const above = zero === "zero" ? "from 0" : "above 0";
  const rule = `must be ms or a duration like "250ms" "2s" "5m" "24h" "7d", ${above} and below 25 days`;
  return field(rule, (value) => {
    const ms = parseDuration(value);
    return ms === null || ms > MAX_DURATION_MS || (ms === 0 && zero !== "zero") ? null : ms;
  });
}

/** Bytes. */
export function size() {
  return field('must be bytes or a size like "64KiB" "10MiB"', parseSize);
}

const CLASSES: ReadonlyMap<unknown, TrafficClass> = new Map([
  ["P0", 0],
  ["P1", 1],
  ["P2", 2],
  ["P3", 3],
]);

export function trafficClass() {
  return field('must be "P0", "P1", "P2" or "P3"', (value) => CLASSES.get(value) ?? null);
}
