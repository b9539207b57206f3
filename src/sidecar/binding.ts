// What is known of a Worker that calls through a service binding: the binding's own `props`, which stand in
// the caller's wrangler.toml and which no request can change.
//
//   [[services]]
//   binding = "SIDECAR"
//   service = "tidegate"
//   entrypoint = "Sidecar"
//   props = { class = "P2" }

import { classOfName } from "../edge/class-names.ts";
import type { Caller } from "../edge/shell.ts";

/** `props.class` is the best class that calls of this binding have; without one their routes decide. */
export function callerOfBinding(request: Request, props: unknown): Caller {
  const name = typeof props === "object" && props !== null && "class" in props ? props.class : undefined;
  const named = typeof name === "string" ? classOfName(name) : null;
  if (name !== undefined && named === null) {
    throw new Error(`props.class of the binding must be P0, P1, P2 or P3, not ${JSON.stringify(name)}`);
  }
  // A `host` field is that of the request which the caller has copied, or there is none.
  const { host } = new URL(request.url);
  return { address: null, host, leastClass: named ?? 0, mayNameClass: true };
}
