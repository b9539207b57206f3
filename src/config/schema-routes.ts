// Schema of `routes`: what matches, where it goes, how much it matters, what changes on the way.

import * as z from "zod/mini";
import { hostName, isValidHost } from "../http/hosts.ts";
import { MAX_PERMITS } from "../resilience/permits.ts";
import {
  checkedField,
  duration,
  exactObject,
  field,
  flag,
  integer,
  listOf,
  name,
  REQUIRED,
  size,
  text,
  trafficClass,
} from "./fields.ts";
import type { Parsed } from "./fields.ts";
import {
  editedFieldRule,
  FIELD_NAME_PATTERN,
  parseHeaderValue,
  parseSecretHeaderValue,
} from "./header-fields.ts";
import { parseRewriteTemplate } from "./path-rewrite.ts";
import { parseRoutePath } from "./route-pattern.ts";
import { eventType } from "./schema-reactions.ts";
import { concurrencyShape } from "./schema-upstreams.ts";

/** Methods that the runtime hands to a Worker and that may be sent on; CONNECT and TRACE are not. */
const METHODS: ReadonlySet<string> = new Set(
  (
    "GET HEAD POST PUT PATCH DELETE OPTIONS QUERY PURGE BAN COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH " +
    "UNLOCK ACL REPORT MKACTIVITY CHECKOUT MERGE NOTIFY SUBSCRIBE UNSUBSCRIBE"
  ).split(" "),
);

const method = field("must be a method like GET or POST", (value) => {
  const upper = typeof value === "string" ? value.toUpperCase() : "";
  return METHODS.has(upper) ? upper : null;
});

const host = field("must be a host name, without wildcards", (value) =>
  typeof value === "string" && isValidHost(value) ? hostName(value) : null,
);

const auth = checkedField((value): Parsed<boolean | readonly string[]> => {
  if (typeof value === "boolean") return { value };
  if (Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === "string")) {
    return { value };
  }
  return { rule: "must be true, false or a list of at least one consumer" };
});

/** Header fields with their values, names in lower case; issues carry the field's name in their path. */
function headerMap<Value>(
  nameRule: (name: string) => string | null,
  parse: (value: unknown) => Parsed<Value>,
) {
  return z.pipe(
    z.record(z.string(), z.unknown(), {
      error: (issue) => (issue.input === undefined ? REQUIRED : "must be an object of header fields"),
    }),
    z.transform((record, context) => {
      const fields = new Map<string, Value>();
      for (const [fieldName, value] of Object.entries(record)) {
        const lower = fieldName.toLowerCase();
        const parsed = parse(value);
        const rule =
          nameRule(fieldName) ??
          (fields.has(lower) ? "is given twice" : "rule" in parsed ? parsed.rule : null);
        if (rule !== null) {
          context.issues.push({ code: "custom", message: rule, input: value, path: [fieldName] });
        } else if ("value" in parsed) fields.set(lower, parsed.value);
      }
      return [...fields];
    }),
  );
}

const askedFieldRule = (fieldName: string): string | null =>
  FIELD_NAME_PATTERN.test(fieldName) ? null : "must be a header field's name";

const removedField = checkedField((value): Parsed<string> => {
  const rule = typeof value === "string" ? editedFieldRule(value) : "must be a header field's name";
  return rule === null && typeof value === "string" ? { value: value.toLowerCase() } : { rule: rule ?? "" };
});

const headerEditShape = {
  set: z.prefault(headerMap(editedFieldRule, parseSecretHeaderValue), {}),
  remove: z.prefault(listOf(removedField, 0, "must be a list of header fields"), []),
};

const fallback = exactObject({
  status: z.prefault(integer(200, 599), 200),
  headers: z.prefault(headerMap(editedFieldRule, parseHeaderValue), {}),
  body: z.prefault(text(), ""),
});

export const routeSchema = exactObject({
  name: z.optional(name()),
  path: checkedField(parseRoutePath),
  methods: z.optional(listOf(method, 1, "must be a list of at least one method")),
  hosts: z.optional(listOf(host, 1, "must be a list of at least one host")),
  headers: z.optional(headerMap(askedFieldRule, parseHeaderValue)),
  upstream: z.optional(text("must be the name of an upstream")),
  priority: z.prefault(trafficClass(), "P1"),
  auth: z.prefault(auth, false),
  limits: z.prefault(listOf(text("must be the name of a limit"), 0, "must be a list of limits"), []),
  count: z.prefault(listOf(text("must be the name of a counter"), 0, "must be a list of counters"), []),
  request: z.prefault(
    exactObject({ path: z.optional(checkedField(parseRewriteTemplate)), ...headerEditShape }),
    {},
  ),
  response: z.prefault(exactObject(headerEditShape), {}),
  deadline: z.prefault(duration(), "30s"),
  bodyLimit: z.prefault(size(), "100MiB"),
  concurrency: z.optional(exactObject({ max: integer(1, MAX_PERMITS), ...concurrencyShape(0) })),
  encodedSlashes: z.prefault(flag(), false),
  fallback: z.optional(fallback),
  queue: z.optional(text("must be the name of a queue")),
  saga: z.optional(text("must be the name of a saga")),
  event: z.optional(eventType),
});

export type RouteParsed = z.output<typeof routeSchema>;
export type HeaderEditParsed = RouteParsed["response"];
