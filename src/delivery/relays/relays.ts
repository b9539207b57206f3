// The isolate's side of relays: it wakes their objects and asks them how they fare. A relay's object is named
// as the relay is.

import type { Plan } from "../../config/plan.ts";
import { answerWithin, isNamespace, type Namespace } from "../../region/object-calls.ts";
import type { RelayDescription } from "../core/relay-tally.ts";

/** An isolate wakes relays at most this often; an object that works has its own alarm. */
export const WAKE_PAUSE_MS = 60_000;
const ASK_TIMEOUT_MS = 5_000;

/** What a relay's object answers to. */
export interface RelayCalls {
  /** Sees to it that it works, if the configuration has it. */
  wake(): Promise<void>;
  describe(): Promise<RelayDescription>;
}

export type RelayNamespace = Namespace<RelayCalls>;

/** By name; null: its object did not answer. */
export type RelayStates = Readonly<Record<string, RelayDescription | null>>;

/** The binding RELAY; null where the Worker has none. */
export function relaysOf({ RELAY }: Readonly<Record<string, unknown>>): RelayNamespace | null {
  return isNamespace<RelayCalls>(RELAY) ? RELAY : null;
}

/** Never rejects. */
export async function wakeRelays(
  { relays }: Pick<Plan, "relays">,
  namespace: RelayNamespace | null,
): Promise<void> {
  if (namespace === null) return;
  await Promise.all(relays.map(({ name }) => ask(namespace, name, (relay) => relay.wake())));
}

export async function describeRelays(
  { relays }: Pick<Plan, "relays">,
  namespace: RelayNamespace | null,
): Promise<RelayStates> {
  const entries = relays.map(async ({ name }) => {
    return [
      name,
      namespace === null ? null : await ask(namespace, name, (relay) => relay.describe()),
    ] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}

function ask<Reply>(
  namespace: RelayNamespace,
  name: string,
  call: (relay: RelayCalls) => Promise<Reply>,
): Promise<Reply | null> {
  return answerWithin(ASK_TIMEOUT_MS, call(namespace.get(namespace.idFromName(name))));
}
