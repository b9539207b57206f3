// Schema of `upstreams`: targets, timeout, breaker, concurrency, retry. Defaults stand here and nowhere else.

import * as z from "zod/mini";
import { MAX_PERMITS } from "../resilience/permits.ts";
import {
  BINDING_PATTERN,
  checkedField,
  duration,
  exactObject,
  falseOr,
  field,
  flag,
  integer,
  listOf,
  rate,
} from "./fields.ts";
import type { Parsed } from "./fields.ts";

/** Requests that may wait for a permit; more would only wait for their time-out. */
export const MAX_WAITING = 1024;
/** Tries in all, the first one included: each layer of retries multiplies the load of the one below. */
export const MAX_ATTEMPTS = 3;
/** These four adapt to each other: the longer of a pair is never below the shorter. */
export const DEFAULT_OPEN_FOR_MS = 1000;
export const DEFAULT_MAX_OPEN_FOR_MS = 10_000;
export const DEFAULT_DELAY_MS = 25;
export const DEFAULT_MAX_DELAY_MS = 250;

const URL_RULE = "must be an http or https URL without user, query, fragment or spaces";

/** Origin and base path of a target, without a trailing slash; null for anything else. */
function parseTargetUrl(value: unknown): string | null {
  if (typeof value !== "string" || !/^https?:\/\/[^/@?#\\\s]+(\/[^?#\\\s]*)?$/i.test(value)) return null;
  const url = URL.parse(value);
  if (url === null || url.username !== "" || url.password !== "") return null;
  return url.origin + url.pathname.replace(/\/+$/, "");
}

function targetUrl() {
  return field(URL_RULE, parseTargetUrl);
}

const targetObject = exactObject({
  url: z.optional(targetUrl()),
  binding: z.optional(
    field("must be the name of a binding", (value) =>
      typeof value === "string" && BINDING_PATTERN.test(value) ? value : null,
    ),
  ),
  weight: z.prefault(
    field("must be a number above 0", (value) =>
      typeof value === "number" && value > 0 && Number.isFinite(value) ? value : null,
    ),
    1,
  ),
});

const targetText = checkedField((value): Parsed<z.output<typeof targetObject>> => {
  if (typeof value !== "string") return { rule: "must be a URL or an object with url or binding" };
  const url = parseTargetUrl(value);
  return url === null ? { rule: URL_RULE } : { value: { url, weight: 1 } };
});

const breaker = exactObject({
  failureRate: z.prefault(rate(), 0.5),
  slowCall: z.prefault(falseOr(duration(), 'must be false, or ms or a duration like "250ms" above 0'), false),
  slowCallRate: z.prefault(rate(), 0.8),
  minimumCalls: z.prefault(integer(1), 20),
  window: z.prefault(duration(), "10s"),
  consecutive: z.prefault(integer(1), 5),
  openFor: z.optional(duration()),
  maxOpenFor: z.optional(duration()),
  probes: z.prefault(integer(1), 3),
  rampUp: z.prefault(duration("zero"), "10s"),
});

const retry = exactObject({
  attempts: z.prefault(integer(1, MAX_ATTEMPTS), 2),
  budget: z.prefault(
    field("must be a number from 0 to 1", (value) =>
      typeof value === "number" && value >= 0 && value <= 1 ? value : null,
    ),
    0.1,
  ),
  delay: z.optional(duration("zero")),
  maxDelay: z.optional(duration("zero")),
});

/** A bulkhead; `waiting` and the rest have their own defaults for upstreams and for routes. */
export function concurrencyShape(defaultWaiting: number) {
  return {
    waiting: z.prefault(integer(0, MAX_WAITING), defaultWaiting),
    maxWait: z.prefault(duration("zero"), "100ms"),
  };
}

export const upstreamSchema = exactObject({
  targets: listOf(
    z.union([targetText, targetObject], { error: URL_RULE }),
    1,
    "must be a list of at least one target",
  ),
  timeout: z.prefault(duration(), "10s"),
  breaker: z.prefault(falseOr(breaker), {}),
  concurrency: z.prefault(
    exactObject({
      max: z.prefault(integer(1, MAX_PERMITS), 1000),
      adaptive: z.prefault(flag(), true),
      ...concurrencyShape(64),
    }),
    {},
  ),
  retry: z.prefault(falseOr(retry), {}),
});

export type UpstreamParsed = z.output<typeof upstreamSchema>;
export type TargetParsed = UpstreamParsed["targets"][number];
