// Stands in for relays in a Worker whose configuration has none: the object exists, because wrangler.toml
// names its class, and does nothing. What speaks to Postgres is not uploaded.

import { DurableObject } from "cloudflare:workers";
import { NEW_TALLY, describeTally, type RelayDescription } from "../core/relay-tally.ts";
import type { RelayGateway } from "./relay-object.ts";
import type { RelayCalls } from "./relays.ts";

/** The class that Cloudflare instantiates. */
export function createRelayObject(_gateway: RelayGateway) {
  return class Relay extends DurableObject implements RelayCalls {
    async wake(): Promise<void> {}

    async describe(): Promise<RelayDescription> {
      return describeTally(NEW_TALLY, Date.now());
    }

    /** Of an earlier version that had a relay: it is not set again. */
    override async alarm(): Promise<void> {}
  };
}
