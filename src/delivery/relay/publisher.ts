// Where a relay brings the events that it reads: a port, and what is understood of the answers behind it.
//
// A publisher is at-least-once by nature: what it says of a publication may get lost, so a relay publishes
// again whatever it has not heard of as published. Events keep their ids, so the receiver drops what it
// has.

import { dataBytes, type CloudEvent } from "../events/cloud-event.ts";

export type PublishOutcome =
  | { readonly kind: "published" }
  /** It may work later. Some of the events may have been taken all the same. */
  | { readonly kind: "failed"; readonly error: string; readonly retryAfterMs: number | null }
  /** It never will: something about these events is wrong. Nothing was taken. */
  | { readonly kind: "refused"; readonly error: string };

export interface EventPublisher {
  /** Publishes events in their order, all or none of them as far as it can. It may throw: then it failed. */
  publish(events: readonly CloudEvent[]): Promise<PublishOutcome>;
}

/** What an HTTP status says of a publication. Only 400, 413, 415 and 422 speak of the events themselves. */
export function judgePublishStatus(status: number, retryAfterMs: number | null): PublishOutcome {
  if (status >= 200 && status <= 299) return { kind: "published" };
  const error = `status ${status}`;
  if (status === 400 || status === 413 || status === 415 || status === 422) return { kind: "refused", error };
  return { kind: "failed", error, retryAfterMs };
}

/** What became of a batch: how many from its start were published, and whether one is refused behind them. */
export interface BatchResult {
  readonly published: number;
  readonly refused: readonly { readonly index: number; readonly error: string }[];
  /** Null: every event was published or refused. */
  readonly failure: { readonly error: string; readonly retryAfterMs: number | null } | null;
}

/** Of one publication, so that one message holds it. */
export const MAX_PUBLISHED_EVENTS = 100;
export const MAX_PUBLISHED_BYTES = 1024 * 1024;
/** What an event has beside its payload, roughly. */
const ATTRIBUTE_BYTES = 1024;

/**
 * Publishes events, as many at once as one message holds. A batch that is refused is published event by
 * event, to find the ones that are meant.
 * `onRefused`: whether the events behind a refused one are published (`skip`) or wait (`stop`).
 */
export async function publishBatch(
  publisher: EventPublisher,
  events: readonly CloudEvent[],
  onRefused: "skip" | "stop",
): Promise<BatchResult> {
  const refused: { index: number; error: string }[] = [];
  let published = 0;
  for (const part of split(events)) {
    const result = await publishPart(publisher, part, onRefused);
    for (const { index, error } of result.refused) refused.push({ index: published + index, error });
    published += result.published;
    if (result.published < part.length) return { ...result, published, refused };
  }
  return { published, refused, failure: null };
}

function split(events: readonly CloudEvent[]): CloudEvent[][] {
  const parts: CloudEvent[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const event of events) {
    const size = dataBytes(event.data).length + ATTRIBUTE_BYTES;
    const isFull =
      bytes + size > MAX_PUBLISHED_BYTES || parts[parts.length - 1].length >= MAX_PUBLISHED_EVENTS;
    if (isFull) {
      parts.push([]);
      bytes = 0;
    }
    parts[parts.length - 1].push(event);
    bytes += size;
  }
  return parts;
}

async function publishPart(
  publisher: EventPublisher,
  events: readonly CloudEvent[],
  onRefused: "skip" | "stop",
): Promise<BatchResult> {
  const whole = await attempt(publisher, events);
  if (whole.kind === "published") return { published: events.length, refused: [], failure: null };
  if (whole.kind === "failed") return { published: 0, refused: [], failure: whole };
  const refused: { index: number; error: string }[] = [];
  for (const [index, event] of events.entries()) {
    const single = events.length === 1 ? whole : await attempt(publisher, [event]);
    if (single.kind === "failed") return { published: index, refused, failure: single };
    if (single.kind === "published") continue;
    refused.push({ index, error: single.error });
    if (onRefused === "stop") return { published: index, refused, failure: null };
  }
  return { published: events.length, refused, failure: null };
}

async function attempt(publisher: EventPublisher, events: readonly CloudEvent[]): Promise<PublishOutcome> {
  try {
    return await publisher.publish(events);
  } catch (error) {
    return { kind: "failed", error: String(error), retryAfterMs: null };
  }
}
