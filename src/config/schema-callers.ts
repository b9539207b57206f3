// Schema of who calls and how often: `consumers`, `tenants`, `limits`, `counters`.

import * as z from "zod/mini";
import { MAX_PERMITS } from "../resilience/permits.ts";
import {
  BINDING_PATTERN,
  duration,
  exactObject,
  field,
  flag,
  integer,
  listOf,
  name,
  oneOf,
  rate,
  trafficClass,
} from "./fields.ts";
import { FIELD_NAME_PATTERN } from "./header-fields.ts";
import { CONSISTENCIES, DEFAULT_CONSISTENCY } from "./limit-window.ts";
import { MAX_LIMIT_COST, MAX_LIMIT_UNITS } from "./limit-window.ts";
import type { LimitKey } from "./plan.ts";

/** A consumer's key: the SHA-256 of the API key in lower-case hex, or the secret that holds the API key. */
export type ConsumerKey = { readonly sha256: string } | { readonly secret: string };

/** The key that a configuration writes as `sha256:<64 hex>` or `env:NAME`; null for anything else. */
export function parseConsumerKey(value: unknown): ConsumerKey | null {
  if (typeof value !== "string") return null;
  if (/^sha256:[0-9a-f]{64}$/i.test(value)) return { sha256: value.slice("sha256:".length).toLowerCase() };
  const secret = value.startsWith("env:") ? value.slice("env:".length) : "";
  return BINDING_PATTERN.test(secret) ? { secret } : null;
}

export const consumerSchema = exactObject({
  keys: listOf(
    field('must be "sha256:<64 hex digits>" or "env:NAME"', parseConsumerKey),
    1,
    "must be a list of at least one key",
  ),
  tenant: z.optional(name()),
  priority: z.optional(trafficClass()),
});

export const tenantSchema = exactObject({
  share: z.prefault(rate(), 1),
  concurrency: z.optional(integer(1, MAX_PERMITS)),
});

const limitKey = field<LimitKey>(
  'must be "consumer", "tenant", "ip", "route" or "header:<name>"',
  (value) => {
    if (value === "consumer" || value === "tenant" || value === "ip" || value === "route") {
      return { kind: value };
    }
    if (typeof value !== "string" || !value.startsWith("header:")) return null;
    const header = value.slice("header:".length).toLowerCase();
    return FIELD_NAME_PATTERN.test(header) ? { kind: "header", header } : null;
  },
);

export const limitSchema = exactObject({
  key: limitKey,
  rate: integer(1, MAX_LIMIT_UNITS),
  per: duration(),
  burst: z.optional(integer(1, MAX_LIMIT_UNITS)),
  cost: z.prefault(integer(1, MAX_LIMIT_COST), 1),
  consistency: z.prefault(oneOf(CONSISTENCIES), DEFAULT_CONSISTENCY),
  onUnavailable: z.optional(oneOf(["allow", "deny"])),
  shadow: z.prefault(flag(), false),
  billing: z.prefault(flag(), false),
});

export const counterSchema = exactObject({ key: limitKey });

export type LimitParsed = z.output<typeof limitSchema>;
