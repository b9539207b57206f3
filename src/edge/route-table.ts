// Which route a request takes: the first in the order written whose path, method, host and headers all
// match. Paths are matched by Hono's own routers, so patterns mean what they mean in Hono.

import { RegExpRouter } from "hono/router/reg-exp-router";
import { SmartRouter } from "hono/router/smart-router";
import { TrieRouter } from "hono/router/trie-router";
import type { RoutePlan } from "../config/plan.ts";
import { hostName } from "../http/hosts.ts";

const ANY_METHOD = "ALL";

export interface RouteTable {
  readonly routes: readonly RoutePlan[];
  readonly router: SmartRouter<number>;
}

/** Looks among `tried`, in this order; all of them are in `routes` at their index. */
export function createRouteTable(routes: readonly RoutePlan[], tried = routes): RouteTable {
  const router = new SmartRouter<number>({ routers: [new RegExpRouter(), new TrieRouter()] });
  for (const route of tried) router.add(ANY_METHOD, route.path, route.index);
  return { routes, router };
}

/** Finds the route for a matchable path; `host` is the request's `Host`, port and all. */
export function findRoute(
  table: RouteTable,
  path: string,
  method: string,
  host: string,
  headers: Headers,
): RoutePlan | null {
  for (const [index] of table.router.match(ANY_METHOD, path)[0]) {
    const route = table.routes[index];
    if (takesMethod(route, method) && takesHost(route, host) && takesHeaders(route, headers)) return route;
  }
  return null;
}

/** The methods of those routes that would have taken the request but for its method, sorted. */
export function allowedMethods(table: RouteTable, path: string, host: string, headers: Headers): string[] {
  const methods = new Set<string>();
  for (const [index] of table.router.match(ANY_METHOD, path)[0]) {
    const route = table.routes[index];
    if (route.methods === null || !takesHost(route, host) || !takesHeaders(route, headers)) continue;
    for (const method of route.methods) methods.add(method);
  }
  return [...methods].toSorted();
}

function takesMethod(route: RoutePlan, method: string): boolean {
  return route.methods === null || route.methods.has(method);
}

function takesHost(route: RoutePlan, host: string): boolean {
  return route.hosts === null || route.hosts.has(hostName(host));
}

function takesHeaders(route: RoutePlan, headers: Headers): boolean {
  if (route.headers === null) return true;
  return route.headers.every(([name, value]) => headers.get(name) === value);
}
