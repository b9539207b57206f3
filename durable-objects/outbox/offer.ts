// Offers jobs to another outbox, as a batch and with a deadline.

import { outboxName } from "../../src/delivery/core/job-id.ts";
import type { SubscriptionRoute } from "../../src/delivery/core/event-protocol.ts";
import type {
  AcceptItem,
  AcceptOutcome,
  AcceptReply,
  AcceptRequest,
} from "../../src/delivery/core/protocol.ts";
import type { OutboxLog } from "./log.ts";

/** An outbox that does not answer in this time is asked again later. */
const HAND_OVER_TIMEOUT_MS = 15_000;

/** What an outbox takes as no job at all, and nobody has then: only a fault of ours brings that about. */
const LOST: ReadonlySet<AcceptOutcome["kind"]> = new Set(["too-large", "malformed", "conflict"]);

/** The binding OUTBOX, as far as it is used here. */
export interface OutboxNamespace {
  getByName(name: string): { accept(request: AcceptRequest): Promise<AcceptReply> };
}

export interface Offer {
  readonly region: string;
  /** Hash of the configuration that told of the subscription. */
  readonly config: string;
  readonly definition: SubscriptionRoute;
  readonly items: readonly AcceptItem[];
}

/** Offers jobs to an outbox by its name; null: it did not answer. Never rejects. */
export async function offerTo(
  outboxes: OutboxNamespace | undefined,
  name: string,
  request: AcceptRequest,
  log: OutboxLog,
): Promise<AcceptReply | null> {
  const { promise: tooLate, resolve } = Promise.withResolvers<null>();
  const timer = setTimeout(() => resolve(null), HAND_OVER_TIMEOUT_MS);
  try {
    return await Promise.race([outboxes?.getByName(name).accept(request) ?? null, tooLate]);
  } catch (error) {
    log.failure("hand-over-failed", error);
    return null;
  } finally {
    clearTimeout(timer);
  }
}

/** Offers events to their subscription's outbox; see `offerTo`. */
export function offerEvents(
  outboxes: OutboxNamespace | undefined,
  { region, config, definition, items }: Offer,
  log: OutboxLog,
): Promise<AcceptReply | null> {
  const name = outboxName({ kind: "subscription", queue: definition.name, shard: 0 });
  return offerTo(outboxes, name, { region, config, terms: definition.terms, items, refused: 0 }, log);
}

/** What of an offer is lost, by its place in it. */
export function lostOf(
  reply: AcceptReply | null,
): { readonly index: number; readonly kind: AcceptOutcome["kind"] }[] {
  if (reply?.kind !== "answered") return [];
  return reply.outcomes.flatMap(({ kind }, index) => (LOST.has(kind) ? [{ index, kind }] : []));
}
