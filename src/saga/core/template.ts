// Templates of sagas and reactions: text with references in braces, `{body.orderId}`. They only read: of a
// saga the request that started it, the answers of its steps, and the step's idempotency key; of a reaction
// its event.
//
// A reference that finds nothing is an error and never an empty text: `/refunds/{output.id}` without an id
// would ask for something else than what is meant. In a path a value stays within its segment:
// percent-encoded, and neither empty nor a dot segment, which no encoding keeps apart (RFC 3986 5.2.4).
// A body value that is one reference and nothing else keeps its type. `{{` and `}}` are braces.

/** What JSON can carry. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export const SOURCES = ["body", "params", "query", "headers", "output", "steps", "idempotencyKey"] as const;
/** What a reaction reads: its event, and the key of its request. */
export const EVENT_SOURCES = [
  "data",
  "id",
  "source",
  "type",
  "subject",
  "time",
  "correlationid",
  "partitionkey",
  "extensions",
  "idempotencyKey",
] as const;
export type Source = (typeof SOURCES)[number] | (typeof EVENT_SOURCES)[number];

const ALL_SOURCES = [...SOURCES, ...EVENT_SOURCES];
/** Those that have members. */
const CONTAINERS: ReadonlySet<Source> = new Set([
  "body",
  "params",
  "query",
  "headers",
  "output",
  "steps",
  "data",
  "extensions",
]);
/** Those that are read by one name. */
const NAMED: ReadonlySet<Source> = new Set(["params", "query", "headers", "extensions"]);

/** `{steps.charge.output.id}` is `{source: "steps", path: ["charge", "output", "id"]}`. */
export interface Reference {
  readonly source: Source;
  readonly path: readonly string[];
}

/** Text and references in turn. */
export type TemplatePart = string | Reference;

export type ParsedTemplate = { readonly parts: readonly TemplatePart[] } | { readonly rule: string };

/** What references read; a source that is absent has nothing. */
export type Scope = { readonly [Name in Source]?: Json };

/** `missing`: the reference that cannot be filled in, and why. */
export type Rendered<T> = { readonly value: T } | { readonly missing: string };

/** Longest text of a template. */
export const MAX_TEMPLATE_CHARS = 4096;

const SEGMENT = /^[^.{}\s]+$/;

/** The parts of a template, or the rule that it breaks. */
export function parseTemplate(text: string, sources: readonly Source[] = SOURCES): ParsedTemplate {
  if (text.length > MAX_TEMPLATE_CHARS) return { rule: `must have at most ${MAX_TEMPLATE_CHARS} characters` };
  const parts: TemplatePart[] = [];
  let literal = "";
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if ((character === "{" || character === "}") && text[at + 1] === character) {
      literal += character;
      at++;
    } else if (character === "{") {
      const end = text.indexOf("}", at);
      const reference = end < 0 ? null : parseReference(text.slice(at + 1, end), sources);
      if (reference === null) {
        return { rule: `holds {...} that is no reference; references begin with ${sources.join(", ")}` };
      }
      if (literal !== "") parts.push(literal);
      literal = "";
      parts.push(reference);
      at = end;
    } else if (character === "}") return { rule: "holds a } without {; write }} for a brace" };
    else literal += character;
  }
  if (literal !== "" || parts.length === 0) parts.push(literal);
  return { parts };
}

function parseReference(text: string, sources: readonly Source[]): Reference | null {
  const [first, ...path] = text.split(".");
  const source = sources.find((known) => known === first);
  if (source === undefined || !path.every((segment) => SEGMENT.test(segment))) return null;
  if (!CONTAINERS.has(source)) return path.length === 0 ? { source, path } : null;
  if (source === "steps") return path.length >= 2 && path[1] === "output" ? { source, path } : null;
  if (NAMED.has(source) && path.length !== 1) return null;
  return { source, path: source === "headers" ? path.map((name) => name.toLowerCase()) : path };
}

/** Every reference of a template that was checked. */
export function referencesOf(text: string): readonly Reference[] {
  return partsOf(text).filter((part) => typeof part !== "string");
}

/** Every reference in the texts of a body. */
export function referencesIn(value: Json | undefined): readonly Reference[] {
  if (typeof value === "string") return referencesOf(value);
  if (typeof value !== "object" || value === null) return [];
  return Object.values(value).flatMap((inner: Json) => referencesIn(inner));
}

/** `steps.charge.output.id` */
export function referenceText({ source, path }: Reference): string {
  return [source, ...path].join(".");
}

/** Plain text, for header values and keys. */
export function renderText(text: string, scope: Scope): Rendered<string> {
  return fill(text, scope, (value) => value);
}

/** A path with its query: values are percent-encoded, and stay within their segment. */
export function renderPath(text: string, scope: Scope): Rendered<string> {
  const rendered = fill(text, scope, (value) => (value === "" ? null : encodeURIComponent(value)));
  if ("missing" in rendered) return rendered;
  const [path] = rendered.value.split("?", 1);
  const hasDots = path.split("/").some((segment) => segment === "." || segment === "..");
  return hasDots ? { missing: `a value makes a dot segment of ${text}` } : rendered;
}

/** A body: what is one reference and nothing else becomes the value itself. */
export function renderBody(template: Json, scope: Scope): Rendered<Json> {
  if (typeof template === "string") {
    const parts = partsOf(template);
    const [only] = parts;
    if (parts.length === 1 && typeof only !== "string") return read(only, scope);
    return renderText(template, scope);
  }
  if (typeof template !== "object" || template === null) return { value: template };
  const entries: [string, Json][] = [];
  for (const [key, inner] of Object.entries(template)) {
    const rendered = renderBody(inner, scope);
    if ("missing" in rendered) return rendered;
    entries.push([key, rendered.value]);
  }
  return { value: Array.isArray(template) ? entries.map(([, value]) => value) : Object.fromEntries(entries) };
}

function partsOf(text: string): readonly TemplatePart[] {
  const parsed = parseTemplate(text, ALL_SOURCES);
  if ("rule" in parsed) throw new Error(`unchecked template: ${parsed.rule}`);
  return parsed.parts;
}

function fill(text: string, scope: Scope, encode: (value: string) => string | null): Rendered<string> {
  let filled = "";
  for (const part of partsOf(text)) {
    if (typeof part === "string") {
      filled += part;
      continue;
    }
    const found = read(part, scope);
    if ("missing" in found) return found;
    const { value } = found;
    if (typeof value === "object") return { missing: `${referenceText(part)} is no text or number` };
    const encoded = encode(String(value));
    if (encoded === null) return { missing: `${referenceText(part)} is empty` };
    filled += encoded;
  }
  return { value: filled };
}

function read(reference: Reference, scope: Scope): Rendered<Json> {
  let value: Json | undefined = scope[reference.source];
  for (const segment of reference.path) {
    const isContainer = typeof value === "object" && value !== null && Object.hasOwn(value, segment);
    value = isContainer ? Object.entries(value ?? {}).find(([key]) => key === segment)?.[1] : undefined;
  }
  return value === undefined ? { missing: `${referenceText(reference)} is missing` } : { value };
}
