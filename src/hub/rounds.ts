// What a hub does on its own: the rounds of its alarm. Here is said what is to be sent, the object sends it.
//
//   every round        expire, then an exchange with each peer that lacks something or was not heard lately
//   a peer that does not answer is asked again after 1, 2, 4 .. 30 rounds
//   regions that were never heard of are looked for at the first use, and every 10 minutes
//   no rounds any more once nothing has changed for IDLE_MS and every peer that answers has everything

import type { Hub } from "./hub.ts";
import { owesPeer } from "./gossip.ts";
import { expireLimits } from "./limit-book.ts";
import { isInUse } from "./membership.ts";
import type { Peer } from "./peers.ts";
import { expireQuotas } from "./quota-book.ts";
import { expireSessions } from "./sessions.ts";

/** Rounds go on for so long after the last change or use. */
export const IDLE_MS = 20_000;
/** A peer that was not heard is asked at least this often while rounds go on. */
export const KEEPALIVE_ROUNDS = 2;
export const MAX_BACKOFF_ROUNDS = 30;
export const SEARCH_MS = 600_000;

export interface Round {
  /** Regions to exchange with. */
  readonly exchange: readonly string[];
  /** Regions that may or may not be in use, to be greeted. */
  readonly greet: readonly string[];
}

export interface RoundState {
  searchedAt: number;
}

/** Expires what is over and says whom to speak to. `universe`: every region there can be. */
export function beginRound(
  hub: Hub,
  state: RoundState,
  universe: readonly string[],
  roundMs: number,
  now: number,
): Round {
  expireSessions(hub, now);
  expireLimits(hub, now);
  expireQuotas(hub, now);
  if (!isInUse(hub)) return { exchange: [], greet: [] };
  const exchange = [...hub.peers.values()]
    .filter((peer) => isDue(hub, peer, roundMs, now))
    .map((peer) => peer.region);
  if (now - state.searchedAt < SEARCH_MS) return { exchange, greet: [] };
  state.searchedAt = now;
  const greet = universe.filter((region) => region !== hub.region && !hub.peers.has(region));
  return { exchange, greet };
}

/** Ms until the next round; null: none is needed until somebody calls. */
export function nextRoundMs(hub: Hub, roundMs: number, now: number): number | null {
  if (!isInUse(hub)) return null;
  const isActive = now - Math.max(hub.usedAt, hub.changedAt) < IDLE_MS;
  if (isActive) return roundMs;
  if (hub.unstoredForeign.size > 0 || hub.droppedSessions.size > 0) return roundMs;
  const owing = [...hub.peers.values()].filter((peer) => owesPeer(hub, peer));
  if (owing.length === 0) return null;
  return roundMs * Math.min(...owing.map(backoffRounds));
}

/** An exchange with this peer has failed. */
export function noteFailure(peer: Peer): void {
  peer.failures++;
  peer.resume = null;
}

function isDue(hub: Hub, peer: Peer, roundMs: number, now: number): boolean {
  // Rounds are not punctual: one that comes a little early must not skip its peer.
  const slackMs = roundMs / 4;
  if (now - peer.askedAt < roundMs * backoffRounds(peer) - slackMs) return false;
  return owesPeer(hub, peer) || now - peer.heardAt >= roundMs * KEEPALIVE_ROUNDS - slackMs;
}

function backoffRounds(peer: Peer): number {
  return peer.failures === 0 ? 1 : Math.min(MAX_BACKOFF_ROUNDS, 2 ** (peer.failures - 1));
}
