// The leases that a consumer holds. Each is as long as one delivery and a margin; as long as jobs of its
// claim wait or run it is renewed. So the jobs of a consumer that died are free soon, however many it had.
//
//   lease = delivery + RENEW_AFTER_MS + SLACK_MS      renewed RENEW_AFTER_MS after it was given
//
// Nothing is begun that could outlast its lease.

import type { RenewReply, RenewRequest } from "./core/protocol.ts";
import { MAX_LEASE_MS, MIN_LEASE_MS } from "./core/protocol.ts";
import { logFault } from "./consumer-settle.ts";

/** A claim that is done by then was never renewed. */
export const RENEW_AFTER_MS = 10_000;
/** For a body from the bucket, and to say how it went. */
const SLACK_MS = 10_000;
/** After a renewal that failed. */
const AGAIN_MS = 1_000;

/** How long a lease for deliveries of that length is. */
export function leaseMsFor(deliveryMs: number): number {
  return Math.min(Math.max(deliveryMs + RENEW_AFTER_MS + SLACK_MS, MIN_LEASE_MS), MAX_LEASE_MS);
}

export interface LeaseTerms {
  readonly outbox: string;
  readonly fence: number;
  readonly leaseMs: number;
  /** By the consumer's own clock, and by the moment at which it asked. */
  readonly until: number;
}

/** The lease of one claim. Its own timer renews it; `done` for each of its jobs ends that. */
export class HeldLease {
  readonly #terms: LeaseTerms;
  readonly #renew: (request: RenewRequest) => Promise<RenewReply>;
  readonly #open: Set<string>;
  #until: number;
  #renewing: Promise<void> | null = null;
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(
    terms: LeaseTerms,
    ids: readonly string[],
    renew: (request: RenewRequest) => Promise<RenewReply>,
  ) {
    this.#terms = terms;
    this.#until = terms.until;
    this.#open = new Set(ids);
    this.#renew = renew;
    if (ids.length > 0) this.#startTimer(RENEW_AFTER_MS);
  }

  /** The job needs no lease any more. */
  done(id: string): void {
    this.#open.delete(id);
    if (this.#open.size === 0 && this.#timer !== null) clearTimeout(this.#timer);
  }

  /** Whether the job is leased for so long from now on; asks for more time where that is not enough. */
  async covers(id: string, ms: number): Promise<boolean> {
    if (this.#open.has(id) && Date.now() + ms > this.#until) await this.#prolong();
    return this.#open.has(id) && Date.now() + ms <= this.#until;
  }

  #startTimer(ms: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#prolong(), ms);
  }

  #prolong(): Promise<void> {
    if (this.#open.size === 0) return Promise.resolve();
    this.#renewing ??= this.#ask().finally(() => (this.#renewing = null));
    return this.#renewing;
  }

  async #ask(): Promise<void> {
    const { outbox, fence, leaseMs } = this.#terms;
    const ids = [...this.#open];
    const askedAt = Date.now();
    let waitMs = AGAIN_MS;
    try {
      const reply = await this.#renew({ ids, fence, leaseMs });
      if (reply.kind === "answered") {
        const held = new Set(reply.held);
        for (const id of ids) if (!held.has(id)) this.done(id);
        this.#until = askedAt + leaseMs;
        waitMs = RENEW_AFTER_MS;
      } else logFault("renew-refused", outbox, reply.field);
    } catch (error) {
      logFault("renew-failed", outbox, error);
    }
    if (this.#open.size > 0) this.#startTimer(waitMs);
  }
}
