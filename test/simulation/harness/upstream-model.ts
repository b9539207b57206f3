// A modelled upstream: some servers, and what happens beyond them: requests queue first in, first out,
// or are refused with 503. It can be slow, err, refuse connections or fall silent. A request that its
// caller has given up is served all the same, as most real servers do: the work is wasted.

import type { RandomSource } from "../../../src/resilience/random.ts";
import { nextRandom } from "../../../src/resilience/random.ts";
import type { VirtualClock } from "./clock.ts";

export interface UpstreamModelOptions {
  readonly servers: number;
  readonly serviceMs: number;
  readonly service: "fixed" | "exponential";
  readonly beyond: "queue" | "refuse";
  /** There and back, in ms. */
  readonly networkMs: number;
}

/** A status, or 0 for a refused connection. */
export type Answer = number;

/** `silent`: it takes requests in and answers nothing; what has piled up is served when it is up again. */
export type UpstreamMode = "up" | "refusing" | "silent";

export class UpstreamModel {
  readonly options: UpstreamModelOptions;
  slowFactor = 1;
  errorRate = 0;
  /** Requests that reached it, by second of the run, whatever became of them. */
  readonly arrivalsBySecond: number[] = [];
  /** Requests that it has worked for, failed ones included. */
  served = 0;
  refused = 0;
  /** Requests whose service has begun, and how long all of them together had stood in the queue. */
  begun = 0;
  queuedMs = 0;
  readonly #clock: VirtualClock;
  readonly #random: RandomSource;
  readonly #queue: { readonly answer: (answer: Answer) => void; readonly sinceMs: number }[] = [];
  #queueHead = 0;
  #mode: UpstreamMode = "up";
  #busy = 0;

  constructor(options: UpstreamModelOptions, clock: VirtualClock, random: RandomSource) {
    this.options = options;
    this.#clock = clock;
    this.#random = random;
  }

  get mode(): UpstreamMode {
    return this.#mode;
  }

  set mode(mode: UpstreamMode) {
    this.#mode = mode;
    if (mode !== "up") return;
    for (let free = this.options.servers - this.#busy; free > 0; free--) this.#serveNext();
  }

  /** Requests per second that it can serve when nothing is wrong. */
  get capacity(): number {
    return capacityOf(this.options);
  }

  /** Sends one request; `done` is called with the answer, or never when the upstream is silent. */
  send(done: (answer: Answer) => void): void {
    const second = Math.floor(this.#clock.elapsedMs / 1000);
    this.arrivalsBySecond[second] = (this.arrivalsBySecond[second] ?? 0) + 1;
    const answer = (status: Answer): void => this.#clock.after(this.options.networkMs, () => done(status));
    const sinceMs = this.#clock.elapsedMs;
    if (this.mode === "silent") {
      this.#queue.push({ answer, sinceMs });
    } else if (this.mode === "refusing") {
      answer(0);
    } else if (this.#busy < this.options.servers) {
      this.#serve(answer);
    } else if (this.options.beyond === "queue") {
      this.#queue.push({ answer, sinceMs });
    } else {
      this.refused++;
      answer(503);
    }
  }

  #serve(answer: (status: Answer) => void): void {
    this.#busy++;
    this.begun++;
    const { serviceMs, service } = this.options;
    const share = service === "fixed" ? 1 : -Math.log(1 - nextRandom(this.#random));
    this.#clock.after(serviceMs * this.slowFactor * share, () => {
      this.#busy--;
      this.served++;
      answer(nextRandom(this.#random) < this.errorRate ? 500 : 200);
      if (this.mode !== "silent") this.#serveNext();
    });
  }

  #serveNext(): void {
    const next = this.#queue[this.#queueHead];
    if (next === undefined) return;
    this.#queueHead++;
    if (this.#queueHead > 1024) {
      this.#queue.splice(0, this.#queueHead);
      this.#queueHead = 0;
    }
    this.queuedMs += this.#clock.elapsedMs - next.sinceMs;
    this.#serve(next.answer);
  }
}

/** Requests per second that such an upstream can serve. */
export function capacityOf(options: UpstreamModelOptions): number {
  return (options.servers * 1000) / options.serviceMs;
}
