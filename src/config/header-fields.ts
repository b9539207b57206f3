// Which header fields a configuration may set, remove or ask for (RFC 9110 5.1, 5.5, 7.6.1).

import { BINDING_PATTERN } from "./fields.ts";
import type { Parsed } from "./fields.ts";

/** A token of RFC 9110 5.6.2. */
export const FIELD_NAME_PATTERN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}$/;

/** Visible ASCII and obs-text with spaces and tabs inside: RFC 9110 5.5, so no CR, LF or NUL. */
const FIELD_VALUE_PATTERN = /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/;

/** Fields that belong to one connection or that the gateway itself writes. */
const RESERVED_FIELDS: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-authentication-info",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "via",
]);

/** A header value, or the secret that holds it. */
export interface HeaderValue {
  readonly value: string;
  readonly secret: string | null;
}

/** The rule that a field name breaks which the configuration wants to set or remove, or null. */
export function editedFieldRule(fieldName: string): string | null {
  const lower = fieldName.toLowerCase();
  if (!FIELD_NAME_PATTERN.test(lower)) return "must be a header field's name";
  if (RESERVED_FIELDS.has(lower)) return "belongs to the connection or to the gateway and cannot be edited";
  if (lower.startsWith("x-tidegate-")) return "x-tidegate-* is the gateway's own and cannot be edited";
  return null;
}

const VALUE_RULE = "must be a header value: text of one line without control characters or outer spaces";

/** A literal header value. */
export function parseHeaderValue(value: unknown): Parsed<string> {
  if (typeof value !== "string" || !FIELD_VALUE_PATTERN.test(value)) return { rule: VALUE_RULE };
  if (value.startsWith("env:")) return { rule: "cannot be a secret here" };
  return { value };
}

/** A header value that may be `env:NAME`. */
export function parseSecretHeaderValue(value: unknown): Parsed<HeaderValue> {
  if (typeof value === "string" && value.startsWith("env:")) {
    const secret = value.slice("env:".length);
    if (!BINDING_PATTERN.test(secret)) return { rule: 'must be "env:NAME" with the name of a secret' };
    return { value: { value: "", secret } };
  }
  const literal = parseHeaderValue(value);
  return "rule" in literal ? literal : { value: { value: literal.value, secret: null } };
}
