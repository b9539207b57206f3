// One isolate: the production link and replica behind ports, and the requests that it decides. A runtime may
// drop what a request began when its client hangs up: timers and answers that never come.

import type { LimitTerms, Report, SyncReply, SyncRequest } from "../../../src/hub/protocol.ts";
import type { LimitView } from "../../../src/region/limit-view.ts";
import { HubLink } from "../../../src/region/hub-link.ts";
import { createReplica } from "../../../src/region/replica.ts";
import type { NodeClock } from "./node-clock.ts";
import type { World } from "./world.ts";

const CALL_TIMEOUT_MS = 3_000;

export interface Asked {
  readonly terms: LimitTerms;
  readonly cost: number;
  readonly onUnavailable: "allow" | "deny";
}

export type Ending = "taken" | "refused" | "taken after a wait" | "refused after a wait";

export class IsolateNode {
  readonly region: string;
  readonly name: string;
  /** Runs under the newer one of two configurations. */
  isNewer = false;
  readonly link: HubLink;
  readonly clock: NodeClock;
  isDead = false;
  /** Parts of timers and answers that the runtime drops. */
  dropped = 0;
  calls = 0;
  /** True times of syncs, as far as somebody wants to know. */
  readonly syncedAt: number[] = [];
  readonly bornAt: number;
  readonly #world: World;
  #sessions = 0;
  #sentInside = false;
  /** The batch that was sent and is not settled. */
  #unsettled: Report | null = null;

  constructor(world: World, region: string, name: string, clock: NodeClock) {
    this.#world = world;
    this.region = region;
    this.name = name;
    this.clock = clock;
    this.bornAt = world.queue.now;
    const replica = createReplica(region, this.#newSession(), "config", clock.now());
    this.link = new HubLink(replica, {
      now: () => clock.now(),
      send: (request, done) => this.#send(request, done),
      startTimer: (ms, fire) => this.#startTimer(ms, fire),
      newSession: () => this.#newSession(),
    });
  }

  /** Decides one request; `done` comes at once where nothing has to be waited for. */
  request({ terms, cost, onUnavailable }: Asked, done: (ending: Ending, view: LimitView) => void): void {
    const view = this.link.view(terms);
    if (view === null) throw new Error("too many views");
    this.#sentInside = false;
    const outcome = this.link.take(view, cost, onUnavailable);
    if (outcome !== "ask") {
      if (this.#sentInside) this.#world.witness.fail("I9", `${this.name} called while it decided`);
      done(outcome, view);
      this.#behindResponse(view);
      return;
    }
    this.link.wait(view, cost, onUnavailable, (taken) => {
      if (this.isDead) return;
      done(taken ? "taken after a wait" : "refused after a wait", view);
      this.#behindResponse(view);
    });
  }

  count(counter: string, key: string, by: number): void {
    this.#world.witness.attempted(this.region, counter, key, by);
    this.link.count(counter, key, by);
  }

  /** The isolate is gone, with all that it had not sent; what was on its way may arrive. */
  kill(): void {
    if (this.isDead) return;
    this.isDead = true;
    const { frozen } = this.link.replica;
    if (frozen !== null) this.#world.witness.ambiguous(this.region, frozen);
  }

  #behindResponse(view: LimitView): void {
    this.link.prefetch(view);
    this.link.afterResponse();
  }

  #newSession(): string {
    this.#sessions++;
    return `${this.name}-${this.#sessions}`;
  }

  #startTimer(ms: number, fire: () => void): () => void {
    const { queue, chance } = this.#world;
    if (ms > 20 && chance.happens(this.dropped)) return () => {};
    return queue.startTimer(ms, () => {
      if (!this.isDead) fire();
    });
  }

  #send(request: SyncRequest, done: (reply: SyncReply | null) => void): void {
    const { network, queue, chance, witness, localMs } = this.#world;
    this.#sentInside = true;
    this.calls++;
    if (!request.urgent) {
      this.syncedAt.push(queue.now);
      // Given up without an answer.
      if (this.#unsettled !== null && this.#unsettled !== request.report) {
        witness.ambiguous(this.region, this.#unsettled);
      }
      this.#unsettled = request.report;
    }
    const isDropped = chance.happens(this.dropped);
    network.call<SyncReply>({
      from: this.name,
      to: this.region,
      delayMs: localMs,
      timeoutMs: CALL_TIMEOUT_MS,
      serve: (answer) => {
        this.#world.hub(this.region).reach((instance) => instance.sync(request, answer), answer);
      },
      done: (reply) => {
        if (this.isDead || isDropped) return;
        const { replica } = this.link;
        const before: Report | null = replica.frozen;
        const unsure = replica.ambiguous;
        done(reply);
        if (before === null || replica.frozen === before) return;
        this.#unsettled = null;
        if (replica.ambiguous === unsure) witness.acknowledged(this.region, before);
        else witness.ambiguous(this.region, before);
      },
    });
  }
}
