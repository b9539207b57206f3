// What a configuration file may say, as types: an editor completes it and shows each field's meaning.
// The rules themselves are checked by validate.ts, for files without types too.

import type { ReactionConfig } from "./reaction-config.ts";
import type { RelayConfig } from "./relay-config.ts";
import type { SagaConfig } from "./saga-config.ts";
import type { SubscriptionConfig } from "./subscription-config.ts";

/** Milliseconds, or `"250ms"`, `"2s"`, `"5m"`, `"24h"`, `"7d"`. */
export type Duration = number | `${number}${"ms" | "s" | "m" | "h" | "d"}`;

/** Bytes, or `"512B"`, `"64KiB"`, `"10MiB"`, `"1GiB"`. */
export type Size = number | `${number}${"B" | "KiB" | "MiB" | "GiB"}`;

/** P0: payments, sign-in. P1: what a person waits for. P2: what can be missed. P3: background. */
export type Priority = "P0" | "P1" | "P2" | "P3";

/** The value of the Worker's secret of that name. */
export type SecretReference = `env:${string}`;

export interface GatewayConfig {
  /** The gateway's pseudonym in `via` and `proxy-status`. Default: `"tidegate"`. */
  name?: string;
  /** Where requests go, by name. */
  upstreams: Record<string, UpstreamConfig>;
  /** Who calls with an API key, by name. */
  consumers?: Record<string, ConsumerConfig>;
  /** How much of an upstream a tenant may hold, by name; `"*"` is for every tenant that is not listed. */
  tenants?: Record<string, TenantConfig>;
  /** Rate limits, by name; routes say which apply. */
  limits?: Record<string, LimitConfig>;
  /** Usage counters, by name; routes say which they feed. */
  counters?: Record<string, CounterConfig>;
  /** What is taken in now and delivered later, by name; routes say what goes there. */
  queues?: Record<string, QueueConfig>;
  /** Who gets which events, by name. */
  subscriptions?: Record<string, SubscriptionConfig>;
  /** Events that become requests, whose outcome is the next event, by name. */
  reactions?: Record<string, ReactionConfig>;
  /** Outbox tables in Postgres whose rows become events, by name. */
  relays?: Record<string, RelayConfig>;
  /** Tried in the order written; the first whose path, method, host and headers all match wins. */
  routes: RouteConfig[];
  /** Requests that are done whole or undone, over several upstreams, by name. */
  sagas?: Record<string, SagaConfig>;
}

export interface UpstreamConfig {
  /** Servers or bindings that give the same answers; the less busy of two random ones is taken. */
  targets: (string | TargetConfig)[];
  /** One try, until response headers. Default: `"10s"`. */
  timeout?: Duration;
  /** When to leave a failing upstream alone; `false`: never. */
  breaker?: false | BreakerConfig;
  /** Requests in flight until response headers. */
  concurrency?: UpstreamConcurrencyConfig;
  /** Second tries of requests that may be repeated; `false`: none. */
  retry?: false | RetryConfig;
}

export interface TargetConfig {
  /** Host and base path. With a binding: what it sees as its URL, by default `http://<upstream>`. */
  url?: string;
  /** Name of a binding with a `fetch`: a service, a client certificate, a private network. */
  binding?: string;
  /** Share of requests, relative to the other targets. Default: 1. */
  weight?: number;
}

export interface BreakerConfig {
  /** Opens from this share of failures on. Default: 0.5. */
  failureRate?: number;
  /** A call slower than this counts as slow; `false`: none does. Default: false. */
  slowCall?: false | Duration;
  /** Opens from this share of slow calls on. Default: 0.8. */
  slowCallRate?: number;
  /** Shares are looked at from this many calls in the window on. Default: 20. */
  minimumCalls?: number;
  /** How far back calls count. Default: `"10s"`. */
  window?: Duration;
  /** Opens at once after this many failures in a row. Default: 5. */
  consecutive?: number;
  /** Open this long at first; doubles with each opening. Default: `"1s"`. */
  openFor?: Duration;
  /** Open this long at most. Default: `"10s"`. */
  maxOpenFor?: Duration;
  /** Good probes that it takes to heal. Default: 3. */
  probes?: number;
  /** Time from the first traffic to all of it. Default: `"10s"`. */
  rampUp?: Duration;
}

export interface RouteConcurrencyConfig {
  /** Requests in flight at most, 1 to 16384. */
  max: number;
  /** Requests that may wait for one of them to end, 0 to 1024. Default: 0. */
  waiting?: number;
  /** How long one waits. Default: `"100ms"`. */
  maxWait?: Duration;
}

export interface UpstreamConcurrencyConfig {
  /** Requests in flight at most, 1 to 16384. Default: 1000. */
  max?: number;
  /** Whether the bound follows the upstream's latency, below `max`. Default: true. */
  adaptive?: boolean;
  /** Requests that may wait for one of them to end, 0 to 1024. Default: 64. */
  waiting?: number;
  /** How long one waits. Default: `"100ms"`. */
  maxWait?: Duration;
}

export interface RetryConfig {
  /** Tries in all, the first one included, 1 to 3. Default: 2. */
  attempts?: number;
  /** Retries per admitted request, 0 to 1. Default: 0.1. */
  budget?: number;
  /** Pause before the second try. Default: `"25ms"`. */
  delay?: Duration;
  /** The longest pause. Default: `"250ms"`. */
  maxDelay?: Duration;
}

export interface ConsumerConfig {
  /** SHA-256 of an API key, or the secret that holds the key or `sha256:<hex>`. Several: for rotation. */
  keys: (`sha256:${string}` | SecretReference)[];
  /** The tenant whose share of upstreams its requests use. */
  tenant?: string;
  /** Its requests are at most this important; without it the route alone decides. */
  priority?: Priority;
}

export interface TenantConfig {
  /** Share of an upstream's permits, above 0 and at most 1. Default: 1. */
  share?: number;
  /** Requests in flight over all upstreams, 1 to 16384. Default: no bound. */
  concurrency?: number;
}

export interface LimitConfig {
  /** What is counted apart. */
  key: "consumer" | "tenant" | "ip" | "route" | `header:${string}`;
  /** Requests (or cost) per `per`. */
  rate: number;
  /** The time that `rate` stands for. */
  per: Duration;
  /** How many may come at once after a quiet time. Default: `rate`. `"capped"` and `"exact"` ignore it. */
  burst?: number;
  /** What one request uses up, at most `burst` (`"capped"`, `"exact"`: at most `rate`). Default: 1. */
  cost?: number;
  /**
   * Who counts. `"local"`: each isolate on its own. `"regional"`, `"global"`: a region, or all of them, in a
   * sliding window. `"capped"`: never above `rate` in a period of `per`. `"exact"`: one ledger for each key,
   * asked before each request. Default: `"global"`.
   */
  consistency?: "local" | "regional" | "global" | "capped" | "exact";
  /** What happens while the count cannot be had. Default: `"deny"` for capped and exact, else `"allow"`. */
  onUnavailable?: "allow" | "deny";
  /** Count and report, but refuse nothing. Default: false. */
  shadow?: boolean;
  /** Whether money depends on it; needs consistency `"exact"`. Default: false. */
  billing?: boolean;
}

export interface CounterConfig {
  /** What is counted apart. */
  key: LimitConfig["key"];
}

export interface QueueConfig {
  /** Name of the upstream that its requests are delivered to. */
  upstream: string;
  /**
   * Path that is sent; a final `*` stands for the request's own path. Default: the `/*` that leaves it alone.
   */
  path?: string;
  /** Requests with the same value of this field are delivered one after the other. Default: no order. */
  orderBy?: `header:${string}`;
  /** Requests that may wait; from there on all but P0 are refused, P0 from 1.25 of it. Default: 20,000. */
  highWatermark?: number;
  /** Part of `highWatermark` at which refusing ends, from 0 and below 1. Default: 0.7. */
  resumeAt?: number;
  /** Waiting requests from which, after a minute, an alert is raised. Default: 10,000. */
  alertAt?: number;
  /** What was not delivered by then expires. Default: `"24h"`. */
  maxAge?: Duration;
  /** Requests that one consumer takes at a time, 1 to 100. Default: 100. */
  batch?: number;
  /** Tries until a request is dead. */
  retry?: QueueRetryConfig;
  /** Whether clients must send an `idempotency-key`. Default: `"optional"`. */
  idempotencyKey?: "optional" | "required";
  /** With `orderBy`: what a dead request does to those behind it. Default: `"block"`. */
  onDeadHead?: "block" | "skip";
}

export interface QueueRetryConfig {
  /** Tries in all, the first one included, 1 to 100. Default: 10. */
  attempts?: number;
  /** Pause before the second try; it grows with each. Default: `"5s"`. */
  delay?: Duration;
  /** The longest pause. Default: `"24h"`. */
  maxDelay?: Duration;
}

export interface RouteConfig {
  /** Name in logs and metrics. Default: the path. */
  name?: string;
  /** Hono's notation: `/a/:id`, `/a/*`. */
  path: string;
  /** Default: every method. GET takes HEAD. */
  methods?: string[];
  /** Host names, without port. Default: every host. */
  hosts?: string[];
  /** Header fields that must have exactly these values. */
  headers?: Record<string, string>;
  /** Name of the upstream that answers. A route goes to one of upstream, queue, saga and event. */
  upstream?: string;
  /** Name of the queue that its requests are stored in: they are answered with 202 and delivered later. */
  queue?: string;
  /** Name of the saga that its requests start: they are answered with 202 and the saga's address. */
  saga?: string;
  /** Type of the event that its requests become: answered with 202, and handed to who has subscribed. */
  event?: string;
  /** How important its requests are. Default: `"P1"`. */
  priority?: Priority;
  /** `true`: any consumer; a list: these consumers; `false`: everybody. Default: false. */
  auth?: boolean | string[];
  /** Names of limits; all must have room. */
  limits?: string[];
  /** Names of counters that each of its requests is added to. */
  count?: string[];
  /** Changes to the request before it is sent. */
  request?: HeaderEditConfig & {
    /** Path that is sent: text, `:name` parameters, and a final `*` for what the route's `*` matched. */
    path?: string;
  };
  /** Changes to the answer before it is sent back. */
  response?: HeaderEditConfig;
  /** The whole request, until response headers. Default: `"30s"`. */
  deadline?: Duration;
  /** The largest request body. Default: `"100MiB"`. */
  bodyLimit?: Size;
  /** Requests of this route in flight. Default: no bound of its own. */
  concurrency?: RouteConcurrencyConfig;
  /** Whether the path may hold `%2F` and `%5C`. Default: false. */
  encodedSlashes?: boolean;
  /** The answer when the upstream cannot be asked or does not answer. */
  fallback?: FallbackConfig;
}

export interface HeaderEditConfig {
  /** Header fields to set; a value may be `env:NAME`. */
  set?: Record<string, string>;
  /** Header fields to remove. */
  remove?: string[];
}

export interface FallbackConfig {
  /** 200 to 599. Default: 200. */
  status?: number;
  headers?: Record<string, string>;
  /** Default: empty. */
  body?: string;
}

/** Gives a configuration its type and returns it as it is. */
export function defineGateway(config: GatewayConfig): GatewayConfig {
  return config;
}
