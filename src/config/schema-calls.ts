// Schema of the calls that sagas and reactions make: method, path, header fields and body, in whose texts
// references stand. What they may refer to, the caller says.

import { SECRET_PREFIX } from "../saga/core/definition.ts";
import type { Json, Source } from "../saga/core/template.ts";
import { parseTemplate } from "../saga/core/template.ts";
import { BINDING_PATTERN, checkedField, field } from "./fields.ts";
import type { Parsed } from "./fields.ts";
import { editedFieldRule } from "./header-fields.ts";

/** Levels of a body's objects and lists. */
const MAX_BODY_DEPTH = 16;

const CALL_METHODS: ReadonlySet<unknown> = new Set(["GET", "POST", "PUT", "PATCH", "DELETE"]);

export const callMethod = field("must be GET, POST, PUT, PATCH or DELETE", (value) =>
  typeof value === "string" && CALL_METHODS.has(value.toUpperCase()) ? value.toUpperCase() : null,
);

/** Fields of a call whose templates read `sources`; `keeper` sets its idempotency-key. */
export function callSchemas(sources: readonly Source[], keeper: string) {
  const parse = (value: unknown): Parsed<string> => parseText(value, sources);
  return {
    template: checkedField(parse),
    path: checkedField((value): Parsed<string> => {
      if (typeof value !== "string" || !/^\/[\x21-\x7e]*$/.test(value) || /[#\\]/.test(value)) {
        return { rule: "must be a path that begins with / and holds no spaces, # or \\" };
      }
      return parse(value);
    }),
    headers: checkedField((value) => parseHeaders(value, parse, keeper)),
    /** A JSON body whose texts are templates. */
    body: checkedField((value): Parsed<Json> => {
      const rule = bodyRule(value, sources, MAX_BODY_DEPTH);
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- bodyRule has walked it
      return rule === null ? { value: value as Json } : { rule };
    }),
  };
}

function parseText(value: unknown, sources: readonly Source[]): Parsed<string> {
  if (typeof value !== "string" || value === "") {
    return { rule: `must be text, with references like {${sources[0]}.id}` };
  }
  const parsed = parseTemplate(value, sources);
  return "rule" in parsed ? parsed : { value };
}

function bodyRule(value: unknown, sources: readonly Source[], depth: number): string | null {
  if (typeof value === "string") {
    const parsed = parseTemplate(value, sources);
    return "rule" in parsed ? parsed.rule : null;
  }
  if (value === null || typeof value === "boolean") return null;
  if (typeof value === "number") return Number.isFinite(value) ? null : "must be JSON";
  if (typeof value !== "object") return "must be JSON";
  if (depth === 0) return `must have at most ${MAX_BODY_DEPTH} levels`;
  for (const inner of Object.values(value)) {
    const rule = bodyRule(inner, sources, depth - 1);
    if (rule !== null) return rule;
  }
  return null;
}

function parseHeaders(
  value: unknown,
  parse: (value: unknown) => Parsed<string>,
  keeper: string,
): Parsed<readonly (readonly [string, string])[]> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { rule: "must be an object of header fields" };
  }
  const fields: [string, string][] = [];
  for (const [fieldName, written] of Object.entries(value)) {
    const rule = editedFieldRule(fieldName);
    const parsed = parseHeader(written, parse);
    if (rule !== null) return { rule: `${fieldName}: ${rule}` };
    if (fieldName.toLowerCase() === "idempotency-key") {
      return { rule: `idempotency-key is set by ${keeper}` };
    }
    if ("rule" in parsed) return { rule: `${fieldName}: ${parsed.rule}` };
    fields.push([fieldName.toLowerCase(), parsed.value]);
  }
  return { value: fields };
}

/** `env:NAME` is the Worker's secret of that name; anything else is a template. */
function parseHeader(value: unknown, parse: (value: unknown) => Parsed<string>): Parsed<string> {
  if (typeof value !== "string" || !value.startsWith(SECRET_PREFIX)) return parse(value);
  const isName = BINDING_PATTERN.test(value.slice(SECRET_PREFIX.length));
  return isName ? { value } : { rule: "must be env:NAME with the name of a secret" };
}
