// The isolate's way to the outboxes.

import { isNamespace, type Namespace } from "../region/object-calls.ts";
import type { OutboxCalls } from "./core/protocol.ts";

export type OutboxNamespace = Namespace<OutboxCalls>;

/** The binding OUTBOX; null where the Worker has none. */
export function outboxesOf(bindings: Readonly<Record<string, unknown>>): OutboxNamespace | null {
  const { OUTBOX } = bindings;
  return isNamespace<OutboxCalls>(OUTBOX) ? OUTBOX : null;
}

/** A stub for each use: one that has failed stays broken. */
export function outboxNamed(outboxes: OutboxNamespace, name: string): OutboxCalls {
  return outboxes.get(outboxes.idFromName(name));
}
