// A hub as an operator reads it: who it hears from, how old that is, what it keeps.

import { gCounterValue } from "../crdt/g-counter.ts";
import type { Hub, HubTally } from "./hub.ts";
import { countPresent } from "./sessions.ts";

export interface PeerDescription {
  /** Ms since it was heard; null: never. */
  readonly ageMs: number | null;
  /** Whether it has everything that this hub wrote. */
  readonly caughtUp: boolean;
  readonly failures: number;
}

export interface HubDescription {
  readonly region: string;
  readonly shard: number;
  readonly boot: number;
  readonly epoch: number;
  readonly slots: { readonly durable: string; readonly ephemeral: string };
  readonly isolates: number;
  readonly sessions: number;
  readonly states: number;
  readonly peers: Readonly<Record<string, PeerDescription>>;
  readonly tally: HubTally;
  /** Sum over the keys of each usage counter, for metrics. */
  readonly counters: Readonly<Record<string, number>>;
}

export function describeHub(hub: Hub, now: number): HubDescription {
  const peers = [...hub.peers.values()].map((peer) => [
    peer.region,
    {
      ageMs: Number.isFinite(peer.heardAt) ? now - peer.heardAt : null,
      caughtUp: peer.acked >= hub.version,
      failures: peer.failures,
    },
  ]);
  return {
    region: hub.region,
    shard: hub.shard,
    boot: hub.boot,
    epoch: hub.durableEpoch,
    slots: { durable: hub.durableSlot, ephemeral: hub.ephemeralSlot },
    isolates: countPresent(hub, now),
    sessions: hub.sessions.size,
    states: hub.states.size,
    peers: Object.fromEntries(peers),
    tally: { ...hub.tally },
    counters: sumCounters(hub),
  };
}

function sumCounters(hub: Hub): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const [name, state] of hub.states) {
    if (state.kind !== "g-counter") continue;
    const counter = name.split(":", 2)[1];
    sums[counter] = (sums[counter] ?? 0) + gCounterValue(state);
  }
  return sums;
}
