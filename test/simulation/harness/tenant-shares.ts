// What each tenant may hold of an upstream, as src/edge/admission.ts takes it: a share of the permits that
// there are at the moment, held until the request has ended.

import type { Permits } from "../../../src/resilience/permits.ts";
import { createPermits, reclaimExpired, returnPermit, takePermit } from "../../../src/resilience/permits.ts";
import { LEASE_SLACK_MS } from "../../../src/resilience/upstream-control.ts";
import type { SimulatedRequest } from "./policy.ts";
import type { TenantOptions } from "./tidegate-options.ts";

export interface TenantPermit {
  readonly permits: Permits;
  /** NO_PERMIT: the tenant holds all that it may. */
  readonly token: number;
}

export class TenantShares {
  readonly #options: TenantOptions;
  readonly #permits = new Map<string, Permits>();

  constructor(options: TenantOptions) {
    this.#options = options;
  }

  /** `limit`: the permits of the upstream. */
  take(request: SimulatedRequest, limit: number, now: number): TenantPermit {
    const name = this.#options.of(request.user);
    const permits = this.#permits.get(name) ?? createPermits(1);
    this.#permits.set(name, permits);
    permits.limit = Math.max(1, Math.floor(this.#options.share * limit));
    return { permits, token: takePermit(permits, now, request.deadlineAt - now + LEASE_SLACK_MS) };
  }

  giveBack({ permits, token }: TenantPermit): void {
    returnPermit(permits, token);
  }

  /** Permits that are out at a clock value. */
  outAt(now: number): number {
    let out = 0;
    for (const permits of this.#permits.values()) {
      reclaimExpired(permits, now);
      out += permits.inUse;
    }
    return out;
  }
}
