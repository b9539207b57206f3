// Hubs without an object around them: rows in memory in place of SQLite, messages that a test carries itself,
// and what an isolate would send. A test decides what is lost, and when a hub starts anew.

import type { GossipMessage, GossipOutcome } from "../../../src/hub/gossip.ts";
import { composeMessage, isMessage, receiveMessage } from "../../../src/hub/gossip.ts";
import type { Hub } from "../../../src/hub/hub.ts";
import { NOTHING_STORED, bootHub } from "../../../src/hub/hub.ts";
import { announceUse, meetRegions } from "../../../src/hub/membership.ts";
import { peerOf } from "../../../src/hub/peers.ts";
import type { LeaseAsk, LimitTerms, Report, SyncReply, SyncRequest } from "../../../src/hub/protocol.ts";
import { readStoredHub, takeCommit } from "../../../src/hub/storage.ts";
import { serveSync } from "../../../src/hub/sync.ts";
import { readUsage } from "../../../src/hub/usage.ts";

/** The first moment of a period, a window's cell and a second alike. */
export const T0 = 1_700_000_000_000 - (1_700_000_000_000 % 3_600_000);
export const ROUND_MS = 1_000;

/** A hub that nobody has used. */
export function newHub(region: string, now = T0): Hub {
  return bootHub(region, 0, NOTHING_STORED, now);
}

/** A hub whose region is in use. */
export function usedHub(region: string, now = T0): Hub {
  const hub = newHub(region, now);
  announceUse(hub, now);
  return hub;
}

/** Hubs that are in use and know of each other, each with everything that the others have written. */
export function metHubs(regions: readonly string[], now = T0): Hub[] {
  const hubs = regions.map((region) => usedHub(region, now));
  settle(hubs, now);
  for (const hub of hubs) hub.urgent = false;
  return hubs;
}

/** What a hub has stored: what `RegionHub` does with a commit, on maps. */
export class Rows {
  boot = 0;
  durableEpoch = 0;
  readonly states = new Map<string, Uint8Array>();
  readonly sessions = new Map<string, number>();

  store(hub: Hub, foreign = false): void {
    const commit = takeCommit(hub, foreign);
    if (commit === null) return;
    if (commit.meta) [this.boot, this.durableEpoch] = [commit.boot, commit.durableEpoch];
    for (const [name, bytes] of commit.states) {
      if (bytes === null) this.states.delete(name);
      else this.states.set(name, bytes);
    }
    for (const [id, seq] of commit.sessions) this.sessions.set(id, seq);
    for (const id of commit.droppedSessions) this.sessions.delete(id);
  }

  start(region: string, now: number): Hub {
    const hub = bootHub(region, 0, readStoredHub(this), now);
    this.store(hub);
    return hub;
  }
}

/** The message of one hub to another, decoded by nobody yet. */
export function messageTo(from: Hub, to: string, now: number): GossipMessage {
  return composeMessage(from, peerOf(from, to), now);
}

/** A push and the pull that answers it, both of which arrive. */
export function exchange(from: Hub, to: Hub, now: number): GossipOutcome[] {
  const pushed = receiveMessage(to, messageTo(from, to.region, now), now);
  if (pushed.kind === "refused") return [pushed];
  return [pushed, receiveMessage(from, messageTo(to, from.region, now), now)];
}

/** Exchanges between all of them until nobody has any more to tell. */
export function settle(hubs: readonly Hub[], now: number): void {
  for (const hub of hubs) meetRegions(hub);
  for (let round = 0; round < 20; round++) {
    const before = hubs.map(({ version }) => version).join();
    for (const from of hubs) for (const to of hubs) if (from !== to) exchange(from, to, now);
    if (round > 1 && before === hubs.map(({ version }) => version).join()) return;
  }
  throw new Error("they go on telling each other something new");
}

export function valueIn(hub: Hub, counter: string, key: string, now = T0): number {
  return readUsage(hub, counter, key, ROUND_MS, now).value;
}

export function termsOf(terms: Partial<LimitTerms> = {}): LimitTerms {
  return { limit: "api", key: "k", consistency: "global", units: 100, windowMs: 10_000, ...terms };
}

export function reportOf(session: string, seq: number, entries: Partial<Report> = {}): Report {
  return { session, seq, config: "c", counts: [], uses: [], returns: [], ...entries };
}

export function syncOf(
  region: string,
  session: string,
  report: Report | null,
  asks: readonly LeaseAsk[] = [],
): SyncRequest {
  return { region, session, report, asks, urgent: false };
}

/** A sync that must not be refused. */
export function synced(hub: Hub, request: SyncRequest, now = T0): Extract<SyncReply, { kind: "synced" }> {
  const reply = serveSync(hub, request, now);
  if (reply.kind === "refused") throw new Error(reply.reason);
  return reply;
}

/** Everything that a hub holds, as a text; not how often it was called. */
export function contentOf({ tally: _tally, ...hub }: Hub): string {
  return JSON.stringify(hub, (_, value: unknown) => {
    if (value instanceof Map) return [...value];
    return value instanceof Set ? [...value] : value;
  });
}

/** A message from anywhere, as it would come: with what must be one, and anything else. */
export function arrived(message: unknown): GossipMessage {
  if (!isMessage(message)) throw new Error("no message");
  return message;
}
