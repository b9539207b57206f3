// What a hub stores, as rows: one per state (its own encoding), one per session, and the two numbers of its
// identity. A commit is everything that has changed since the last one; it is written in one transaction.

import { decodeStates } from "../crdt/decode.ts";
import { encodeStates } from "../crdt/encode.ts";
import type { Replicated } from "../crdt/replicated.ts";
import type { Hub, StoredHub } from "./hub.ts";
import { KIND_OF_FAMILY, parseStateName } from "./names.ts";

export interface Commit {
  readonly boot: number;
  readonly durableEpoch: number;
  /** Whether the two numbers above have changed. */
  readonly meta: boolean;
  /** By name; null: the row goes. */
  readonly states: readonly (readonly [name: string, bytes: Uint8Array | null])[];
  readonly sessions: readonly (readonly [id: string, seq: number])[];
  readonly droppedSessions: readonly string[];
}

export interface StoredRows {
  readonly boot: number;
  readonly durableEpoch: number;
  readonly states: Iterable<readonly [name: string, bytes: Uint8Array]>;
  readonly sessions: Iterable<readonly [id: string, seq: number]>;
}

/** Whether an answer must wait for a commit. */
export function hasUnstored(hub: Hub): boolean {
  return hub.metaUnstored || hub.unstored.size > 0 || hub.unstoredSessions.size > 0;
}

/** Takes what must be stored; with `foreign`, what came from other regions as well. null: nothing. */
export function takeCommit(hub: Hub, foreign: boolean): Commit | null {
  const names = new Set(foreign ? [...hub.unstored, ...hub.unstoredForeign] : hub.unstored);
  const waiting = foreign && hub.unstoredForeign.size + hub.droppedSessions.size > 0;
  if (!hasUnstored(hub) && !waiting) return null;
  const commit: Commit = {
    boot: hub.boot,
    durableEpoch: hub.durableEpoch,
    meta: hub.metaUnstored,
    states: [...names].map((name) => [name, bytesOf(name, hub.states.get(name))] as const),
    sessions: [...hub.unstoredSessions].flatMap((id) => {
      const session = hub.sessions.get(id);
      if (session === undefined) return [];
      session.stored = session.seq;
      return [[id, session.seq] as const];
    }),
    droppedSessions: [...hub.droppedSessions],
  };
  for (const name of names) hub.unstoredForeign.delete(name);
  hub.unstored.clear();
  hub.unstoredSessions.clear();
  hub.droppedSessions.clear();
  hub.metaUnstored = false;
  return commit;
}

/** The stored hub from its rows. Rows that this version cannot read are left out, and left alone. */
export function readStoredHub(rows: StoredRows): StoredHub {
  const states = new Map<string, Replicated>();
  for (const [name, bytes] of rows.states) {
    const parsed = parseStateName(name);
    const decoded = decodeStates(bytes);
    if (parsed === null || decoded.kind !== "decoded" || decoded.entries.length !== 1) continue;
    const { state } = decoded.entries[0];
    if (state.kind === KIND_OF_FAMILY[parsed.family]) states.set(name, state);
  }
  return {
    boot: rows.boot,
    durableEpoch: rows.durableEpoch,
    states,
    sessions: new Map(rows.sessions),
  };
}

function bytesOf(name: string, state: Replicated | undefined): Uint8Array | null {
  if (state === undefined) return null;
  const encoded = encodeStates([{ name, state }]);
  if (encoded.kind === "refused") throw new Error(`cannot store ${name}: ${encoded.reason}`);
  return encoded.bytes;
}
