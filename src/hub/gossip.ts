// How two hubs keep each other up to date: one exchange is a push and a pull. Each side sends what was
// written in its own region and is younger than what the other acknowledged; a whole state when it cannot
// know what the other has. What is sent are absolute numbers, so an exchange that is lost, doubled, late or
// out of order changes nothing but the time.
//
//   acknowledged = (boot, version): a version counts within its sender's boot alone
//   a peer in a new boot gets everything, and what was known of itself: so it finds out what it has lost
//   a delta counts only for who has all that it builds on: one that comes late, after a restart, does not
//   a delta too large for one message comes in parts; its version counts when all came, in a row
//   a digest of the stored states, once in a while, finds what all of the above missed
//
// Believed is what the sender's region wrote, and of our own region only what proves that we lost numbers.

import { decodeStates } from "../crdt/decode.ts";
import type { Replicated } from "../crdt/replicated.ts";
import { isRegion } from "../crdt/slot-id.ts";
import type { NamedState } from "../crdt/wire-format.ts";
import { digestOf } from "./digest.ts";
import { MAX_CHUNKS, composeDelta } from "./gossip-delta.ts";
import type { Hub } from "./hub.ts";
import { mergeIncoming } from "./incoming.ts";
import { isInUse, meetRegions } from "./membership.ts";
import type { Peer } from "./peers.ts";
import { peerOf } from "./peers.ts";
import { isFields, isWhole } from "./shapes.ts";

/** Digests are compared this often. */
export const DIGEST_MS = 60_000;
const MAX_BOOT = 4_294_967_295;

export interface GossipMessage {
  readonly from: string;
  readonly boot: number;
  /** Whether the sender's region is in use: one that is not only answers. */
  readonly inUse: boolean;
  /** Encoded states. */
  readonly chunks: readonly Uint8Array[];
  /** The sender's version that the delta builds on; 0: on nothing. Absent from older hubs. */
  readonly since?: number;
  /** Which part of a delta this is, from 0, and the version that its last part reaches; older: absent. */
  readonly part: number;
  readonly target?: number;
  /** The sender's version that this part completes, or 0: there is more to come. */
  readonly version: number;
  /** What the sender has of the receiver. */
  readonly ackBoot: number;
  readonly ackVersion: number;
  /** Of the sender's own stored numbers at `version`; null: not now. */
  readonly digest: number | null;
}

export type GossipOutcome =
  | { readonly kind: "merged"; readonly raised: number; readonly amnesia: boolean }
  | { readonly kind: "refused"; readonly reason: "malformed" | "not-a-peer" };

/** The message that a hub sends to a peer, as a push or as the answer to one. */
export function composeMessage(hub: Hub, peer: Peer, now: number): GossipMessage {
  const since = peer.acked;
  const { chunks, part, version, target } = composeDelta(hub, peer);
  const wantsDigest = version > 0 && part === 0 && now - peer.digestAt >= DIGEST_MS;
  if (wantsDigest) peer.digestAt = now;
  hub.tally.gossipSent++;
  return {
    from: hub.region,
    boot: hub.boot,
    inUse: isInUse(hub),
    chunks,
    since,
    part,
    target,
    version,
    ackBoot: peer.boot,
    ackVersion: peer.merged,
    digest: wantsDigest ? digestOf(hub, hub.region) : null,
  };
}

/** The message by which regions in use are found: it says who asks, and holds nothing. */
export function composeHello(hub: Hub): GossipMessage {
  return {
    from: hub.region,
    boot: hub.boot,
    inUse: isInUse(hub),
    chunks: [],
    since: 0,
    part: 0,
    target: 0,
    version: 0,
    ackBoot: 0,
    ackVersion: 0,
    digest: null,
  };
}

/** Takes in a peer's message. Nothing changes when it is refused. */
export function receiveMessage(hub: Hub, message: GossipMessage, now: number): GossipOutcome {
  if (!isMessage(message) || message.from === hub.region) return { kind: "refused", reason: "malformed" };
  const entries = decodeChunks(message.chunks);
  if (entries === null) return { kind: "refused", reason: "malformed" };
  if (!message.inUse) {
    noteAbsence(hub, message.from, now);
    return { kind: "refused", reason: "not-a-peer" };
  }
  hub.tally.gossipReceived++;
  const peer = peerOf(hub, message.from, now);
  hub.greetings.delete(message.from);
  if (message.boot < peer.boot) return { kind: "refused", reason: "not-a-peer" };
  const isNewBoot = message.boot > peer.boot;
  if (isNewBoot) restartPeer(peer, message.boot);
  peer.heardAt = now;
  peer.failures = 0;
  const { raised, amnesia } = mergeIncoming(hub, message.from, entries, now);
  hub.tally.rowsRaised += raised;
  const isComplete = notePart(peer, message) && basisOf(hub, message) <= peer.merged;
  if (isComplete && message.version > peer.merged) peer.merged = message.version;
  // The first word of a new boot may be an old one that came late: what it has of us is not told by it.
  const isAckKnown = !isNewBoot && message.ackBoot === hub.boot && message.ackVersion <= hub.version;
  peer.acked = isAckKnown ? message.ackVersion : 0;
  if (isComplete && message.digest !== null && message.digest !== digestOf(hub, message.from)) {
    peer.merged = 0;
  }
  meetRegions(hub, now);
  return { kind: "merged", raised, amnesia };
}

/** A region has answered that it is not in use. */
function noteAbsence(hub: Hub, region: string, now: number): void {
  const greeting = hub.greetings.get(region);
  if (greeting === undefined) return;
  greeting.unanswered = 0;
  greeting.askedAt = now;
}

/** Whether a peer still lacks something. */
export function owesPeer(hub: Hub, peer: Peer): boolean {
  return peer.acked < hub.version;
}

/** Whether a message has the shape of one; other versions of this Worker may send more fields. */
export function isMessage(message: unknown): message is GossipMessage {
  if (!isFields(message)) return false;
  const { from, boot, inUse, chunks, since, part, target, version, ackBoot, ackVersion, digest } = message;
  return (
    typeof from === "string" &&
    isRegion(from) &&
    isWhole(boot, 1, MAX_BOOT) &&
    typeof inUse === "boolean" &&
    Array.isArray(chunks) &&
    chunks.length <= MAX_CHUNKS &&
    chunks.every((chunk) => chunk instanceof Uint8Array) &&
    (since === undefined || isWhole(since, 0)) &&
    isWhole(part, 0) &&
    (target === undefined || isWhole(target, 0)) &&
    isWhole(version, 0) &&
    isWhole(ackBoot, 0) &&
    isWhole(ackVersion, 0) &&
    (digest === null || isWhole(digest, 0))
  );
}

/** The peer's store is another one, or has forgotten: it is asked for everything and told everything. */
function restartPeer(peer: Peer, boot: number): void {
  peer.boot = boot;
  peer.merged = 0;
  peer.acked = 0;
  peer.resume = null;
  peer.expectedPart = 0;
}

/**
 * What must be merged here for the delta to count. An older hub does not say; it sends what is younger than
 * our last acknowledgement, and that was this boot's if it knows of this boot.
 */
function basisOf(hub: Hub, { since, ackBoot }: GossipMessage): number {
  if (since !== undefined) return since;
  return ackBoot === hub.boot ? 0 : Number.POSITIVE_INFINITY;
}

/** Whether this message completes a delta of which every part has come; parts of others change nothing. */
function notePart(peer: Peer, { part, version, since = 0, target = 0 }: GossipMessage): boolean {
  const isOfSame = since === peer.expectedSince && target === peer.expectedTarget;
  if (part > 0 && !(isOfSame && part === peer.expectedPart)) return false;
  peer.expectedPart = version === 0 ? part + 1 : 0;
  peer.expectedSince = since;
  peer.expectedTarget = target;
  return version > 0;
}

function decodeChunks(chunks: readonly Uint8Array[]): NamedState<Replicated>[] | null {
  const entries: NamedState<Replicated>[] = [];
  for (const chunk of chunks) {
    const decoded = decodeStates(chunk);
    if (decoded.kind === "refused") return null;
    entries.push(...decoded.entries);
  }
  return entries;
}
