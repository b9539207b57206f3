// The world around a HubLink in a test: a clock that the test moves, timers, and a hub that answers when the
// test says so.

import type { LeaseAnswer, SyncReply, SyncRequest } from "../../../src/hub/protocol.ts";
import { HubLink } from "../../../src/region/hub-link.ts";
import { createReplica } from "../../../src/region/replica.ts";
import { T0 } from "../hub/hubs.ts";

interface Sent {
  readonly request: SyncRequest;
  readonly done: (reply: SyncReply | null) => void;
}

export class LinkWorld {
  now = T0;
  readonly sent: Sent[] = [];
  readonly link: HubLink;
  #timers: { readonly at: number; readonly fire: () => void }[] = [];
  #sessions = 0;

  constructor() {
    this.link = new HubLink(createReplica("weur", "s", "c", T0), {
      now: () => this.now,
      send: (request, done) => this.sent.push({ request: structuredClone(request), done }),
      startTimer: (ms, fire) => {
        const timer = { at: this.now + ms, fire };
        this.#timers.push(timer);
        return () => (this.#timers = this.#timers.filter((other) => other !== timer));
      },
      newSession: () => `n${this.#sessions++}`,
    });
  }

  get timers(): number {
    return this.#timers.length;
  }

  /** Moves the clock; timers fire on the way, each at its time. */
  pass(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const [next] = this.#timers.toSorted((left, right) => left.at - right.at);
      if (next === undefined || next.at > end) break;
      this.now = Math.max(this.now, next.at);
      this.#timers = this.#timers.filter((timer) => timer !== next);
      next.fire();
    }
    this.now = end;
  }

  /** Syncs that were sent, and asks. */
  get syncs(): Sent[] {
    return this.sent.filter(({ request }) => !request.urgent);
  }

  get asks(): Sent[] {
    return this.sent.filter(({ request }) => request.urgent);
  }

  /** Answers what was sent last; `seq`: by default all is acknowledged. */
  answer(leases: readonly LeaseAnswer[] = [], of = this.sent.at(-1)): void {
    of?.done(synced(of.request.report?.seq ?? 0, leases));
  }

  /** A first sync that is answered: the isolate has met its hub. */
  meetHub(): void {
    this.link.afterResponse();
    this.answer();
    this.pass(1_000);
    this.sent.length = 0;
  }
}

export function synced(seq: number, leases: readonly LeaseAnswer[] = []): SyncReply {
  const snapshot = { region: "weur", isolates: 1_000_000_000, regions: 1, overrides: {} };
  return { kind: "synced", seq, leases, snapshot };
}

export function leaseOf(units: number, more: Partial<LeaseAnswer> = {}): LeaseAnswer {
  return { limit: "api", key: "k", units, forMs: 3000, period: 0, used: 0, retryMs: 0, resetMs: 0, ...more };
}
