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
import { encodeStates } from "../crdt/encode.ts";
import type { Replicated } from "../crdt/replicated.ts";
import { countRows, stateSince, stateVersion } from "../crdt/replicated.ts";
import { MINT } from "../crdt/bounded-counter.ts";
import { isRegion, regionOf } from "../crdt/slot-id.ts";
import type { NamedState } from "../crdt/wire-format.ts";
import { digestOf } from "./digest.ts";
import type { Hub } from "./hub.ts";
import { mergeIncoming } from "./incoming.ts";
import { isInUse, meetRegions } from "./membership.ts";
import { isShared } from "./names.ts";
import type { Peer } from "./peers.ts";
import { peerOf } from "./peers.ts";

/** Rows in one chunk, and chunks in one message. */
export const MAX_CHUNK_ROWS = 2_000;
export const MAX_CHUNKS = 16;
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
  /** The sender's version that the delta builds on; 0: on nothing. */
  readonly since: number;
  /** Which part of a delta this is, from 0. */
  readonly part: number;
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
  const { chunks, part, version } = composeDelta(hub, peer);
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
  const peer = peerOf(hub, message.from);
  hub.greetings.delete(message.from);
  if (message.boot < peer.boot) return { kind: "refused", reason: "not-a-peer" };
  if (message.boot > peer.boot) restartPeer(peer, message.boot);
  peer.heardAt = now;
  peer.failures = 0;
  const { raised, amnesia } = mergeIncoming(hub, message.from, entries, now);
  hub.tally.rowsRaised += raised;
  const isWhole = notePart(peer, message) && message.since <= peer.merged;
  if (isWhole && message.version > peer.merged) peer.merged = message.version;
  if (message.ackBoot === hub.boot && message.ackVersion <= hub.version) peer.acked = message.ackVersion;
  else peer.acked = 0;
  if (isWhole && message.digest !== null && message.digest !== digestOf(hub, message.from)) {
    peer.merged = 0;
  }
  meetRegions(hub);
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
  if (typeof message !== "object" || message === null) return false;
  const fields: Record<string, unknown> = { ...message };
  const { from, boot, inUse, chunks, since, part, version, ackBoot, ackVersion, digest } = fields;
  return (
    typeof from === "string" &&
    isRegion(from) &&
    isCount(boot) &&
    boot >= 1 &&
    boot <= MAX_BOOT &&
    typeof inUse === "boolean" &&
    Array.isArray(chunks) &&
    chunks.length <= MAX_CHUNKS &&
    chunks.every((chunk) => chunk instanceof Uint8Array) &&
    isCount(since) &&
    isCount(part) &&
    isCount(version) &&
    isCount(ackBoot) &&
    isCount(ackVersion) &&
    (digest === null || isCount(digest))
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

/** Whether this message completes a delta of which every part has come. */
function notePart(peer: Peer, { part, version }: GossipMessage): boolean {
  const follows = part === 0 || part === peer.expectedPart;
  peer.expectedPart = follows && version === 0 ? part + 1 : 0;
  return follows && version > 0;
}

interface Delta {
  readonly chunks: Uint8Array[];
  readonly part: number;
  /** 0: there is more. */
  readonly version: number;
}

/** What the peer lacks of our region, in the order of names so that it can go on where it ended. */
function composeDelta(hub: Hub, peer: Peer): Delta {
  const resume = peer.resume?.since === peer.acked ? peer.resume : null;
  const since = peer.acked;
  const target = resume?.version ?? hub.version;
  const part = resume?.part ?? 0;
  if (since >= hub.version) return { chunks: [], part: 0, version: hub.version };
  const changed = [...hub.states]
    .filter(([name, state]) => isShared(name) && stateVersion(state) > since)
    .map(([name]) => name)
    .filter((name) => resume === null || name > resume.after)
    .toSorted();
  const chunks: Uint8Array[] = [];
  let entries: NamedState<Replicated>[] = [];
  let rows = 0;
  let last = "";
  const keep = since === 0 ? writtenHereOrThere(hub.region, peer.region) : writtenHere(hub.region);
  for (const name of changed) {
    const state = hub.states.get(name);
    if (state === undefined) continue;
    const delta = stateSince(state, since, keep);
    const size = countRows(delta);
    if (size === 0) continue;
    if (rows + size > MAX_CHUNK_ROWS && entries.length > 0) {
      chunks.push(encode(entries));
      entries = [];
      rows = 0;
      if (chunks.length >= MAX_CHUNKS) {
        peer.resume = { after: last, part: part + 1, version: target, since };
        return { chunks, part, version: 0 };
      }
    }
    entries.push({ name, state: delta });
    rows += size;
    last = name;
  }
  if (entries.length > 0) chunks.push(encode(entries));
  peer.resume = null;
  return { chunks, part, version: target };
}

function writtenHere(region: string): (writer: string) => boolean {
  return (writer) => writer === MINT || regionOf(writer) === region;
}

/** A peer of which it is unknown what it has, also gets what is known of itself. */
function writtenHereOrThere(here: string, there: string): (writer: string) => boolean {
  return (writer) => {
    const region = regionOf(writer);
    return writer === MINT || region === here || region === there;
  };
}

function encode(entries: readonly NamedState<Replicated>[]): Uint8Array {
  const encoded = encodeStates(entries);
  if (encoded.kind === "refused") throw new Error(`cannot encode a delta: ${encoded.reason}`);
  return encoded.bytes;
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

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
