// Mistakes that others have made with replicated counters, planted around the code under test: each must be
// noticed by the invariant that it breaks.

import type { GCounter } from "../../../src/crdt/g-counter.ts";
import { addToGCounter, gCounterSlots } from "../../../src/crdt/g-counter.ts";
import { decodeStates } from "../../../src/crdt/decode.ts";
import { encodeStates } from "../../../src/crdt/encode.ts";
import type { Replicated } from "../../../src/crdt/replicated.ts";
import { copyState } from "../../../src/crdt/replicated.ts";
import { isSlotId } from "../../../src/crdt/slot-id.ts";
import type { GossipMessage } from "../../../src/hub/gossip.ts";
import type { Hub } from "../../../src/hub/hub.ts";
import type { Flaws } from "./flaws.ts";

export interface PlantedFlaw {
  readonly name: string;
  readonly scenario: string;
  /** Any of these must be found broken. */
  readonly breaks: readonly string[];
  /** New for each run. */
  readonly plant: () => Flaws;
}

export const PLANTED_FLAWS: readonly PlantedFlaw[] = [
  {
    name: "a merge that adds instead of taking the greater number",
    scenario: "bad-network",
    breaks: ["I2"],
    plant: () => ({ received: addCounters }),
  },
  {
    name: "batches that are applied whenever they come",
    scenario: "bad-network",
    breaks: ["I2", "I3"],
    plant: () => ({
      sync: (hub, request, serve) => {
        const session = hub.sessions.get(request.session);
        if (session !== undefined && request.report !== null) session.seq = request.report.seq - 1;
        return serve(request);
      },
    }),
  },
  {
    name: "a boot number that is used again",
    scenario: "restarts",
    breaks: ["I5"],
    plant: () => ({
      booted: (hub) => Object.assign(hub, { boot: 1, ephemeralSlot: `${hub.region}.0.0.1` }),
    }),
  },
  {
    name: "rights that are leased and not spent",
    scenario: "calm",
    breaks: ["I4"],
    plant: () => ({
      sync: (hub, request, serve) => {
        const before = quotasOf(hub);
        const reply = serve(request);
        for (const [name, state] of before) hub.states.set(name, state);
        return reply;
      },
    }),
  },
  {
    name: "answers that leave before they are stored",
    scenario: "restarts",
    breaks: ["I2", "I3", "I4", "I8"],
    plant: () => ({ answersEarly: true }),
  },
  {
    name: "a peer that acknowledges what it has not got",
    scenario: "bad-network",
    breaks: ["I1"],
    plant: () => ({
      received: (_hub, message) => ({ ...message, ackBoot: _hub.boot, ackVersion: _hub.version }),
    }),
  },
  {
    name: "an isolate's batch that is acknowledged and forgotten",
    scenario: "calm",
    breaks: ["I2", "I3"],
    plant: () => ({
      sync: (_hub, request, serve) =>
        serve(request.report === null ? request : { ...request, report: { ...request.report, counts: [] } }),
    }),
  },
  {
    name: "windows that are never forgotten",
    scenario: "calm",
    breaks: ["I6", "I7"],
    plant: () => {
      const kept = new Map<Hub, Map<string, Replicated>>();
      return {
        round: (hub) => {
          const windows = kept.get(hub) ?? new Map<string, Replicated>();
          kept.set(hub, windows);
          for (const [name, state] of windows) if (!hub.states.has(name)) hub.states.set(name, state);
          for (const [name, state] of hub.states) {
            if (state.kind === "sliding-window" && !windows.has(name)) windows.set(name, copyState(state));
          }
        },
      };
    },
  },
  {
    name: "an identity that is taken up again after lost storage",
    scenario: "lost-storage",
    breaks: ["I5"],
    plant: () => ({
      booted: (hub) => Object.assign(hub, { boot: hub.boot - Math.floor(hub.bootedAt / 1_000) + 1 }),
      round: (hub) => {
        if (hub.tally.amnesia === 0) return;
        hub.durableEpoch = 1;
        hub.durableSlot = `${hub.region}.0.0.1`;
      },
    }),
  },
];

/** What comes in is added to what is here, as operations would be. */
function addCounters(hub: Hub, message: GossipMessage): GossipMessage {
  const chunks = message.chunks.map((chunk) => {
    const decoded = decodeStates(chunk);
    if (decoded.kind !== "decoded") return chunk;
    for (const { name, state } of decoded.entries) {
      const own = hub.states.get(name);
      if (state.kind === "g-counter" && own?.kind === "g-counter") addFrom(state, own);
    }
    const encoded = encodeStates(decoded.entries);
    return encoded.kind === "encoded" ? encoded.bytes : chunk;
  });
  return { ...message, chunks };
}

function addFrom(target: GCounter, source: GCounter): void {
  const known = gCounterSlots(target);
  for (const [slot, value] of Object.entries(gCounterSlots(source))) {
    if (slot in known && isSlotId(slot)) addToGCounter(target, slot, value, 1);
  }
}

function quotasOf(hub: Hub): Map<string, Replicated> {
  const quotas = new Map<string, Replicated>();
  for (const [name, state] of hub.states) {
    if (state.kind === "bounded-counter") quotas.set(name, copyState(state));
  }
  return quotas;
}
