// Calls of services by the host `<upstream>.upstream`, which only a sidecar takes: a Worker through its
// binding, a process for the service beside it. Routes whose host ends that way are for such calls alone, so
// that nobody on the network reaches them by writing that host; every upstream has one without asking.

import { UPSTREAM_SUFFIX, isCallRoute } from "../config/call-routes.ts";
import type { Plan, RoutePlan } from "../config/plan.ts";
import type { Engine } from "./engine.ts";
import { createKeyRing } from "./api-keys.ts";
import { createRouteTable } from "./route-table.ts";

/** A request may pass several sidecars of one name; so many of them are a loop. */
export const MAX_SIDECAR_VISITS = 16;

/** What a call may take and send where no route says more: the defaults of routes. */
const DEFAULT_DEADLINE_MS = 30_000;
const DEFAULT_BODY_LIMIT_BYTES = 100 * 1024 * 1024;

/** The Plan with a route for each upstream behind those that are written. */
export function withUpstreamRoutes(plan: Plan): Plan {
  const added = plan.upstreams.map(({ name, index }) =>
    upstreamRoute(name, index, plan.routes.length + index),
  );
  return { ...plan, routes: [...plan.routes, ...added] };
}

/** The engine as the network sees it. */
export function inboundOf(engine: Engine): Engine {
  const routes = engine.plan.routes.filter((route) => !isCallRoute(route));
  return { ...engine, routes: createRouteTable(engine.plan.routes, routes) };
}

/** The engine as a service sees it that calls its upstreams: the same upstreams, and nobody needs a key. */
export function outboundOf(engine: Engine): Engine {
  const routes = engine.plan.routes.filter(isCallRoute);
  return {
    ...engine,
    routes: createRouteTable(engine.plan.routes, routes),
    keys: createKeyRing(new Map()),
    visitsOfLoop: MAX_SIDECAR_VISITS,
  };
}

function upstreamRoute(name: string, upstream: number, index: number): RoutePlan {
  const host = `${name.toLowerCase()}${UPSTREAM_SUFFIX}`;
  return {
    index,
    name: host,
    path: "/*",
    methods: null,
    hosts: new Set([host]),
    headers: null,
    upstream,
    priority: 1,
    auth: null,
    limits: [],
    count: [],
    deadlineMs: DEFAULT_DEADLINE_MS,
    bodyLimitBytes: DEFAULT_BODY_LIMIT_BYTES,
    concurrency: null,
    encodedSlashes: true,
    rewrite: null,
    requestHeaders: { set: [], remove: [] },
    responseHeaders: { set: [], remove: [] },
    fallback: null,
  };
}
