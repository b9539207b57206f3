// Frozen batches, applied once: a session is one isolate, its batches are numbered from 1 and sent one at a
// time, each again byte for byte until it is acknowledged.
//
//   seq > last     apply, then last = seq
//   seq <= last    acknowledge, nothing else
//
// Numbers may be skipped here: a batch without anything that must be stored is remembered in memory alone,
// so a restart may make the last one small again. What was applied to class D is stored together with its
// number, so it can be neither lost nor counted twice; class E may count one batch twice after a restart.
// A session's first contact is stored too: one that is unknown and not new has been forgotten.

import type { Hub } from "./hub.ts";
import { MAX_SESSION_CHARS } from "./protocol.ts";

/** A session that is silent for so long is forgotten. An isolate starts another one before. */
export const SESSION_IDLE_MS = 15 * 60_000;
/** An isolate whose last acknowledgement is older starts a new session, if it has no frozen batch. */
export const SESSION_RENEW_MS = 10 * 60_000;
/** Isolates count as present for this long after their last word. */
export const SESSION_PRESENT_MS = 15_000;
/** Every answer says how many isolates there are; they are counted anew at most this often. */
const RECOUNT_MS = 100;
/** After a boot, isolates with traffic have spoken again within this time. */
const SESSION_RETURN_MS = 3_000;
/** Sessions that one hub remembers at most. */
export const MAX_SESSIONS = 20_000;

const SESSION = /^[A-Za-z0-9_-]+$/;

export interface Session {
  /** The last batch that is applied. */
  seq: number;
  seenAt: number;
  /** The number that storage has, or -1. */
  stored: number;
}

export type SessionVerdict = "apply" | "duplicate" | "unknown-session" | "full";

export function isSession(text: unknown): text is string {
  return typeof text === "string" && text.length <= MAX_SESSION_CHARS && SESSION.test(text);
}

/** What is to be done with batch `seq` of a session. */
export function judgeBatch(hub: Hub, id: string, seq: number): SessionVerdict {
  const session = hub.sessions.get(id);
  if (session === undefined) {
    if (seq !== 1) return "unknown-session";
    return hub.sessions.size >= MAX_SESSIONS ? "full" : "apply";
  }
  return seq > session.seq ? "apply" : "duplicate";
}

/** Remembers that batch `seq` is applied; `durable` when it changed something that must be stored. */
export function noteBatch(hub: Hub, id: string, seq: number, durable: boolean, now: number): void {
  const known = hub.sessions.get(id);
  const session = known ?? { seq, seenAt: now, stored: -1 };
  session.seq = seq;
  if (known === undefined) hub.sessions.set(id, session);
  hub.droppedSessions.delete(id);
  if (durable || session.stored < 0) hub.unstoredSessions.add(id);
}

/** Notes that an isolate is there, whether it reports or only asks: its session is not forgotten. */
export function notePresence(hub: Hub, id: string, now: number): void {
  const session = hub.sessions.get(id);
  if (session !== undefined) session.seenAt = now;
  const isNew = !hub.present.has(id);
  if (isNew && hub.present.size >= MAX_SESSIONS) return;
  hub.present.set(id, now);
  // One that has just come counts at once: what isolates may use without asking is shared by their number.
  if (isNew) hub.presence = { ...hub.presence, countedAt: Number.NEGATIVE_INFINITY };
}

/** Isolates that have spoken lately, as of a moment ago. */
export function countPresent(hub: Hub, now: number): number {
  const { presence } = hub;
  if (Math.abs(now - presence.countedAt) < RECOUNT_MS) return presence.isolates;
  let isolates = 0;
  for (const at of hub.present.values()) if (now - at < SESSION_PRESENT_MS) isolates++;
  hub.presence = { isolates, countedAt: now };
  return isolates;
}

/** The same, with those that spoke before a boot, for as long as they need to speak again. */
export function countIsolates(hub: Hub, now: number): number {
  const remembered = now - hub.bootedAt < SESSION_RETURN_MS ? hub.sessions.size : 0;
  return Math.max(countPresent(hub, now), remembered);
}

/** Forgets sessions that have been silent for too long, and no sooner than this after a boot. */
export function expireSessions(hub: Hub, now: number): void {
  for (const [id, at] of hub.present) if (now - at >= SESSION_PRESENT_MS) hub.present.delete(id);
  for (const [id, session] of hub.sessions) {
    if (now - session.seenAt < SESSION_IDLE_MS) continue;
    hub.sessions.delete(id);
    hub.unstoredSessions.delete(id);
    hub.droppedSessions.add(id);
  }
}
