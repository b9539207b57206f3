// A clock that only moves when told to, and an outbox that answers when told to.

import type { BatchPorts } from "../../../src/delivery/accept-batches.ts";
import type {
  AcceptItem,
  AcceptOutcome,
  AcceptReply,
  KeyLookup,
  Pressure,
} from "../../../src/delivery/core/protocol.ts";

export const CALM: Pressure = {
  depth: 0,
  watermark: 100,
  rejecting: false,
  rejectingCritical: false,
  retryAfterMs: 0,
};
export const FULL: Pressure = { ...CALM, depth: 100, rejecting: true, retryAfterMs: 7_000 };

interface Timer {
  readonly at: number;
  readonly fire: () => void;
}

interface Call {
  readonly items: readonly AcceptItem[];
  readonly refused: number;
  readonly lookups: readonly KeyLookup[];
  readonly at: number;
  readonly answer: (reply: AcceptReply | null) => void;
}

export class AcceptRig implements BatchPorts {
  readonly calls: Call[] = [];
  readonly withdrawn: string[] = [];
  readonly kept: Promise<unknown>[] = [];
  readonly timers = new Set<Timer>();
  #now = 1_000_000;

  now(): number {
    return this.#now;
  }

  startTimer(ms: number, fire: () => void): () => void {
    const timer = { at: this.#now + ms, fire };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  }

  send(
    items: readonly AcceptItem[],
    refused: number,
    lookups: readonly KeyLookup[] = [],
  ): Promise<AcceptReply | null> {
    return new Promise((resolve) => {
      this.calls.push({ items, refused, lookups, at: this.#now, answer: resolve });
    });
  }

  withdraw(id: string): Promise<unknown> {
    this.withdrawn.push(id);
    return Promise.resolve();
  }

  readonly keep = (work: Promise<unknown>): void => {
    this.kept.push(work);
  };

  /** Lets time pass, firing what is due in its order, and promises settle. */
  async pass(ms: number): Promise<void> {
    const until = this.#now + ms;
    for (;;) {
      await settled();
      const due = [...this.timers]
        .filter(({ at }) => at <= until)
        .toSorted((one, other) => one.at - other.at)[0];
      if (due === undefined) break;
      this.#now = Math.max(this.#now, due.at);
      this.timers.delete(due);
      due.fire();
    }
    this.#now = until;
    await settled();
  }

  /** Accepts every item of the call at that place. */
  async accept(call: number, pressure: Pressure = CALM): Promise<void> {
    const outcomes = this.calls[call].items.map((_, index): AcceptOutcome => {
      return { kind: "accepted", id: `${call}-${index}`, status: "queued" };
    });
    this.calls[call].answer({ kind: "answered", outcomes, pressure });
    await settled();
  }
}

/** Lets everything that can go on without time go on. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

export function itemOf(name: string, idempotent = false): AcceptItem {
  return {
    target: { kind: "request", request: { method: "POST", path: `/${name}`, headers: [], body: null } },
    priority: 1,
    consumer: null,
    tenant: null,
    route: "r",
    key: null,
    idempotency: idempotent ? { key: name, fingerprint: "0".repeat(64) } : null,
    traceparent: null,
    requestId: null,
    maxAgeMs: null,
  };
}
