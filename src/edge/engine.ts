// The engine: everything that one isolate holds at run time for one Plan and its bindings. Built at the
// first request (an isolate may neither seed randomness nor start timers while it loads).

import type { ConsumerPlan, LimitPlan, Plan, UpstreamPlan } from "../config/plan.ts";
import { allRoutes } from "../config/plan.ts";
import { quoteString } from "../http/quoted-string.ts";
import { rateLimitPolicyItem } from "../http/rate-limit-fields.ts";
import { appendVia } from "../http/via.ts";
import type { Bulkhead } from "../resilience/bulkhead.ts";
import { createBulkhead } from "../resilience/bulkhead.ts";
import type { Permits } from "../resilience/permits.ts";
import { createPermits } from "../resilience/permits.ts";
import type { Snapshot } from "../hub/protocol.ts";
import type { Outboxes } from "../delivery/outboxes.ts";
import { relaysOf, type RelayNamespace } from "../delivery/relays/relays.ts";
import type { WorkerHub } from "../region/worker-hub.ts";
import type { RandomSource } from "../resilience/random.ts";
import { createRandom } from "../resilience/random.ts";
import type { RateLimit } from "../resilience/rate-limit.ts";
import { createRateLimit } from "../resilience/rate-limit.ts";
import type { TenantShare } from "../resilience/tenant-share.ts";
import { createTenantShare } from "../resilience/tenant-share.ts";
import type { UpstreamControl } from "../resilience/upstream-control.ts";
import { LEASE_SLACK_MS, createUpstreamControl } from "../resilience/upstream-control.ts";
import type { SagaLedgers } from "../saga/ledgers.ts";
import { sagaLedgersOf } from "../saga/ledgers.ts";
import type { Telemetry } from "../telemetry/telemetry.ts";
import type { Bindings, ResolvedEdit, TargetFetcher } from "./bindings.ts";
import { isFetcher, resolveEdit, textOf } from "./bindings.ts";
import type { Subscription } from "./engine-subscriptions.ts";
import { missingForSubscriptions, resolveSubscriptions } from "./engine-subscriptions.ts";
import type { KeyRing } from "./api-keys.ts";
import { createKeyRing, hashKey } from "./api-keys.ts";
import type { Carrier } from "./carrier.ts";
import type { RouteTable } from "./route-table.ts";
import { createRouteTable } from "./route-table.ts";

export interface Target {
  readonly baseUrl: string;
  /** null: the network. */
  readonly fetcher: TargetFetcher | null;
}

/** What an operator has forced on an upstream, in the isolate's own terms. */
export interface Forced {
  readonly breaker: "open" | "closed" | null;
  readonly cursor: number | null;
  readonly until: number;
}

export interface Upstream {
  readonly plan: UpstreamPlan;
  forced: Forced | null;
  readonly control: UpstreamControl;
  readonly targets: readonly Target[];
  /** Permits per tenant where its share is below 1, by tenant index. */
  readonly tenantShares: readonly (TenantShare | null)[];
}

export interface Engine {
  readonly plan: Plan;
  readonly region: string;
  /** Every region there can be on this machine; empty when deployed. */
  readonly regions: readonly string[];
  /** Names this isolate in state and logs. */
  readonly session: string;
  readonly upstreams: readonly Upstream[];
  readonly limits: readonly RateLimit[];
  /** What answers say of each limit, as far as it is always the same. */
  readonly limitLabels: readonly LimitLabel[];
  /** Permits per tenant over all upstreams, null without a bound; by tenant index. */
  readonly tenantPermits: readonly (Permits | null)[];
  /** By route index; null where the route has no bulkhead. */
  readonly routeBulkheads: readonly (Bulkhead | null)[];
  readonly requestHeaders: readonly ResolvedEdit[];
  readonly responseHeaders: readonly ResolvedEdit[];
  /** By subscription index. */
  readonly subscriptions: readonly Subscription[];
  readonly routes: RouteTable;
  readonly keys: KeyRing;
  readonly random: RandomSource;
  readonly carrier: Carrier;
  /** So many times the own name in `via` makes a loop. */
  readonly visitsOfLoop: number;
  /** `via` of a request that came without one. */
  readonly ownVia: string;
  readonly adminToken: string | null;
  readonly metricsToken: string | null;
  /** Local development: faults, reload. */
  readonly isLocal: boolean;
  /** null: there are no Durable Objects, the isolate is all there is. */
  readonly hub: WorkerHub | null;
  /** null: this process keeps no sagas. */
  readonly sagaLedgers: SagaLedgers | null;
  /** null: this process relays nothing. */
  readonly relays: RelayNamespace | null;
  /** null: requests cannot be stored for later. */
  readonly outboxes: Outboxes | null;
  /** The hub's snapshot whose overrides are in force here. */
  overridesOf: Snapshot | null;
  /** When the next override ends. */
  overridesUntil: number;
  readonly telemetry: Telemetry;
}

export interface LimitLabel {
  readonly quotedName: string;
  readonly policyItem: string;
}

export interface EngineIdentity {
  readonly session: string;
  readonly region: string;
  readonly hub: WorkerHub | null;
  readonly outboxes: Outboxes | null;
  readonly seed: number;
  readonly carrier: Carrier;
}

/** What a Plan still needs from the bindings: secrets and targets that are not there. One line each. */
export function missingFromBindings(plan: Plan, bindings: Bindings): string[] {
  const missing = plan.secrets
    .filter((name) => typeof bindings[name] !== "string")
    .map(
      (name) =>
        `env:${name}: the Worker has no secret of this name; set it with: npx wrangler secret put ${name}`,
    );
  for (const upstream of plan.upstreams) {
    for (const target of upstream.targets) {
      if (target.binding === null || isFetcher(bindings[target.binding])) continue;
      missing.push(
        `upstreams.${upstream.name}: the Worker has no binding ${target.binding}; add it to wrangler.toml`,
      );
    }
  }
  return [...missing, ...missingForSubscriptions(plan, bindings), ...missingForRelays(plan, bindings)];
}

function missingForRelays({ relays }: Plan, bindings: Bindings): string[] {
  const names = relays.map(({ name, hyperdrive }) => [name, hyperdrive] as const);
  return [...names, ...names.map(([name]) => [name, "RELAY"] as const)].flatMap(([name, binding]) =>
    typeof bindings[binding] === "object" && bindings[binding] !== null
      ? []
      : [`relays.${name}: the Worker has no binding ${binding}; add it to wrangler.toml`],
  );
}

/**
 * Builds the engine. Upstreams and limits of `previous` that are configured alike are carried over with
 * their state, so a new configuration neither heals a breaker nor refills a limit.
 */
export function createEngine(
  plan: Plan,
  bindings: Bindings,
  identity: EngineIdentity,
  telemetry: Telemetry,
  previous: Engine | null,
): Engine {
  return {
    plan,
    region: identity.region,
    regions: textOf(bindings, "TIDEGATE_REGIONS")?.split(",") ?? [],
    session: identity.session,
    upstreams: plan.upstreams.map((upstream) => createUpstream(upstream, plan, bindings, previous)),
    limits: plan.limits.map((limit) => keptLimit(limit, previous) ?? createLimit(limit)),
    limitLabels: plan.limits.map(labelLimit),
    tenantPermits: plan.tenants.map((tenant) =>
      tenant.concurrency === null ? null : createPermits(tenant.concurrency),
    ),
    routeBulkheads: allRoutes(plan).map((route) =>
      route.concurrency === null
        ? null
        : createBulkhead({ ...route.concurrency, permitTtlMs: route.deadlineMs + LEASE_SLACK_MS }),
    ),
    requestHeaders: allRoutes(plan).map((route) => resolveEdit(route.requestHeaders, bindings)),
    responseHeaders: allRoutes(plan).map((route) => resolveEdit(route.responseHeaders, bindings)),
    subscriptions: resolveSubscriptions(plan, bindings),
    routes: createRouteTable(plan.routes),
    keys: createKeyRing(keysWithSecrets(plan, bindings)),
    random: createRandom(identity.seed),
    carrier: identity.carrier,
    visitsOfLoop: 1,
    ownVia: appendVia(null, plan.name),
    adminToken: textOf(bindings, "ADMIN_TOKEN"),
    metricsToken: textOf(bindings, "METRICS_TOKEN"),
    isLocal: bindings["TIDEGATE_LOCAL"] === "1",
    hub: identity.hub,
    sagaLedgers: sagaLedgersOf(bindings),
    relays: relaysOf(bindings),
    outboxes: identity.outboxes,
    overridesOf: null,
    overridesUntil: Number.POSITIVE_INFINITY,
    telemetry,
  };
}

/** The consumer of an index, or null for nobody. */
export function consumerAt(engine: Engine, index: number): ConsumerPlan | null {
  return index < 0 ? null : engine.plan.consumers[index];
}

function createUpstream(
  upstream: UpstreamPlan,
  plan: Plan,
  bindings: Bindings,
  previous: Engine | null,
): Upstream {
  const before = previous?.upstreams.find((other) => other.plan.name === upstream.name);
  const kept =
    before !== undefined && alike({ ...before.plan, index: 0 }, { ...upstream, index: 0 }) ? before : null;
  const control =
    kept !== null
      ? kept.control
      : createUpstreamControl({
          timeoutMs: upstream.timeoutMs,
          breaker: upstream.breaker,
          concurrency: upstream.concurrency,
          retryBudget: upstream.retry?.budget ?? null,
          targetWeights: upstream.targets.map((target) => target.weight),
        });
  const targets = upstream.targets.map(({ baseUrl, binding }) => {
    const bound = binding === null ? null : bindings[binding];
    return { baseUrl, fetcher: isFetcher(bound) ? bound : null };
  });
  const tenantShares = plan.tenants.map((tenant) => (tenant.share < 1 ? createTenantShare() : null));
  // What an operator has drained goes with the control, so what is forced does too: it is known to be undone.
  return { plan: upstream, forced: kept?.forced ?? null, control, targets, tenantShares };
}

/** Counted here when the limit is local, or when there is no hub. */
function createLimit(limit: LimitPlan): RateLimit {
  return createRateLimit({ ...limit, burst: limit.windowLimit });
}

function keptLimit(limit: LimitPlan, previous: Engine | null): RateLimit | null {
  const before = previous?.plan.limits.find((other) => other.name === limit.name);
  if (previous === null || before === undefined || !alike({ ...before, index: 0 }, { ...limit, index: 0 })) {
    return null;
  }
  return previous.limits[before.index];
}

function labelLimit({ name, rate, perMs }: LimitPlan): LimitLabel {
  const quotedName = quoteString(name);
  return { quotedName, policyItem: rateLimitPolicyItem(quotedName, rate, Math.round(perMs / 1000)) };
}

function keysWithSecrets(plan: Plan, bindings: Bindings): ReadonlyMap<string, number> {
  const keys = new Map(plan.consumersByKeyHash);
  for (const { consumer, secret } of plan.secretKeys) {
    const value = textOf(bindings, secret);
    if (value === null || value === "") continue;
    keys.set(
      value.startsWith("sha256:") ? value.slice("sha256:".length).toLowerCase() : hashKey(value),
      consumer,
    );
  }
  return keys;
}

function alike(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
