// The Plan: what a configuration is compiled to. Immutable; everything that the hot path needs is
// an index, a number or a ready-made string. Names stay only for logs, metrics and the admin surface.

import { callRoutes } from "./call-routes.ts";
import type { OutboxTable } from "../delivery/relay/columns.ts";
import type { PathRewrite } from "../http/paths.ts";
import type { BreakerOptions } from "../resilience/breaker-state.ts";
import type { TrafficClass } from "../resilience/level.ts";
import type { SagaDefinition } from "../saga/core/definition.ts";
import type { Json } from "../saga/core/template.ts";

export type { PathRewrite, TrafficClass };

export interface Plan {
  /** The gateway's own name: its pseudonym in `via` and `proxy-status`. */
  readonly name: string;
  /** Hash of the configuration as it was written, 16 hex digits: equal files have equal hashes. */
  readonly hash: string;
  readonly upstreams: readonly UpstreamPlan[];
  readonly consumers: readonly ConsumerPlan[];
  /** Index of a consumer by the lower-case hex SHA-256 of its key. */
  readonly consumersByKeyHash: ReadonlyMap<string, number>;
  /** Consumer keys that stand in secrets (`env:NAME`): resolved when the Worker's bindings are known. */
  readonly secretKeys: readonly { readonly consumer: number; readonly secret: string }[];
  readonly tenants: readonly TenantPlan[];
  readonly limits: readonly LimitPlan[];
  readonly counters: readonly CounterPlan[];
  readonly sagas: readonly SagaDefinition[];
  readonly routes: readonly RoutePlan[];
  readonly queues: readonly QueuePlan[];
  /** Those that were written, and behind them reactions: they are subscriptions too. */
  readonly subscriptions: readonly SubscriptionPlan[];
  readonly relays: readonly RelayPlan[];
  /** Of the outbox of all events. */
  readonly eventTerms: QueuePlan["terms"];
  /** Every `env:NAME` that the configuration refers to, sorted, each once. */
  readonly secrets: readonly string[];
}

/**
 * Every route that an exchange may be on, by its index: those that were written, those of deliveries, those
 * of calls through a sidecar.
 */
export function allRoutes(
  plan: Pick<Plan, "routes" | "queues" | "subscriptions" | "upstreams">,
): readonly RoutePlan[] {
  const subscribed = plan.subscriptions.flatMap(({ deliver }) =>
    deliver.kind === "upstream" ? deliver.delivery : [],
  );
  const own = [...plan.routes, ...plan.queues.map(({ delivery }) => delivery), ...subscribed];
  return [...own, ...callRoutes(plan, own.length)];
}

export interface UpstreamPlan {
  readonly index: number;
  readonly name: string;
  readonly targets: readonly TargetPlan[];
  /** One try, until response headers. */
  readonly timeoutMs: number;
  readonly breaker: BreakerOptions | null;
  readonly concurrency: ConcurrencyPlan & { readonly adaptive: boolean };
  readonly retry: RetryPlan | null;
}

export interface TargetPlan {
  /** Origin and base path without a trailing slash, e.g. `https://pay-b.example.com/base`. */
  readonly baseUrl: string;
  /** Name of a binding with a `fetch` of its own, or null for the network. */
  readonly binding: string | null;
  readonly weight: number;
}

export interface ConcurrencyPlan {
  readonly max: number;
  readonly waiting: number;
  readonly maxWaitMs: number;
}

export interface RetryPlan {
  /** Tries in all, the first one included. */
  readonly attempts: number;
  /** Retries per admitted request, e.g. 0.1. */
  readonly budget: number;
  readonly delayMs: number;
  readonly maxDelayMs: number;
}

export interface ConsumerPlan {
  readonly index: number;
  readonly name: string;
  /** Index into `tenants`, or -1. */
  readonly tenant: number;
  readonly priority: TrafficClass | null;
}

/** One entry for every tenant that a consumer names; the entry `"*"` fills in what is not configured. */
export interface TenantPlan {
  readonly index: number;
  readonly name: string;
  /** Share of an upstream's permits, above 0 and at most 1. */
  readonly share: number;
  /** Requests in flight over all upstreams, or null for no bound. */
  readonly concurrency: number | null;
}

export type LimitKey =
  | { readonly kind: "consumer" | "tenant" | "ip" | "route" }
  | { readonly kind: "header"; readonly header: string };

/** Who counts, from the isolate alone to one ledger per key: see docs/configuration.md. */
export type Consistency = "local" | "regional" | "global" | "capped" | "exact";

export interface LimitPlan {
  readonly index: number;
  readonly name: string;
  readonly key: LimitKey;
  readonly rate: number;
  readonly perMs: number;
  readonly burst: number;
  /** At most `windowLimit`. */
  readonly cost: number;
  readonly consistency: Consistency;
  /** The window in which the limit's consistency counts, see limit-window.ts. */
  readonly windowMs: number;
  /** Units that a window admits. */
  readonly windowLimit: number;
  /** What happens while the count cannot be had: as written, else what the consistency promises. */
  readonly onUnavailable: "allow" | "deny";
  readonly shadow: boolean;
  /** Money depends on it; only ever with consistency `exact`. */
  readonly billing: boolean;
}

/** A usage counter that routes feed: it counts requests and refuses none. */
export interface CounterPlan {
  readonly index: number;
  readonly name: string;
  readonly key: LimitKey;
}

export interface RoutePlan {
  readonly index: number;
  /** The given name, else the path. */
  readonly name: string;
  /** The path pattern in Hono's notation, its percent-encodings normalised as `matchablePath` does. */
  readonly path: string;
  /** Upper-case methods, GET implying HEAD; null: every method. */
  readonly methods: ReadonlySet<string> | null;
  /** Lower-case host names without port; null: every host. */
  readonly hosts: ReadonlySet<string> | null;
  /** Header fields that must have exactly these values; null: none asked for. */
  readonly headers: readonly (readonly [name: string, value: string])[] | null;
  readonly destination: Destination;
  readonly priority: TrafficClass;
  /** null: open to all. "any": any consumer. Else the consumers that may call it. */
  readonly auth: null | "any" | ReadonlySet<number>;
  readonly limits: readonly number[];
  /** Indices into `counters`, each once. */
  readonly count: readonly number[];
  readonly deadlineMs: number;
  readonly bodyLimitBytes: number;
  readonly concurrency: ConcurrencyPlan | null;
  readonly encodedSlashes: boolean;
  /** How the path that goes upstream is made; null: the request's own. */
  readonly rewrite: PathRewrite | null;
  readonly requestHeaders: HeaderEdit;
  readonly responseHeaders: HeaderEdit;
  readonly fallback: FallbackPlan | null;
}

/** Where a route's requests go; the number is an index into the Plan's list. */
export type Destination =
  | { readonly kind: "upstream"; readonly upstream: number }
  | { readonly kind: "queue"; readonly queue: number }
  | { readonly kind: "saga"; readonly saga: number }
  /** The type of the event that a request becomes. */
  | { readonly kind: "event"; readonly event: string };

export interface QueuePlan {
  readonly index: number;
  readonly name: string;
  /** Index into `upstreams`. */
  readonly upstream: number;
  /** How the path that is sent is made of the one that a request was taken in with; null: it stays. */
  readonly rewrite: PathRewrite | null;
  /** The header field, in lower case, whose value is a job's key; null: jobs have no order. */
  readonly orderBy: string | null;
  /** Jobs that a consumer takes at a time. */
  readonly batch: number;
  readonly idempotencyKey: "optional" | "required";
  /** What its outbox is told with every batch: the shape of `QueueTerms` in src/delivery/core/protocol.ts. */
  readonly terms: {
    readonly highWatermark: number;
    readonly resumeAt: number;
    readonly alertAt: number;
    readonly maxAgeMs: number;
    /** `attempts` = tries in all. */
    readonly retry: { readonly attempts: number; readonly delayMs: number; readonly maxDelayMs: number };
    readonly onDeadHead: "block" | "skip";
  };
  /**
   * The route that its deliveries take through the pipeline. No request matches it; its index goes on behind
   * `Plan.routes`. Its class is the best of the routes that lead to the queue: a job has its own.
   */
  readonly delivery: RoutePlan;
}

export type SubscriptionTerms = QueuePlan["terms"] & {
  readonly delivery: "webhook" | "upstream" | "binding" | "pull";
  /** Of a reaction: the shape of `ReactionTerms` in src/delivery/core/protocol.ts. */
  readonly reaction?: {
    readonly source: string;
    readonly ok: string | null;
    readonly failed: string | null;
    readonly deadline: string | null;
  };
};

export interface SubscriptionPlan {
  readonly index: number;
  readonly name: string;
  /** Patterns of types. */
  readonly events: readonly string[];
  /** Whether events of one key are delivered one after the other. */
  readonly ordered: boolean;
  readonly deliver:
    | WebhookPlan
    | SubscribedUpstream
    | { readonly kind: "binding"; readonly binding: string }
    | { readonly kind: "pull" };
  /** What its outbox is told with every event. */
  readonly terms: SubscriptionTerms;
}

export interface WebhookPlan {
  readonly kind: "webhook";
  readonly url: string;
  /** Names of secrets, the newest first. */
  readonly secrets: readonly string[];
  readonly timeoutMs: number;
  readonly mode: "binary" | "structured";
  /** As in `HeaderEdit`. */
  readonly headers: HeaderEdit["set"];
}

/** The request that an event becomes; path, header values and body are templates. */
export interface ReactionRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly secretHeaders: HeaderEdit;
  /** undefined: no body. */
  readonly body?: Json;
}

export interface SubscribedUpstream {
  readonly kind: "upstream";
  /** Index into `upstreams`. */
  readonly upstream: number;
  readonly path: string;
  /** Of a reaction; null: events are sent as they are. */
  readonly request: ReactionRequest | null;
  /** As in `QueuePlan`; its index goes on behind those of queues. */
  readonly delivery: RoutePlan;
}

/** An outbox table in Postgres whose rows become events. */
export interface RelayPlan {
  readonly name: string;
  /** Name of the Hyperdrive binding. */
  readonly hyperdrive: string;
  /** Its names are checked and quoted. */
  readonly table: OutboxTable;
  readonly onPoison: "block" | "skip";
  readonly alertAt: number;
}

export interface HeaderEdit {
  /** Values may be `env:NAME`: `secret` is that name, `value` is then empty. */
  readonly set: readonly { readonly name: string; readonly value: string; readonly secret: string | null }[];
  readonly remove: readonly string[];
}

export interface FallbackPlan {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string;
}
