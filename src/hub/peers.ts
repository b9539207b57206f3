// What a hub knows of the hubs of other regions. They are met by hearing from them or of them; how much of
// each other's state two hubs have is a matter of two version numbers, each counted by its own side.

import type { Hub } from "./hub.ts";

/** A peer heard from within this time is fresh: its numbers are as good as they get. */
export const PEER_FRESH_MS = 5_000;
/** Peers that answer within this time can be heard while a request waits for a lease. */
export const NEAR_MS = 12;
/** A peer that has been silent for so long no longer keeps a share of limits for itself. */
export const PEER_GONE_MS = 3_600_000;

export interface Peer {
  readonly region: string;
  /** The peer's boot, 0 while it is unknown: its versions mean something within it alone. */
  boot: number;
  /** The peer's version up to which everything is merged here. */
  merged: number;
  /** Our version up to which the peer has merged everything, in our boot. */
  acked: number;
  /** Where a delta that is too large for one message goes on, and the version that it will reach. */
  resume: {
    readonly after: string;
    readonly part: number;
    readonly version: number;
    readonly since: number;
  } | null;
  /** The part that must come next for a delta of the peer to be whole, and which delta that is. */
  expectedPart: number;
  expectedSince: number;
  expectedTarget: number;
  /** When it became known here, and when an exchange with it last succeeded: not before it did. */
  readonly metAt: number;
  heardAt: number;
  askedAt: number;
  /** How long an exchange takes, about; 0: it is not known yet. */
  tripMs: number;
  failures: number;
  digestAt: number;
}

/** The peer of a region, made known if it was not; `now`: when that is, as late as the boot by itself. */
export function peerOf(hub: Hub, region: string, now = hub.bootedAt): Peer {
  const known = hub.peers.get(region);
  if (known !== undefined) return known;
  const peer: Peer = {
    region,
    boot: 0,
    merged: 0,
    acked: 0,
    resume: null,
    expectedPart: 0,
    expectedSince: 0,
    expectedTarget: 0,
    metAt: now,
    heardAt: Number.NEGATIVE_INFINITY,
    askedAt: Number.NEGATIVE_INFINITY,
    tripMs: 0,
    failures: 0,
    digestAt: Number.NEGATIVE_INFINITY,
  };
  hub.peers.set(region, peer);
  return peer;
}

/** Notes how long an exchange took: one that was slow alone does not make a peer a distant one. */
export function noteTrip(peer: Peer, ms: number): void {
  peer.tripMs = peer.tripMs === 0 ? ms : Math.min(ms, 2 * peer.tripMs);
}

/** Whether there are other regions, and all that answer do so within NEAR_MS. */
export function arePeersNear(hub: Hub, now: number): boolean {
  const peers = [...hub.peers.values()].filter((peer) => peer.failures === 0 && !isGone(peer, now));
  return peers.length > 0 && peers.every(({ tripMs }) => tripMs <= NEAR_MS);
}

/** Whether a peer's numbers are recent. */
export function isFresh(peer: Peer, now: number): boolean {
  return now - peer.heardAt < PEER_FRESH_MS;
}

/** Whether a peer has not been heard since it became known in this boot. */
export function isUnheard(peer: Peer): boolean {
  return peer.heardAt === Number.NEGATIVE_INFINITY;
}

/** Whether a peer has been silent because there was nothing to say: it answers when it is asked. */
export function isIdle(peer: Peer, now: number): boolean {
  return !isFresh(peer, now) && peer.failures === 0 && !isGone(peer, now);
}

/** Whether a peer has been silent for too long. One that was never heard is silent since it became known. */
export function isGone(peer: Peer, now: number): boolean {
  return now - Math.max(peer.heardAt, peer.metAt) > PEER_GONE_MS;
}

/** Our version that every fresh peer has; our own version when there is none. */
export function versionHeardByAll(hub: Hub, now: number): number {
  let version = hub.version;
  for (const peer of hub.peers.values()) {
    if (isFresh(peer, now) && peer.acked < version) version = peer.acked;
  }
  return version;
}
