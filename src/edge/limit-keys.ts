// What a limit or a usage counter counts apart, as a text that means the same in every isolate and region:
// a consumer's, tenant's or route's name, an address, a header's value. Names are letters first, and an
// address holds a dot or a colon, so a consumer and an address never share a count.

import type { LimitKey } from "../config/plan.ts";
import { addressUser } from "../http/client-address.ts";
import { MAX_KEY_CHARS } from "../hub/protocol.ts";
import { NOBODY } from "./api-keys.ts";
import { consumerAt } from "./engine.ts";
import type { Exchange } from "./exchange.ts";

/** Who is counted when neither consumer nor address is known. */
export const UNKNOWN_CALLER = "(unknown)";

/** Header values that key a limit are told apart by this many characters. */
export const MAX_HEADER_KEY_CHARS = 128;

/** What a request is counted under; by tenant, one without a tenant counts as its caller does. */
export function keyOf(x: Exchange, key: LimitKey): string {
  switch (key.kind) {
    case "route":
      return x.route?.name.slice(0, MAX_KEY_CHARS) ?? UNKNOWN_CALLER;
    case "tenant":
      return x.tenant >= 0 ? x.engine.plan.tenants[x.tenant].name : callerKey(x);
    case "consumer":
      return callerKey(x);
    case "ip":
      return addressKey(x);
    case "header":
      return (
        x.request.headers.get(key.header)?.slice(0, MAX_HEADER_KEY_CHARS).toWellFormed() || addressKey(x)
      );
  }
}

function callerKey(x: Exchange): string {
  return x.consumer === NOBODY ? addressKey(x) : (consumerAt(x.engine, x.consumer)?.name ?? UNKNOWN_CALLER);
}

function addressKey(x: Exchange): string {
  return (x.inbound.clientAddress === null ? "" : addressUser(x.inbound.clientAddress)) || UNKNOWN_CALLER;
}
