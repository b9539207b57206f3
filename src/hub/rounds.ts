// When a hub does what on its own: the round of its alarm. Pure: it says what is to be sent, and the object
// sends it.
//
//   every round        expire, then an exchange with each peer that lacks something or was not heard lately
//   a peer that does not answer is asked again after 1, 1, 1, 2, 4 .. 30 rounds
//   regions that are no peers are greeted at the first use and every 10 minutes; one that does not answer,
//   again as late: it may be in use and know as little of us
//   no rounds any more once nothing has changed for IDLE_MS and every peer has everything

import type { Hub } from "./hub.ts";
import { owesPeer } from "./gossip.ts";
import { expireLimits } from "./limit-book.ts";
import { isInUse } from "./membership.ts";
import type { Peer } from "./peers.ts";
import { expireQuotas } from "./quota-book.ts";
import { expireBulkheads } from "./bulkhead-book.ts";
import { expireUpstreams } from "./upstream-book.ts";
import { expireSessions } from "./sessions.ts";

/** Rounds go on for so long after the last change or use. */
export const IDLE_MS = 20_000;
/** A peer that was not heard is asked at least this often while rounds go on. */
export const KEEPALIVE_ROUNDS = 2;
export const MAX_BACKOFF_ROUNDS = 30;
/** Failures in a row that may be mere loss: the peer is asked again with the next round. */
const PATIENT_ROUNDS = 3;
export const SEARCH_MS = 600_000;

export interface Round {
  /** Regions to exchange with. */
  readonly exchange: readonly string[];
  /** Regions that may or may not be in use, to be greeted. */
  readonly greet: readonly string[];
}

/** Expires what is over and says whom to speak to. `universe`: every region there can be. */
export function beginRound(hub: Hub, universe: readonly string[], roundMs: number, now: number): Round {
  expireSessions(hub, now);
  expireLimits(hub, now);
  expireQuotas(hub, now);
  expireUpstreams(hub, now);
  expireBulkheads(hub, now);
  if (!isInUse(hub)) return { exchange: [], greet: [] };
  const due = [...hub.peers.values()].filter((peer) => isDue(hub, peer, roundMs, now));
  for (const peer of due) peer.askedAt = now;
  const greet = universe.filter((region) => isToGreet(hub, region, roundMs, now));
  for (const region of greet) {
    hub.greetings.set(region, { askedAt: now, unanswered: unansweredBy(hub, region) + 1 });
  }
  hub.hasGreeted = true;
  return { exchange: due.map((peer) => peer.region), greet };
}

function isToGreet(hub: Hub, region: string, roundMs: number, now: number): boolean {
  if (region === hub.region || hub.peers.has(region)) return false;
  const greeting = hub.greetings.get(region);
  if (greeting === undefined) return true;
  const waitMs = greeting.unanswered === 0 ? SEARCH_MS : roundMs * roundsAfter(greeting.unanswered);
  return now - greeting.askedAt >= waitMs - roundMs / 4;
}

function unansweredBy(hub: Hub, region: string): number {
  return hub.greetings.get(region)?.unanswered ?? 0;
}

/** Ms until the next round; null: none is needed until somebody calls. */
export function nextRoundMs(hub: Hub, roundMs: number, now: number): number | null {
  if (!isInUse(hub)) return null;
  const isActive = now - Math.max(hub.usedAt, hub.changedAt) < IDLE_MS;
  if (isActive) return roundMs;
  if (hub.unstoredForeign.size > 0 || hub.droppedSessions.size > 0) return roundMs;
  const waits = [...hub.peers.values()].filter((peer) => owesPeer(hub, peer)).map(backoffRounds);
  for (const { unanswered } of hub.greetings.values()) {
    if (unanswered > 0) waits.push(roundsAfter(unanswered));
  }
  return waits.length === 0 ? null : roundMs * Math.min(...waits);
}

/** Speaks to everybody again without the pauses that failures have earned, whom it never met among them. */
export function forgetFailures(hub: Hub): void {
  for (const peer of hub.peers.values()) peer.failures = 0;
  hub.greetings.clear();
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
  return peer.failures === 0 ? 1 : roundsAfter(peer.failures);
}

function roundsAfter(failures: number): number {
  return Math.min(MAX_BACKOFF_ROUNDS, 2 ** Math.max(0, failures - PATIENT_ROUNDS));
}
