// Tells outboxes how deliveries went: what ends within a few ms goes into one call. A call that fails is made
// again, each time to a fresh stub; settlements are fenced, so one that comes twice changes nothing.

import { MAX_BATCH_JOBS, type ClaimedJob, type NextTerms, type Settlement } from "./core/protocol.ts";
import type { OutboxNamespace } from "./consumer-outboxes.ts";
import { outboxNamed } from "./consumer-outboxes.ts";

/** What ends within this time is told together. */
export const GATHER_MS = 5;
/** Pauses between the tries of a call; after the last one the lease ends by itself. */
const PAUSES_MS = [50, 250, 1_000];
const MAX_TAKEN_MS = 15 * 60_000;

interface Waiting {
  readonly settlement: Settlement;
  readonly done: (told: boolean) => void;
}

/** Who takes jobs that follow on what was settled. */
export interface Followers {
  /** Terms for them; null: none is wanted any more. */
  terms(outbox: string): NextTerms | null;
  /** `askedAt`: since when their leases count at the latest. */
  take(outbox: string, jobs: readonly ClaimedJob[], terms: NextTerms, askedAt: number): void;
}

export class Settler {
  readonly #outboxes: OutboxNamespace;
  readonly #followers: Followers;
  readonly #waiting = new Map<string, Waiting[]>();

  constructor(outboxes: OutboxNamespace, followers: Followers) {
    this.#outboxes = outboxes;
    this.#followers = followers;
  }

  /** Resolves when the outbox has heard it: true; or could not be told: false. */
  settle(outbox: string, { tookMs, ...settlement }: Settlement): Promise<boolean> {
    return new Promise((done) => {
      const waiting = this.#waiting.get(outbox) ?? [];
      waiting.push({ settlement: { ...settlement, tookMs: Math.min(tookMs, MAX_TAKEN_MS) }, done });
      if (waiting.length === 1) {
        this.#waiting.set(outbox, waiting);
        setTimeout(() => void this.#flush(outbox, waiting), GATHER_MS);
      }
      if (waiting.length >= MAX_BATCH_JOBS) void this.#flush(outbox, waiting);
    });
  }

  async #flush(outbox: string, batch: readonly Waiting[]): Promise<void> {
    // Full before its time was over.
    if (this.#waiting.get(outbox) !== batch) return;
    this.#waiting.delete(outbox);
    const told = await this.#tell(
      outbox,
      batch.map(({ settlement }) => settlement),
    );
    for (const { done } of batch) done(told);
  }

  async #tell(outbox: string, settlements: readonly Settlement[]): Promise<boolean> {
    for (const pauseMs of [...PAUSES_MS, null]) {
      try {
        const terms = this.#followers.terms(outbox);
        const askedAt = Date.now();
        const request = terms === null ? { settlements } : { settlements, next: terms };
        const reply = await outboxNamed(this.#outboxes, outbox).settle(request);
        if (reply.kind === "answered") {
          if (terms !== null) this.#followers.take(outbox, reply.next ?? [], terms, askedAt);
          return true;
        }
        return await this.#tellEach(outbox, settlements, reply.field);
      } catch (error) {
        if (pauseMs === null) logFault("settle-failed", outbox, error);
        else await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    }
    return false;
  }

  /** One that is refused must not take the others with it. */
  async #tellEach(outbox: string, settlements: readonly Settlement[], field: string): Promise<boolean> {
    if (settlements.length === 1) {
      const [{ id, fence }] = settlements;
      logFault("settle-refused", outbox, field);
      const outcome = { kind: "poison" as const, error: `its outcome was refused: ${field}` };
      const reply = await outboxNamed(this.#outboxes, outbox).settle({
        settlements: [{ id, fence, outcome, tookMs: 0 }],
      });
      return reply.kind === "answered";
    }
    const told = await Promise.all(settlements.map((each) => this.#tell(outbox, [each])));
    return told.every(Boolean);
  }
}

/** A fault of the pipeline itself, not of an upstream. */
export function logFault(event: string, outbox: string, error: unknown): void {
  const text = error instanceof Error ? error.message : String(error);
  console.error(JSON.stringify({ level: "error", event: `delivery-${event}`, outbox, error: text }));
}
