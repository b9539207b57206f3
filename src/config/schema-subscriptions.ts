// Schema of `subscriptions`: which events, to whom, and in which order. Which fields of `deliver` go
// together is for cross-check-subscriptions.ts.

import * as z from "zod/mini";
import { isEventPattern, MAX_PATTERNS } from "../delivery/events/event-pattern.ts";
import { isOwnHeader, MAX_OWN_HEADERS } from "../delivery/webhooks/core/own-headers.ts";
import { matchablePath } from "../http/paths.ts";
import {
  BINDING_PATTERN,
  checkedField,
  duration,
  exactObject,
  field,
  flag,
  integer,
  listOf,
} from "./fields.ts";
import { oneOf, text, type Parsed } from "./fields.ts";
import { parseSecretHeaderValue, type HeaderValue } from "./header-fields.ts";
import { MAX_HIGH_WATERMARK } from "./schema-queues.ts";

/** Secrets of one endpoint, while one takes another's place. */
export const MAX_WEBHOOK_SECRETS = 10;
/** A receiver's time for its whole answer. */
export const DEFAULT_WEBHOOK_TIMEOUT_MS = 15_000;
export const MAX_WEBHOOK_TIMEOUT_MS = 30_000;
const MAX_PATH_CHARS = 2_048;
const SECRETS_RULE = `must be a list of 1 to ${MAX_WEBHOOK_SECRETS} secrets like "env:NAME"`;

const pattern = field('must be a type of events like "order.paid", "order.*" or "*"', (value) =>
  typeof value === "string" && isEventPattern(value) ? value : null,
);

const secret = field('must be "env:NAME" with the name of a secret', (value) => {
  if (typeof value !== "string" || !value.startsWith("env:")) return null;
  const name = value.slice("env:".length);
  return BINDING_PATTERN.test(name) ? name : null;
});

const path = field("must be a path that begins with /", (value) => {
  if (typeof value !== "string" || !/^\/[^\s\\#]*$/.test(value) || value.length > MAX_PATH_CHARS) return null;
  return matchablePath(value.split("?", 1)[0]) === null ? null : value;
});

const headers = checkedField<readonly (readonly [name: string, value: HeaderValue])[]>((value) => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { rule: "must be an object of header fields" };
  }
  const entries: [string, HeaderValue][] = [];
  for (const [name, written] of Object.entries(value)) {
    const parsed: Parsed<HeaderValue> = parseSecretHeaderValue(written);
    if ("rule" in parsed) return { rule: `${name}: ${parsed.rule}` };
    if (!isOwnHeader(name, parsed.value.value)) {
      return { rule: `${name}: is the delivery's own or no header field` };
    }
    entries.push([name.toLowerCase(), parsed.value]);
  }
  if (entries.length > MAX_OWN_HEADERS) return { rule: `must be at most ${MAX_OWN_HEADERS} header fields` };
  return { value: entries };
});

const deliver = exactObject({
  webhook: z.optional(text("must be a URL like https://example.com/hook")),
  secrets: z.optional(listOf(secret, 1, SECRETS_RULE).check(z.maxLength(MAX_WEBHOOK_SECRETS, SECRETS_RULE))),
  timeout: z.optional(duration()),
  mode: z.optional(oneOf(["binary", "structured"])),
  headers: z.optional(headers),
  upstream: z.optional(text("must be the name of an upstream")),
  path: z.optional(path),
  binding: z.optional(
    field("must be the name of a binding", (value) =>
      typeof value === "string" && BINDING_PATTERN.test(value) ? value : null,
    ),
  ),
  pull: z.optional(field("must be true", (value) => (value === true ? true : null))),
});

export const subscriptionSchema = exactObject({
  events: listOf(pattern, 1, "must be a list of at least one type of events").check(
    z.maxLength(MAX_PATTERNS, `must be at most ${MAX_PATTERNS} types of events`),
  ),
  deliver,
  ordered: z.prefault(flag(), false),
  highWatermark: z.prefault(integer(1, MAX_HIGH_WATERMARK), 20_000),
  alertAt: z.prefault(integer(1), 10_000),
});

export type SubscriptionParsed = z.output<typeof subscriptionSchema>;
