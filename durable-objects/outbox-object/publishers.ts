// Ways to publish events: to a Tidegate gateway over a service binding or the network, or to a Cloudflare
// Queue.

import { parseRetryAfterMs } from "../../src/http/retry-after.ts";
import type { CloudEvent } from "../../src/delivery/events/cloud-event.ts";
import { BATCH_TYPE, writeBatch, writeStructured } from "../../src/delivery/events/json-format.ts";
import {
  judgePublishStatus,
  type EventPublisher,
  type PublishOutcome,
} from "../../src/delivery/relay/publisher.ts";

/** Where a gateway takes events in. */
export const PUBLISH_PATH = "/_gateway/events";

/** A service binding to the gateway, or anything else with a `fetch`. */
export interface Fetching {
  fetch(request: Request): Promise<Response>;
}

export interface GatewayTarget {
  /** The gateway's ADMIN_TOKEN. */
  readonly token: string;
  /** The gateway's origin; a service binding needs none. */
  readonly origin?: string;
}

/** Publishes to a gateway: `gatewayPublisher(env.GATEWAY, { token: env.GATEWAY_TOKEN })`. */
export function gatewayPublisher(gateway: Fetching, { token, origin }: GatewayTarget): EventPublisher {
  const url = new URL(PUBLISH_PATH, origin ?? "https://gateway.internal").href;
  return {
    async publish(events) {
      const request = new Request(url, {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": BATCH_TYPE },
        body: writeBatch(events),
      });
      return judgeResponse(await gateway.fetch(request));
    },
  };
}

function judgeResponse(response: Response): PublishOutcome {
  const retryAfter = response.headers.get("retry-after");
  const retryAfterMs = retryAfter === null ? null : parseRetryAfterMs(retryAfter, Date.now());
  // A body that nobody reads keeps its connection; nobody waits for it either.
  response.body?.cancel().catch(() => null);
  return judgePublishStatus(response.status, retryAfterMs);
}

/** What is used of a Cloudflare Queue. */
export interface EventQueue {
  sendBatch(messages: Iterable<{ readonly body: string; readonly contentType: "text" }>): Promise<unknown>;
}

/** Of one batch, as the platform has it; with room for what it adds to each message. */
const MAX_QUEUE_BATCH_BYTES = 250_000;
const QUEUE_MESSAGE_BYTES = 100;

/** Publishes each event as one message: its JSON text in structured mode. */
export function queuePublisher(queue: EventQueue): EventPublisher {
  return {
    async publish(events) {
      for (const batch of queueBatches(events)) await queue.sendBatch(batch);
      return { kind: "published" };
    },
  };
}

type QueueMessage = { readonly body: string; readonly contentType: "text" };

function queueBatches(events: readonly CloudEvent[]): QueueMessage[][] {
  const batches: QueueMessage[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const event of events) {
    const body = writeStructured(event);
    const size = new TextEncoder().encode(body).length + QUEUE_MESSAGE_BYTES;
    if (bytes + size > MAX_QUEUE_BATCH_BYTES) {
      batches.push([]);
      bytes = 0;
    }
    batches[batches.length - 1].push({ body, contentType: "text" });
    bytes += size;
  }
  return batches;
}
