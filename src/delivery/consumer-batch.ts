// The pointers of a batch, sorted: by outbox and region, each job once with all messages that point at it.

import { isRegion } from "../crdt/slot-id.ts";
import { DEFAULT_REGION } from "../region/placement.ts";
import { parseOutboxName, type OutboxKind } from "./core/job-id.ts";
import { isPointer } from "./core/requests.ts";

/** A message of a Cloudflare Queue, as far as it is used here. */
export interface QueueMessage {
  readonly id: string;
  readonly body: unknown;
  readonly attempts: number;
  ack(): void;
  retry(): void;
}

export interface QueueBatch {
  readonly queue: string;
  readonly messages: readonly QueueMessage[];
}

/** Jobs of one outbox that were accepted in one region. */
export interface PointerGroup {
  readonly outbox: string;
  readonly kind: OutboxKind;
  /** The queue's or the subscription's name. */
  readonly queue: string;
  readonly region: string;
  readonly messages: ReadonlyMap<string, readonly QueueMessage[]>;
}

export interface SortedBatch {
  readonly groups: readonly PointerGroup[];
  /** Of another version, or no pointers at all. */
  readonly unread: readonly QueueMessage[];
}

export function sortBatch({ messages }: QueueBatch): SortedBatch {
  const groups = new Map<string, { group: PointerGroup; messages: Map<string, QueueMessage[]> }>();
  const unread: QueueMessage[] = [];
  for (const message of messages) {
    const { body } = message;
    const name = isPointer(body) ? parseOutboxName(body.outbox) : null;
    if (!isPointer(body) || name === null) {
      unread.push(message);
      continue;
    }
    const region = regionIn(body);
    const key = JSON.stringify([body.outbox, region]);
    const known = groups.get(key);
    const byId = known?.messages ?? new Map<string, QueueMessage[]>();
    if (known === undefined) {
      const group = { outbox: body.outbox, kind: name.kind, queue: name.queue, region, messages: byId };
      groups.set(key, { group, messages: byId });
    }
    byId.set(body.id, [...(byId.get(body.id) ?? []), message]);
  }
  return { groups: [...groups.values()].map(({ group }) => group), unread };
}

/** Never from the environment: a consumer runs anywhere. */
export function regionIn({ region }: { readonly region: string }): string {
  return isRegion(region) ? region : DEFAULT_REGION;
}
