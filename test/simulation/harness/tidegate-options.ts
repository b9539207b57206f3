// What the gateway of a simulation is configured with. The defaults are those of the configuration.

import { DEFAULT_BREAKER } from "../../../src/resilience/breaker-state.ts";
import type { UpstreamOptions } from "../../../src/resilience/upstream-control.ts";

export interface RetryOptions {
  readonly attempts: number;
  readonly delayMs: number;
  readonly maxDelayMs: number;
}

export interface TidegateOptions {
  readonly upstream: UpstreamOptions;
  readonly retry: RetryOptions;
  readonly tenants?: TenantOptions;
}

export interface TenantOptions {
  /** The tenant that a user belongs to. */
  readonly of: (user: string) => string;
  /** Of the upstream's permits, for one tenant. */
  readonly share: number;
}

/** The defaults of an upstream's configuration. */
export const DEFAULT_OPTIONS: TidegateOptions = {
  upstream: {
    timeoutMs: 10_000,
    breaker: DEFAULT_BREAKER,
    concurrency: { max: 1000, waiting: 64, maxWaitMs: 100, adaptive: true },
    retryBudget: 0.1,
    targetWeights: [1],
  },
  retry: { attempts: 2, delayMs: 25, maxDelayMs: 250 },
};
