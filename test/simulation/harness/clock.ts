// A virtual clock with its events: time jumps from one to the next, and events of one instant happen in
// the order in which they were planned. The same seed and the same program give the same run, always.

/** Code under test sees clock values as large as real ones, in whole ms like `Date.now()`. */
export const EPOCH_MS = 1_800_000_000_000;

interface Event {
  readonly at: number;
  readonly sequence: number;
  readonly run: () => void;
}

export class VirtualClock {
  readonly #heap: Event[] = [];
  #sequence = 0;
  #now = 0;

  /** Ms since the start of the run, with fractions. */
  get elapsedMs(): number {
    return this.#now;
  }

  /** What `Date.now()` would say. */
  get now(): number {
    return EPOCH_MS + Math.floor(this.#now);
  }

  /** Plans an event `delayMs` from now. An event cannot be taken back; it may find that it is late. */
  after(delayMs: number, run: () => void): void {
    const event = { at: this.#now + Math.max(0, delayMs), sequence: this.#sequence++, run };
    const heap = this.#heap;
    let index = heap.push(event) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (isBefore(heap[parent], event)) break;
      heap[index] = heap[parent];
      index = parent;
    }
    heap[index] = event;
  }

  /** Runs events until none is left at or before `untilMs`. */
  runUntil(untilMs: number): void {
    for (let event = this.#heap[0]; event !== undefined && event.at <= untilMs; event = this.#heap[0]) {
      this.#dropFirst();
      this.#now = event.at;
      event.run();
    }
    if (Number.isFinite(untilMs)) this.#now = Math.max(this.#now, untilMs);
  }

  #dropFirst(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child++;
      if (isBefore(last, heap[child])) break;
      heap[index] = heap[child];
      index = child;
    }
    heap[index] = last;
  }
}

function isBefore(one: Event, other: Event): boolean {
  return one.at < other.at || (one.at === other.at && one.sequence < other.sequence);
}
