// Schema of `queues`: where what was taken in goes, how much may wait, how often it is tried.

import * as z from "zod/mini";
import { checkedField, duration, exactObject, field, integer, oneOf, text } from "./fields.ts";
import { FIELD_NAME_PATTERN } from "./header-fields.ts";
import { parseQueuePath } from "./queue-path.ts";

/** Jobs that one outbox may be asked to hold: it keeps an index of them in memory. */
export const MAX_HIGH_WATERMARK = 200_000;
/** Tries of one job in all. */
export const MAX_QUEUE_ATTEMPTS = 100;
/** Jobs that a consumer takes at a time: what one message batch of the platform holds. */
export const MAX_QUEUE_BATCH = 100;
/** These two adapt to each other: the longer is never below the shorter. */
export const DEFAULT_QUEUE_DELAY_MS = 5_000;
export const DEFAULT_QUEUE_MAX_DELAY_MS = 24 * 3600 * 1000;

const orderBy = field<string>('must be "header:<name>"', (value) => {
  if (typeof value !== "string" || !value.startsWith("header:")) return null;
  const header = value.slice("header:".length).toLowerCase();
  return FIELD_NAME_PATTERN.test(header) ? header : null;
});

export const queueSchema = exactObject({
  upstream: text("must be the name of an upstream"),
  path: z.prefault(checkedField(parseQueuePath), "/*"),
  orderBy: z.optional(orderBy),
  highWatermark: z.prefault(integer(1, MAX_HIGH_WATERMARK), 20_000),
  resumeAt: z.prefault(
    field("must be a number from 0 and below 1", (value) =>
      typeof value === "number" && value >= 0 && value < 1 ? value : null,
    ),
    0.7,
  ),
  alertAt: z.prefault(integer(1), 10_000),
  maxAge: z.prefault(duration(), "24h"),
  batch: z.prefault(integer(1, MAX_QUEUE_BATCH), 100),
  retry: z.prefault(
    exactObject({
      attempts: z.prefault(integer(1, MAX_QUEUE_ATTEMPTS), 10),
      delay: z.optional(duration()),
      maxDelay: z.optional(duration()),
    }),
    {},
  ),
  idempotencyKey: z.prefault(oneOf(["optional", "required"]), "optional"),
  onDeadHead: z.prefault(oneOf(["block", "skip"]), "block"),
});

export type QueueParsed = z.output<typeof queueSchema>;
