// Advice on a configuration that is valid but may not do what its author wants. One line each.

import { limitAdvice } from "./advise-limits.ts";
import { adviseSaga } from "./advise-sagas.ts";
import { callsOf, stepsOf } from "../saga/core/definition.ts";
import { subscriptionAdvice } from "./advise-subscriptions.ts";
import { isCallRoute } from "./call-routes.ts";
import { formatPath } from "./error-lines.ts";
import type { Plan, QueuePlan, RoutePlan } from "./plan.ts";
import { coversRoute } from "./route-cover.ts";

const P0 = 0;
/** Methods without effects that matter to a client (RFC 9110 9.2.1). */
const SAFE_METHODS: ReadonlySet<string> = new Set([
  "GET",
  "HEAD",
  "OPTIONS",
  "QUERY",
  "PROPFIND",
  "REPORT",
  "SEARCH",
]);

/** What a configuration alone does not tell. */
export interface Surroundings {
  /** A service may call every upstream, whether a route names it or not. */
  readonly areUpstreamsCalled?: boolean;
  /** Nobody gets in without a certificate. */
  readonly areClientsKnown?: boolean;
}

/** Warnings, each one line that begins with the path of what it is about. */
export function adviseConfig(
  plan: Plan,
  { areUpstreamsCalled = false, areClientsKnown = false }: Surroundings = {},
): readonly string[] {
  return [
    ...plan.routes.flatMap((route) => routeAdvice(plan, route, areClientsKnown)),
    ...classAdvice(plan.routes),
    ...plan.limits.flatMap(limitAdvice),
    ...plan.sagas.flatMap(adviseSaga),
    ...plan.queues.flatMap(queueAdvice),
    ...subscriptionAdvice(plan),
    ...unusedAdvice(plan, areUpstreamsCalled),
  ];
}

function routeAdvice(plan: Plan, route: RoutePlan, areClientsKnown: boolean): string[] {
  const path = formatPath(["routes", route.index]);
  const advice: string[] = [];
  const isCall = isCallRoute(route);
  const shadow = plan.routes
    .slice(0, route.index)
    .find((earlier) => isCallRoute(earlier) === isCall && coversRoute(earlier, route));
  if (shadow !== undefined) {
    advice.push(`${path}: never reached, routes[${shadow.index}] takes all of its requests first`);
  }
  if (route.priority === P0 && route.auth === null && !isCall && !areClientsKnown) {
    advice.push(`${path}.auth: anybody can send P0 requests, which are shed last; set auth: true`);
  }
  if (route.auth === "any" && plan.consumers.length === 0) {
    advice.push(`${path}.auth: no consumer is configured, so every request gets 401`);
  }
  if (route.destination.kind === "queue" && takesSafeMethods(route)) {
    advice.push(
      `${path}.queue: a GET is answered with 202 and not with what it asks for; list only methods that change something`,
    );
  }
  if (route.fallback !== null && route.fallback.status < 300 && takesUnsafeMethods(route)) {
    advice.push(
      `${path}.fallback.status: ${route.fallback.status} tells the sender of a POST that it was done; list only safe methods`,
    );
  }
  return advice;
}

function takesSafeMethods(route: RoutePlan): boolean {
  return route.methods === null || [...route.methods].some((method) => SAFE_METHODS.has(method));
}

function takesUnsafeMethods(route: RoutePlan): boolean {
  return route.methods === null || [...route.methods].some((method) => !SAFE_METHODS.has(method));
}

function classAdvice(routes: readonly RoutePlan[]): string[] {
  const classes = new Set(routes.map((route) => route.priority));
  if (routes.length < 2 || classes.size > 1) return [];
  return [
    `routes: all are P${routes[0].priority}, so under overload there is nothing less important to shed first`,
  ];
}

/** Part of the watermark from which a queue takes nothing more, P0 included. */
const FULL_AT = 1.25;

function queueAdvice({ name, orderBy, terms }: QueuePlan): string[] {
  const path = formatPath(["queues", name]);
  const advice: string[] = [];
  const fullAt = Math.ceil(FULL_AT * terms.highWatermark);
  if (terms.alertAt >= fullAt) {
    advice.push(`${path}.alertAt: never reached, the queue takes nothing more from ${fullAt} on; lower it`);
  }
  if (terms.onDeadHead === "skip" && orderBy === null) {
    advice.push(`${path}.onDeadHead: has no effect without orderBy`);
  }
  return advice;
}

function unusedAdvice(
  { upstreams, limits, counters, routes, queues, sagas, subscriptions }: Plan,
  areUpstreamsCalled: boolean,
): string[] {
  const calls = sagas.flatMap((saga) => stepsOf(saga).flatMap(callsOf));
  const bySagas = new Set(calls.map(({ upstream }) => upstream));
  const destinations = routes.map(({ destination }) => destination);
  const usedUpstreams = new Set([
    ...destinations.flatMap((each) => (each.kind === "upstream" ? each.upstream : [])),
    ...queues.map(({ upstream }) => upstream),
    ...subscriptions.flatMap(({ deliver }) => (deliver.kind === "upstream" ? deliver.upstream : [])),
  ]);
  const usedQueues = new Set(destinations.flatMap((each) => (each.kind === "queue" ? each.queue : [])));
  const usedSagas = new Set(destinations.flatMap((each) => (each.kind === "saga" ? each.saga : [])));
  const usedLimits = new Set(routes.flatMap((route) => route.limits));
  const usedCounters = new Set(routes.flatMap((route) => route.count));
  return [
    ...upstreams
      .filter(({ index, name }) => !areUpstreamsCalled && !usedUpstreams.has(index) && !bySagas.has(name))
      .map(({ name }) => `upstreams.${name}: no route uses it`),
    ...queues
      .filter(({ index }) => !usedQueues.has(index))
      .map(({ name }) => `queues.${name}: no route leads to it`),
    ...limits
      .filter(({ index }) => !usedLimits.has(index))
      .map(({ name }) => `limits.${name}: no route uses it`),
    ...counters
      .filter(({ index }) => !usedCounters.has(index))
      .map(({ name }) => `counters.${name}: no route feeds it`),
    ...sagas
      .filter((_, index) => !usedSagas.has(index))
      .map(({ name }) => `sagas.${name}: no route starts it`),
  ];
}
