// What lies between nodes. A message takes its time, or comes late, twice or never; a call fails when its
// answer is not there in time, and what was called may then happen all the same, later.

import type { Chance, Range } from "./chance.ts";
import type { EventQueue } from "./event-queue.ts";

export interface LinkFaults {
  /** Parts of all messages. */
  readonly loss: number;
  readonly duplicate: number;
  readonly late: number;
  readonly latenessMs: Range;
}

export const NO_LINK_FAULTS: LinkFaults = { loss: 0, duplicate: 0, late: 0, latenessMs: [0, 0] };

export interface Call<Reply> {
  readonly from: string;
  readonly to: string;
  readonly delayMs: Range;
  readonly timeoutMs: number;
  /** Serves the call where it arrives; it may answer later, never, or with null: an error. */
  readonly serve: (answer: (reply: Reply | null) => void) => void;
  /** Called once; null: the call has failed, as far as the caller knows. */
  readonly done: (reply: Reply | null) => void;
}

export class Network {
  faults: LinkFaults = NO_LINK_FAULTS;
  /** `from>to` of links that carry nothing, in one direction. */
  readonly cut = new Set<string>();
  sent = 0;
  readonly #queue: EventQueue;
  readonly #chance: Chance;

  constructor(queue: EventQueue, chance: Chance) {
    this.#queue = queue;
    this.#chance = chance;
  }

  call<Reply>({ from, to, delayMs, timeoutMs, serve, done }: Call<Reply>): void {
    let isOver = false;
    const finish = (reply: Reply | null): void => {
      if (isOver) return;
      isOver = true;
      done(reply);
    };
    this.#queue.after(timeoutMs, () => finish(null));
    this.#carry(from, to, delayMs, () => {
      serve((reply) => this.#carry(to, from, delayMs, () => finish(reply)));
    });
  }

  #carry(from: string, to: string, delayMs: Range, deliver: () => void): void {
    this.sent++;
    const { loss, duplicate, late, latenessMs } = this.faults;
    const chance = this.#chance;
    if (this.cut.has(`${from}>${to}`) || chance.happens(loss)) return;
    const copies = chance.happens(duplicate) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      const lateMs = chance.happens(late) ? chance.within(latenessMs) : 0;
      this.#queue.after(chance.within(delayMs) + lateMs, deliver);
    }
  }
}
