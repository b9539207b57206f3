// Schema of `sagas`: steps, their calls, how each is undone. What binds steps together (order, references)
// stands in saga-rules.ts.

import * as z from "zod/mini";
import { SECRET_PREFIX } from "../saga/core/definition.ts";
import type { Json } from "../saga/core/template.ts";
import { parseTemplate } from "../saga/core/template.ts";
import { issuesFromSchema } from "./error-lines.ts";
import {
  BINDING_PATTERN,
  checkedField,
  duration,
  exactObject,
  field,
  flag,
  integer,
  listOf,
  name,
  text,
} from "./fields.ts";
import type { Parsed } from "./fields.ts";
import { editedFieldRule } from "./header-fields.ts";

/** Steps of one saga, all groups together. */
export const MAX_SAGA_STEPS = 50;
/** Tries of one call of a saga. */
export const MAX_SAGA_ATTEMPTS = 1000;
/** Levels of a body's objects and lists. */
const MAX_BODY_DEPTH = 16;

const CALL_METHODS: ReadonlySet<unknown> = new Set(["GET", "POST", "PUT", "PATCH", "DELETE"]);

const method = field("must be GET, POST, PUT, PATCH or DELETE", (value) =>
  typeof value === "string" && CALL_METHODS.has(value.toUpperCase()) ? value.toUpperCase() : null,
);

function parseText(value: unknown): Parsed<string> {
  if (typeof value !== "string" || value === "") {
    return { rule: "must be text, with references like {body.id}" };
  }
  const parsed = parseTemplate(value);
  return "rule" in parsed ? parsed : { value };
}

function parsePath(value: unknown): Parsed<string> {
  if (typeof value !== "string" || !/^\/[\x21-\x7e]*$/.test(value) || /[#\\]/.test(value)) {
    return { rule: "must be a path that begins with / and holds no spaces, # or \\" };
  }
  return parseText(value);
}

const template = checkedField(parseText);
const path = checkedField(parsePath);

/** A JSON body whose texts are templates. */
const body = checkedField((value): Parsed<Json> => {
  const rule = bodyRule(value, MAX_BODY_DEPTH);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- bodyRule has walked it
  return rule === null ? { value: value as Json } : { rule };
});

function bodyRule(value: unknown, depth: number): string | null {
  if (typeof value === "string") {
    const parsed = parseTemplate(value);
    return "rule" in parsed ? parsed.rule : null;
  }
  if (value === null || typeof value === "boolean") return null;
  if (typeof value === "number") return Number.isFinite(value) ? null : "must be JSON";
  if (typeof value !== "object") return "must be JSON";
  if (depth === 0) return `must have at most ${MAX_BODY_DEPTH} levels`;
  for (const inner of Object.values(value)) {
    const rule = bodyRule(inner, depth - 1);
    if (rule !== null) return rule;
  }
  return null;
}

/** `env:NAME` is the Worker's secret of that name; anything else is a template. */
function parseHeader(value: unknown): Parsed<string> {
  if (typeof value !== "string" || !value.startsWith(SECRET_PREFIX)) return parseText(value);
  const isName = BINDING_PATTERN.test(value.slice(SECRET_PREFIX.length));
  return isName ? { value } : { rule: "must be env:NAME with the name of a secret" };
}

const headers = checkedField((value): Parsed<readonly (readonly [string, string])[]> => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { rule: "must be an object of header fields" };
  }
  const fields: [string, string][] = [];
  for (const [fieldName, written] of Object.entries(value)) {
    const rule = editedFieldRule(fieldName);
    const parsed = parseHeader(written);
    if (rule !== null) return { rule: `${fieldName}: ${rule}` };
    if (fieldName.toLowerCase() === "idempotency-key") return { rule: "idempotency-key is set by the saga" };
    if ("rule" in parsed) return { rule: `${fieldName}: ${parsed.rule}` };
    fields.push([fieldName.toLowerCase(), parsed.value]);
  }
  return { value: fields };
});

function retryTerms(maxDelay: string) {
  return z.prefault(
    exactObject({
      attempts: z.optional(integer(1, MAX_SAGA_ATTEMPTS)),
      delay: z.prefault(duration("zero"), "2s"),
      maxDelay: z.prefault(duration("zero"), maxDelay),
    }),
    {},
  );
}

const upstreamName = text("must be the name of an upstream");

const request = exactObject({
  upstream: upstreamName,
  method,
  path,
  headers: z.prefault(headers, {}),
  body: z.optional(body),
});

const outcome = exactObject({
  upstream: z.optional(upstreamName),
  method: z.prefault(method, "GET"),
  path,
  headers: z.prefault(headers, {}),
});

const undoing = exactObject({
  upstream: z.optional(upstreamName),
  method,
  path,
  headers: z.prefault(headers, {}),
  body: z.optional(body),
  retry: retryTerms("10m"),
  timeout: z.optional(duration()),
});

const nothing = exactObject({ none: field("must say why nothing has to be undone", reasonOf) });

function reasonOf(value: unknown): string | null {
  return typeof value === "string" && value.trim() !== "" ? value : null;
}

/** One of two objects, told apart by a key, so that errors are about the one that was meant. */
function eitherBy<One extends z.core.$ZodType, Other extends z.core.$ZodType>(
  key: string,
  withKey: One,
  without: Other,
) {
  return z.pipe(
    z.unknown(),
    z.transform((value: unknown, context): z.output<One> | z.output<Other> => {
      const hasKey = typeof value === "object" && value !== null && Object.hasOwn(value, key);
      const parsed = hasKey ? z.safeParse(withKey, value) : z.safeParse(without, value);
      if (parsed.success) return parsed.data;
      for (const { path: where, rule } of issuesFromSchema(parsed.error.issues)) {
        context.issues.push({ code: "custom", message: rule, input: value, path: [...where] });
      }
      return z.NEVER;
    }),
  );
}

const step = exactObject({
  id: name(),
  request,
  retry: retryTerms("2m"),
  timeout: z.prefault(duration(), "15s"),
  outcome: z.optional(outcome),
  compensate: z.optional(eitherBy("none", nothing, undoing)),
  pivot: z.prefault(flag(), false),
  retriable: z.prefault(flag(), false),
});

const group = exactObject({ parallel: listOf(step, 1, "must be a list of at least one step") });

export const sagaSchema = exactObject({
  key: template,
  timeout: z.prefault(duration(), "24h"),
  steps: listOf(eitherBy("parallel", group, step), 1, "must be a list of at least one step"),
});

export type SagaParsed = z.output<typeof sagaSchema>;
export type SagaStepParsed = z.output<typeof step>;
