// Calls of services by the host `<upstream>.upstream`, which only a sidecar takes: a Worker through its
// binding, a process for the service beside it. One engine, seen from two sides.

import { isCallRoute } from "../config/call-routes.ts";
import { allRoutes } from "../config/plan.ts";
import type { Engine } from "./engine.ts";
import { createKeyRing } from "./api-keys.ts";
import { createRouteTable } from "./route-table.ts";

/** A request may pass several sidecars of one name; so many of them are a loop. */
export const MAX_SIDECAR_VISITS = 16;

/** The engine as the network sees it. */
export function inboundOf(engine: Engine): Engine {
  const { plan } = engine;
  const routes = plan.routes.filter((route) => !isCallRoute(route));
  return { ...engine, routes: createRouteTable(allRoutes(plan), routes) };
}

/** The engine as a service sees it that calls its upstreams: the same upstreams, and nobody needs a key. */
export function outboundOf(engine: Engine): Engine {
  const all = allRoutes(engine.plan);
  return {
    ...engine,
    routes: createRouteTable(all, all.filter(isCallRoute)),
    keys: createKeyRing(new Map()),
    visitsOfLoop: MAX_SIDECAR_VISITS,
  };
}
