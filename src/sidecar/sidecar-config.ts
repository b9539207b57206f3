// The configuration of a sidecar process: a gateway's, in which everything may be left out. The service
// behind it is the upstream `app`, and without routes of its own everything that comes in goes there.

import { UPSTREAM_SUFFIX } from "../config/call-routes.ts";
import type { Plan } from "../config/plan.ts";

export const SIDECAR_NAME = "tidegate-sidecar";
/** The upstream behind the inbound side. */
export const APP_UPSTREAM = "app";

/** A file's content, or `{}` without one, with what a sidecar adds. `app`: the service's address, or null. */
export function sidecarConfig(written: unknown, app: string | null): unknown {
  if (!isObject(written)) return written;
  const upstreams = isObject(written.upstreams) ? withApp(written.upstreams, app) : (written.upstreams ?? {});
  const added = written.upstreams === undefined ? withApp({}, app) : upstreams;
  const { routes = [] } = written;
  return {
    name: SIDECAR_NAME,
    ...written,
    upstreams: added,
    routes: Array.isArray(routes) ? withRoute(routes, added, app) : routes,
  };
}

/** What a process cannot do that a Worker can, one line each. */
export function sidecarErrors(plan: Plan): string[] {
  const bound = plan.upstreams.flatMap(({ name, targets }) =>
    targets.flatMap(({ binding }, index) => {
      const path = `upstreams.${name}.targets[${index}].binding`;
      return binding === null ? [] : [`${path}: a process has no bindings, give a url (got "${binding}")`];
    }),
  );
  const counted = plan.limits
    .filter(({ consistency }) => consistency === "exact" || consistency === "capped")
    .map(({ name, consistency }) => {
      const rule = 'a sidecar keeps no ledger, use "local" or "global"';
      return `limits.${name}.consistency: ${rule} (got "${consistency}")`;
    });
  const queued = plan.queues.map(({ name }) => `queues.${name}: a sidecar keeps no queue, the gateway does`);
  const subscribed = plan.subscriptions.map(
    ({ name, terms }) =>
      `${terms.reaction === undefined ? "subscriptions" : "reactions"}.${name}: ` +
      "a sidecar delivers no events, the gateway does",
  );
  const undone = plan.sagas.map(({ name }) => `sagas.${name}: a sidecar runs no sagas, the gateway does`);
  const relayed = plan.relays.map(({ name }) => `relays.${name}: a sidecar relays no rows, the gateway does`);
  const published = plan.routes.flatMap(({ index, destination }) =>
    destination.kind === "event"
      ? [`routes[${index}].event: a sidecar publishes no events, the gateway does`]
      : [],
  );
  return [...bound, ...counted, ...queued, ...subscribed, ...undone, ...relayed, ...published];
}

function withApp(upstreams: Record<string, unknown>, app: string | null): Record<string, unknown> {
  if (app === null) return upstreams;
  const { [APP_UPSTREAM]: written = {}, ...others } = upstreams;
  return { [APP_UPSTREAM]: isObject(written) ? { ...written, targets: [app] } : written, ...others };
}

/** A file needs a route; where it has none for the network, the service behind the sidecar is one. */
function withRoute(routes: readonly unknown[], upstreams: unknown, app: string | null): readonly unknown[] {
  if (app !== null && routes.every(isForCalls)) {
    return [...routes, { name: APP_UPSTREAM, path: "/*", upstream: APP_UPSTREAM }];
  }
  const [first] = isObject(upstreams) ? Object.keys(upstreams) : [];
  if (routes.length > 0 || first === undefined) return routes;
  return [{ path: "/*", hosts: [`${first}${UPSTREAM_SUFFIX}`], upstream: first, encodedSlashes: true }];
}

function isForCalls(route: unknown): boolean {
  const hosts = isObject(route) ? route.hosts : undefined;
  if (!Array.isArray(hosts)) return false;
  return hosts.every((host) => typeof host === "string" && host.toLowerCase().endsWith(UPSTREAM_SUFFIX));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
