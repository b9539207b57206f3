// Schema of `reactions`: which event becomes which request, and what is published of its outcome. What binds
// reactions together stands in reaction-rules.ts.

import * as z from "zod/mini";
import { isEventPattern, MAX_PATTERNS } from "../delivery/events/event-pattern.ts";
import { EVENT_MAX_AGE_MS } from "../delivery/events/event-terms.ts";
import { EVENT_SOURCES } from "../saga/core/template.ts";
import type { Parsed } from "./fields.ts";
import { checkedField, duration, exactObject, field, flag, integer, text } from "./fields.ts";
import { callMethod, callSchemas } from "./schema-calls.ts";
import { MAX_HIGH_WATERMARK, MAX_QUEUE_ATTEMPTS } from "./schema-queues.ts";

/** Events are not kept longer. */
export const MAX_REACTION_DEADLINE_MS = EVENT_MAX_AGE_MS;

const { body, headers, path } = callSchemas(EVENT_SOURCES, "the reaction");

const ON_RULE = 'must be a type of events like "order.paid", "order.*" or "*", or a list of them';

function parseOn(value: unknown): Parsed<readonly string[]> {
  const written: readonly unknown[] = Array.isArray(value) ? value : [value];
  const patterns = written.filter((each) => typeof each === "string" && isEventPattern(each));
  if (patterns.length === 0 || patterns.length < written.length) return { rule: ON_RULE };
  return patterns.length > MAX_PATTERNS
    ? { rule: `must be at most ${MAX_PATTERNS} types of events` }
    : { value: patterns.map(String) };
}

/** A type that something can be published with. */
export const eventType = field('must be the type of an event like "order.placed"', (value) =>
  typeof value === "string" && value !== "*" && !value.endsWith(".*") && isEventPattern(value) ? value : null,
);

const retry = exactObject({
  attempts: z.prefault(integer(1, MAX_QUEUE_ATTEMPTS), 10),
  delay: z.optional(duration()),
  maxDelay: z.optional(duration()),
});

export const reactionSchema = exactObject({
  on: checkedField(parseOn),
  request: exactObject({
    upstream: text("must be the name of an upstream"),
    method: callMethod,
    path,
    headers: z.prefault(headers, {}),
    body: z.optional(body),
  }),
  then: z.prefault(
    exactObject({
      ok: z.optional(eventType),
      failed: z.optional(eventType),
      deadline: z.optional(eventType),
    }),
    {},
  ),
  deadline: z.prefault(duration(), "1h"),
  retry: z.prefault(retry, {}),
  ordered: z.prefault(flag(), false),
  highWatermark: z.prefault(integer(1, MAX_HIGH_WATERMARK), 20_000),
  alertAt: z.prefault(integer(1), 10_000),
});

export type ReactionParsed = z.output<typeof reactionSchema>;
