// Hosts that stand for upstreams, `payments.upstream`: a service says them to its sidecar. Routes of such
// hosts alone are for those calls; nobody on the network reaches them by writing the host. Every upstream has
// one behind those that are written.

import type { Plan, RoutePlan } from "./plan.ts";

export const UPSTREAM_SUFFIX = ".upstream";

/** What a call may take and send where no route says more: the defaults of routes. */
const DEADLINE_MS = 30_000;
const BODY_LIMIT_BYTES = 100 * 1024 * 1024;

/** Whether a route is for calls of services through a sidecar, and not for the network. */
export function isCallRoute({ hosts }: Pick<RoutePlan, "hosts">): boolean {
  return hosts !== null && [...hosts].every((host) => host.endsWith(UPSTREAM_SUFFIX));
}

/** The host that calls of an upstream say. */
export function callHost({ name }: { readonly name: string }): string {
  return `${name.toLowerCase()}${UPSTREAM_SUFFIX}`;
}

/** A route for each upstream; the first one has the index `first`. */
export function callRoutes({ upstreams }: Pick<Plan, "upstreams">, first: number): RoutePlan[] {
  return upstreams.map((upstream) => ({
    index: first + upstream.index,
    name: callHost(upstream),
    path: "/*",
    methods: null,
    hosts: new Set([callHost(upstream)]),
    headers: null,
    destination: { kind: "upstream", upstream: upstream.index },
    priority: 1,
    auth: null,
    limits: [],
    count: [],
    deadlineMs: DEADLINE_MS,
    bodyLimitBytes: BODY_LIMIT_BYTES,
    concurrency: null,
    encodedSlashes: true,
    rewrite: null,
    requestHeaders: { set: [], remove: [] },
    responseHeaders: { set: [], remove: [] },
    fallback: null,
  }));
}
