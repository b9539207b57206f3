// What a peer lacks of our region, as the chunks of one message: states in the order of their names, so that
// a delta too large for one message goes on where it ended. A chunk that passes a bound of the wire is halved
// until it fits; a single state that never does is left out and counted, and keeps nothing else from going.

import { MINT } from "../crdt/bounded-counter.ts";
import { encodeStates } from "../crdt/encode.ts";
import type { Replicated } from "../crdt/replicated.ts";
import { countRows, stateSince, stateVersion } from "../crdt/replicated.ts";
import type { WriterFilter } from "../crdt/slot-id.ts";
import { regionOf } from "../crdt/slot-id.ts";
import type { NamedState } from "../crdt/wire-format.ts";
import type { Hub } from "./hub.ts";
import { isShared } from "./names.ts";
import type { Peer } from "./peers.ts";

/** Rows in one chunk, and chunks in one message: at most 16 MiB, where a call may carry 32. */
export const MAX_CHUNK_ROWS = 2_000;
export const MAX_CHUNKS = 16;

export interface Delta {
  readonly chunks: readonly Uint8Array[];
  readonly part: number;
  /** The version that this part completes; 0: there is more. */
  readonly version: number;
  /** The version that the last part completes. */
  readonly target: number;
}

/** A chunk, and the name of the last state that it carries; no bytes: a state that cannot be sent. */
interface Piece {
  readonly bytes: Uint8Array | null;
  readonly last: string;
}

/** The next part of what the peer lacks; notes where the one after it goes on. */
export function composeDelta(hub: Hub, peer: Peer): Delta {
  const since = peer.acked;
  if (since >= hub.version) return { chunks: [], part: 0, version: hub.version, target: hub.version };
  const resume = peer.resume?.since === since ? peer.resume : null;
  const target = resume?.version ?? hub.version;
  const part = resume?.part ?? 0;
  const chunks: Uint8Array[] = [];
  let after = resume?.after ?? "";
  for (const { bytes, last } of piecesOf(hub, peer, after)) {
    if (bytes === null) hub.tally.unsendable++;
    else if (chunks.length < MAX_CHUNKS) chunks.push(bytes);
    else {
      peer.resume = { after, part: part + 1, version: target, since };
      return { chunks, part, version: 0, target };
    }
    after = last;
  }
  peer.resume = null;
  return { chunks, part, version: target, target };
}

function* piecesOf(hub: Hub, peer: Peer, after: string): Generator<Piece> {
  const since = peer.acked;
  const keep = since === 0 ? writtenHereOrThere(hub.region, peer.region) : writtenHere(hub.region);
  const changed = [...hub.states]
    .filter(([name, state]) => name > after && isShared(name) && stateVersion(state) > since)
    .toSorted(([left], [right]) => (left < right ? -1 : 1));
  let entries: NamedState<Replicated>[] = [];
  let rows = 0;
  for (const [name, whole] of changed) {
    const state = stateSince(whole, since, keep);
    const size = countRows(state);
    if (size === 0) continue;
    if (rows + size > MAX_CHUNK_ROWS && entries.length > 0) {
      yield* encodePieces(entries);
      entries = [];
      rows = 0;
    }
    entries.push({ name, state });
    rows += size;
  }
  if (entries.length > 0) yield* encodePieces(entries);
}

function* encodePieces(entries: readonly NamedState<Replicated>[]): Generator<Piece> {
  const last = entries[entries.length - 1].name;
  const encoded = encodeStates(entries);
  if (encoded.kind === "encoded") yield { bytes: encoded.bytes, last };
  else if (entries.length === 1) yield { bytes: null, last };
  else {
    const half = Math.ceil(entries.length / 2);
    yield* encodePieces(entries.slice(0, half));
    yield* encodePieces(entries.slice(half));
  }
}

function writtenHere(region: string): WriterFilter {
  return (writer) => writer === MINT || regionOf(writer) === region;
}

/** A peer of which it is unknown what it has, also gets what is known of itself. */
function writtenHereOrThere(here: string, there: string): WriterFilter {
  return (writer) => {
    const region = regionOf(writer);
    return writer === MINT || region === here || region === there;
  };
}
