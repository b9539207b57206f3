// Places at which a simulated world can be given a fault on purpose: a simulator that does not notice them
// would prove nothing. The code under test stays as it is; a flaw wraps a call of it.

import type { GossipMessage } from "../../../src/hub/gossip.ts";
import type { Hub, StoredHub } from "../../../src/hub/hub.ts";
import type { SyncReply, SyncRequest } from "../../../src/hub/protocol.ts";

export interface Flaws {
  /** What a new instance reads from its storage. */
  readonly stored?: (stored: StoredHub) => StoredHub;
  /** A hub that has just booted. */
  readonly booted?: (hub: Hub) => Hub;
  readonly sync?: (hub: Hub, request: SyncRequest, serve: (request: SyncRequest) => SyncReply) => SyncReply;
  /** A message of a peer before it is taken in. */
  readonly received?: (hub: Hub, message: GossipMessage) => GossipMessage;
  /** After each round. */
  readonly round?: (hub: Hub, now: number) => void;
  /** Answers leave before what they acknowledge is stored. */
  readonly answersEarly?: boolean;
}
