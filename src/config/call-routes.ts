// Hosts that stand for upstreams, `payments.upstream`: a service says them to its sidecar. Routes of such hosts
// alone are for those calls; nobody on the network reaches them by writing the host.

import type { RoutePlan } from "./plan.ts";

export const UPSTREAM_SUFFIX = ".upstream";

/** Whether a route is for calls of services through a sidecar, and not for the network. */
export function isCallRoute({ hosts }: Pick<RoutePlan, "hosts">): boolean {
  return hosts !== null && [...hosts].every((host) => host.endsWith(UPSTREAM_SUFFIX));
}
