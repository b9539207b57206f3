// What each tenant may hold of an upstream, as src/edge/admission.ts takes it: a share of the permits that
// there are at the moment, held until the request has ended.

import { reclaimExpired } from "../../../src/resilience/permits.ts";
import type { TenantShare } from "../../../src/resilience/tenant-share.ts";
import {
  createTenantShare,
  returnTenantShare,
  takeTenantShare,
} from "../../../src/resilience/tenant-share.ts";
import { LEASE_SLACK_MS } from "../../../src/resilience/upstream-control.ts";
import type { SimulatedRequest } from "./policy.ts";
import type { TenantOptions } from "./tidegate-options.ts";

export interface TenantPermit {
  readonly share: TenantShare;
  /** NO_PERMIT: the tenant holds all that it may. */
  readonly token: number;
}

export class TenantShares {
  readonly #options: TenantOptions;
  readonly #shares = new Map<string, TenantShare>();

  constructor(options: TenantOptions) {
    this.#options = options;
  }

  /** `limit` and `regionLimit`: the permits of the upstream that the isolate has, and its region. */
  take(request: SimulatedRequest, limit: number, regionLimit: number, now: number): TenantPermit {
    const name = this.#options.of(request.user);
    const share = this.#shares.get(name) ?? createTenantShare();
    this.#shares.set(name, share);
    const ttlMs = request.deadlineAt - now + LEASE_SLACK_MS;
    const [part, most] = [limit, regionLimit].map((permits) => this.#options.share * permits);
    return { share, token: takeTenantShare(share, part, most, now, ttlMs) };
  }

  giveBack({ share, token }: TenantPermit, now: number): void {
    returnTenantShare(share, token, now);
  }

  /** Permits that are out at a clock value. */
  outAt(now: number): number {
    let out = 0;
    for (const { permits } of this.#shares.values()) {
      reclaimExpired(permits, now);
      out += permits.inUse;
    }
    return out;
  }
}
