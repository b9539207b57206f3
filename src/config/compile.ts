// A parsed configuration becomes the Plan: names become indices, everything is frozen. Everything here
// was checked before: what is looked up exists.

import { compileQueues } from "./compile-queues.ts";
import { compileRoutes } from "./compile-routes.ts";
import { compileSaga } from "./compile-sagas.ts";
import { secretsRead } from "../saga/core/definition.ts";
import { EVENT_TERMS } from "../delivery/events/event-terms.ts";
import { compileReactions } from "./compile-reactions.ts";
import { compileSubscriptions } from "./compile-subscriptions.ts";
import { defaultOnUnavailable, limitWindow } from "./limit-window.ts";
import type {
  ConsumerPlan,
  CounterPlan,
  LimitPlan,
  Plan,
  TargetPlan,
  TenantPlan,
  UpstreamPlan,
} from "./plan.ts";
import type { ConsumerKey, LimitParsed } from "./schema-callers.ts";
import type { ParsedConfig } from "./schema.ts";
import {
  DEFAULT_DELAY_MS,
  DEFAULT_MAX_DELAY_MS,
  DEFAULT_MAX_OPEN_FOR_MS,
  DEFAULT_OPEN_FOR_MS,
} from "./schema-upstreams.ts";
import type { TargetParsed, UpstreamParsed } from "./schema-upstreams.ts";

const DEFAULT_TENANT = "*";

/** The Plan of a configuration that passed every check; `hash` is that of the configuration as written. */
export function compileConfig(config: ParsedConfig, hash: string): Plan {
  const upstreams = Object.entries(config.upstreams).map(([name, upstream], index) =>
    compileUpstream(name, upstream, index),
  );
  const tenants = compileTenants(config);
  const consumers = compileConsumers(config, tenants);
  const limits = Object.entries(config.limits).map(([name, limit], index) =>
    compileLimit(name, limit, index),
  );
  const counters: CounterPlan[] = Object.entries(config.counters).map(([name, { key }], index) => ({
    index,
    name,
    key,
  }));
  const keys = Object.values(config.consumers).flatMap((consumer, index) =>
    consumer.keys.map((key) => ({ consumer: index, key })),
  );
  const routes = compileRoutes(config, { upstreams, consumers, limits, counters });
  const sagas = Object.entries(config.sagas).map(([name, saga]) => compileSaga(name, saga));
  const queues = compileQueues(config, { upstreams, routes });
  const subscribed = compileSubscriptions(config, upstreams, routes.length + queues.length);
  const reacting = compileReactions(config, upstreams, { routes, queues, subscriptions: subscribed });
  const subscriptions = [...subscribed, ...reacting];
  return deepFreeze({
    name: config.name,
    hash,
    upstreams,
    consumers,
    consumersByKeyHash: new Map(
      keys.flatMap(({ consumer, key }) => ("sha256" in key ? [[key.sha256, consumer] as const] : [])),
    ),
    secretKeys: keys.flatMap(({ consumer, key }) =>
      "secret" in key ? [{ consumer, secret: key.secret }] : [],
    ),
    tenants,
    limits,
    counters,
    sagas,
    routes,
    queues,
    subscriptions,
    relays: Object.entries(config.relays).map(([name, relay]) => ({ name, ...relay })),
    eventTerms: EVENT_TERMS,
    secrets: collectSecrets(
      keys.map(({ key }) => key),
      routes,
      sagas,
      subscriptions,
    ),
  });
}

function compileUpstream(name: string, upstream: UpstreamParsed, index: number): UpstreamPlan {
  const { breaker, concurrency, retry } = upstream;
  return {
    index,
    name,
    targets: upstream.targets.map((target) => compileTarget(name, target)),
    timeoutMs: upstream.timeout,
    breaker: breaker === false ? null : compileBreaker(breaker),
    concurrency: {
      max: concurrency.max,
      waiting: concurrency.waiting,
      maxWaitMs: concurrency.maxWait,
      adaptive: concurrency.adaptive,
    },
    retry: retry === false ? null : compileRetry(retry),
  };
}

function compileTarget(upstreamName: string, target: TargetParsed): TargetPlan {
  return {
    // A binding sends no host of its own: the upstream's name stands in for it.
    baseUrl: target.url ?? `http://${upstreamName.toLowerCase()}`,
    binding: target.binding ?? null,
    weight: target.weight,
  };
}

function compileBreaker(breaker: Exclude<UpstreamParsed["breaker"], false>): UpstreamPlan["breaker"] {
  const openForMs = breaker.openFor ?? Math.min(DEFAULT_OPEN_FOR_MS, breaker.maxOpenFor ?? Infinity);
  return {
    failureRate: breaker.failureRate,
    slowCallMs: breaker.slowCall === false ? null : breaker.slowCall,
    slowCallRate: breaker.slowCallRate,
    minimumCalls: breaker.minimumCalls,
    windowMs: breaker.window,
    consecutive: breaker.consecutive,
    openForMs,
    maxOpenForMs: breaker.maxOpenFor ?? Math.max(DEFAULT_MAX_OPEN_FOR_MS, openForMs),
    probes: breaker.probes,
    rampUpMs: breaker.rampUp,
  };
}

function compileRetry(retry: Exclude<UpstreamParsed["retry"], false>): UpstreamPlan["retry"] {
  const delayMs = retry.delay ?? Math.min(DEFAULT_DELAY_MS, retry.maxDelay ?? Infinity);
  return {
    attempts: retry.attempts,
    budget: retry.budget,
    delayMs,
    maxDelayMs: retry.maxDelay ?? Math.max(DEFAULT_MAX_DELAY_MS, delayMs),
  };
}

/** Every tenant that is listed or that a consumer names, in the order of their names. */
function compileTenants(config: ParsedConfig): TenantPlan[] {
  const listed = new Map(Object.entries(config.tenants));
  const named = Object.values(config.consumers).flatMap((consumer) => consumer.tenant ?? []);
  const names = new Set([...listed.keys(), ...named]);
  names.delete(DEFAULT_TENANT);
  return [...names].toSorted().map((name, index) => {
    const tenant = listed.get(name) ?? listed.get(DEFAULT_TENANT);
    return { index, name, share: tenant?.share ?? 1, concurrency: tenant?.concurrency ?? null };
  });
}

function compileConsumers(config: ParsedConfig, tenants: readonly TenantPlan[]): ConsumerPlan[] {
  return Object.entries(config.consumers).map(([name, consumer], index) => ({
    index,
    name,
    tenant: tenants.findIndex((tenant) => tenant.name === consumer.tenant),
    priority: consumer.priority ?? null,
  }));
}

function compileLimit(name: string, limit: LimitParsed, index: number): LimitPlan {
  const { key, rate, per: perMs, cost, consistency, shadow, billing } = limit;
  const numbers = { consistency, rate, perMs, burst: limit.burst ?? rate };
  return {
    index,
    name,
    key,
    ...numbers,
    cost,
    ...limitWindow(numbers),
    onUnavailable: limit.onUnavailable ?? defaultOnUnavailable(consistency),
    shadow,
    billing,
  };
}

function collectSecrets(
  keys: readonly ConsumerKey[],
  routes: Plan["routes"],
  sagas: Plan["sagas"],
  subscriptions: Plan["subscriptions"],
): string[] {
  const webhooks = subscriptions.flatMap(({ deliver }) => (deliver.kind === "webhook" ? deliver : []));
  const ofKeys = keys.flatMap((key) => ("secret" in key ? key.secret : []));
  const edits = [
    ...routes.flatMap((route) => [...route.requestHeaders.set, ...route.responseHeaders.set]),
    ...webhooks.flatMap(({ headers }) => headers),
  ];
  const reacting = subscriptions.flatMap(({ deliver }) =>
    deliver.kind === "upstream" ? (deliver.request?.secretHeaders.set ?? []) : [],
  );
  const ofHeaders = [...edits, ...reacting].flatMap((edit) => edit.secret ?? []);
  const ofWebhooks = webhooks.flatMap(({ secrets }) => secrets);
  return [...new Set([...ofKeys, ...ofHeaders, ...ofWebhooks, ...sagas.flatMap(secretsRead)])].toSorted();
}

/** Freezes objects and arrays all the way down. Maps and sets are read-only by their type alone. */
function deepFreeze<T>(value: T): T {
  if (typeof value !== "object" || value === null) return value;
  for (const inner of Object.values(value)) deepFreeze(inner);
  return Object.freeze(value);
}
