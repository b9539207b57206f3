// A node's own clock: off by a constant, running a little fast or slow, and set anew now and then.

import type { Chance } from "./chance.ts";
import type { EventQueue } from "./event-queue.ts";

export class NodeClock {
  #offsetMs: number;
  readonly #drift: number;
  readonly #startMs: number;
  readonly #queue: EventQueue;

  constructor(queue: EventQueue, offsetMs: number, drift: number) {
    this.#queue = queue;
    this.#startMs = queue.now;
    this.#offsetMs = offsetMs;
    this.#drift = drift;
  }

  /** Whole ms, as runtimes give them. */
  now(): number {
    const { now } = this.#queue;
    return Math.round(now + this.#offsetMs + this.#drift * (now - this.#startMs));
  }

  set(offsetMs: number): void {
    this.#offsetMs = offsetMs;
  }
}

/** A clock that is off by at most `skewMs` and drifts by at most 200 ppm. */
export function randomClock(queue: EventQueue, chance: Chance, skewMs: number): NodeClock {
  if (skewMs === 0) return new NodeClock(queue, 0, 0);
  return new NodeClock(queue, chance.within([-skewMs, skewMs]), chance.within([-2e-4, 2e-4]));
}
