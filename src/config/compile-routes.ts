// Routes of a parsed configuration become routes of the Plan.

import { compileRewrite } from "./path-rewrite.ts";
import type { Destination, HeaderEdit, PathRewrite, Plan, RoutePlan } from "./plan.ts";
import type { HeaderEditParsed, RouteParsed } from "./schema-routes.ts";
import type { ParsedConfig } from "./schema.ts";

interface Named {
  readonly index: number;
  readonly name: string;
}

/** Index of each name that a route may refer to. */
interface RouteReferences {
  readonly upstreams: ReadonlyMap<string, number>;
  readonly queues: ReadonlyMap<string, number>;
  readonly sagas: ReadonlyMap<string, number>;
  readonly consumers: ReadonlyMap<string, number>;
  readonly limits: ReadonlyMap<string, number>;
  readonly counters: ReadonlyMap<string, number>;
}

export function compileRoutes(
  config: ParsedConfig,
  compiled: Pick<Plan, "upstreams" | "consumers" | "limits" | "counters">,
): RoutePlan[] {
  const references = {
    upstreams: indicesByName(compiled.upstreams),
    queues: new Map(Object.keys(config.queues).map((name, index) => [name, index])),
    sagas: new Map(Object.keys(config.sagas).map((name, index) => [name, index])),
    consumers: indicesByName(compiled.consumers),
    limits: indicesByName(compiled.limits),
    counters: indicesByName(compiled.counters),
  };
  return config.routes.map((route, index) => compileRoute(route, index, references));
}

function compileRoute(route: RouteParsed, index: number, references: RouteReferences): RoutePlan {
  const { concurrency, fallback } = route;
  return {
    index,
    name: route.name ?? route.path,
    path: route.path,
    methods: compileMethods(route.methods),
    hosts: route.hosts === undefined ? null : new Set(route.hosts),
    headers: route.headers === undefined || route.headers.length === 0 ? null : route.headers,
    destination: compileDestination(route, references),
    priority: route.priority,
    auth: compileAuth(route.auth, references.consumers),
    limits: route.limits.map((name) => indexOf(references.limits, name)),
    count: route.count.map((name) => indexOf(references.counters, name)),
    deadlineMs: route.deadline,
    bodyLimitBytes: route.bodyLimit,
    concurrency:
      concurrency === undefined
        ? null
        : { max: concurrency.max, waiting: concurrency.waiting, maxWaitMs: concurrency.maxWait },
    encodedSlashes: route.encodedSlashes,
    rewrite: route.request.path === undefined ? null : rewriteOf(route.path, route.request.path),
    requestHeaders: compileHeaderEdit(route.request),
    responseHeaders: compileHeaderEdit(route.response),
    fallback: fallback === undefined ? null : fallback,
  };
}

function compileDestination(route: RouteParsed, { upstreams, queues, sagas }: RouteReferences): Destination {
  if (route.saga !== undefined) return { kind: "saga", saga: indexOf(sagas, route.saga) };
  if (route.event !== undefined) return { kind: "event", event: route.event };
  return route.queue === undefined
    ? { kind: "upstream", upstream: indexOf(upstreams, route.upstream ?? "") }
    : { kind: "queue", queue: indexOf(queues, route.queue) };
}

/** A route that takes GET takes HEAD (RFC 9110 9.3.2). */
function compileMethods(methods: readonly string[] | undefined): ReadonlySet<string> | null {
  if (methods === undefined) return null;
  return new Set(methods.includes("GET") ? [...methods, "HEAD"] : methods);
}

function compileAuth(auth: RouteParsed["auth"], consumers: ReadonlyMap<string, number>): RoutePlan["auth"] {
  if (typeof auth === "boolean") return auth ? "any" : null;
  return new Set(auth.map((name) => indexOf(consumers, name)));
}

function compileHeaderEdit(edit: HeaderEditParsed): HeaderEdit {
  return { set: edit.set.map(([name, { value, secret }]) => ({ name, value, secret })), remove: edit.remove };
}

function rewriteOf(routePath: string, template: string): PathRewrite {
  const rewrite = compileRewrite(routePath, template);
  if ("rule" in rewrite) throw new Error(`unchecked request.path: ${rewrite.rule}`);
  return rewrite.value;
}

function indicesByName(entries: readonly Named[]): ReadonlyMap<string, number> {
  return new Map(entries.map(({ name, index }) => [name, index]));
}

function indexOf(indices: ReadonlyMap<string, number>, name: string): number {
  const index = indices.get(name);
  if (index === undefined) throw new Error(`unchecked name: ${name}`);
  return index;
}
