// Answers to isolates whose requests wait, held back for as long as what they wait for may come in time: a
// ledger's rights, or the word of other regions about the last units of a limit. Nothing is asked for here.

import type { Hub } from "../hub/hub.ts";
import type { SyncReply, SyncRequest } from "../hub/protocol.ts";
import { HOLD_MS, leaseAfterWord, leaseAgain, waitsForRights, waitsForWord } from "../hub/sync.ts";
import type { HubPeers } from "./hub-peers.ts";

/** Answers of peers that one ask waits for: to what was claimed before it, and to its bid. */
const MAX_WORDS = 6;

/** Does something with the hub, and comes back when it is stored. */
type Serve = (act: (hub: Hub, now: number) => SyncReply) => Promise<SyncReply>;

/** The answer to a sync, after what it waits for or HOLD_MS. */
export async function holdAnswer(
  hub: Hub,
  peers: HubPeers,
  request: SyncRequest,
  first: SyncReply,
  serve: Serve,
): Promise<SyncReply> {
  const endsAt = Date.now() + HOLD_MS;
  let reply = first;
  if (waitsForRights(hub, request, reply, Date.now())) {
    await peers.refilled(HOLD_MS);
    reply = await serve((_hub, now) => leaseAgain(hub, request, first, now));
  }
  for (let word = 0; word < MAX_WORDS && waitsForWord(hub, request, reply, Date.now()); word++) {
    const leftMs = endsAt - Date.now();
    if (leftMs <= 0) break;
    await peers.heard(leftMs);
    const before = reply;
    reply = await serve((_hub, now) => leaseAfterWord(hub, request, before, false, now));
  }
  if (!waitsForWord(hub, request, reply, Date.now())) return reply;
  const last = reply;
  return await serve((_hub, now) => leaseAfterWord(hub, request, last, true, now));
}
