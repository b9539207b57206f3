// Simulated time: what is to happen, in order. Two things of the same moment happen in the order in which
// they were asked for, so a run depends on its seed alone.

interface Event {
  readonly at: number;
  readonly order: number;
  readonly act: () => void;
}

export class Timeline {
  now: number;
  #order = 0;
  /** A binary heap: the earliest first. */
  readonly #heap: Event[] = [];

  constructor(now: number) {
    this.now = now;
  }

  after(ms: number, act: () => void): void {
    const heap = this.#heap;
    const event = { at: this.now + Math.max(0, ms), order: this.#order++, act };
    let at = heap.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (isBefore(heap[parent], event)) break;
      heap[at] = heap[parent];
      at = parent;
    }
    heap[at] = event;
  }

  /** Lets everything happen until `end`. */
  runUntil(end: number): void {
    while (this.#heap.length > 0 && this.#heap[0].at <= end) {
      const event = this.#takeFirst();
      this.now = event.at;
      event.act();
    }
    this.now = end;
  }

  #takeFirst(): Event {
    const heap = this.#heap;
    const [first] = heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child++;
      if (isBefore(last, heap[child])) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(one: Event, other: Event): boolean {
  return one.at === other.at ? one.order < other.order : one.at < other.at;
}
