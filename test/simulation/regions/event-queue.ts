// The one queue of a simulated world: events in the order of true time, those of one instant in the order in
// which they were planned. Nothing happens but what is planned here, so a seed says everything.

interface Event {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

export class EventQueue {
  /** True time, ms. No node sees it; each has a clock of its own. */
  now: number;
  readonly #heap: Event[] = [];
  #planned = 0;

  constructor(startMs: number) {
    this.now = startMs;
  }

  /** Plans something `ms` from now. */
  after(ms: number, run: () => void): void {
    const event = { at: this.now + Math.max(0, ms), order: this.#planned++, run };
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, heap[parent])) break;
      heap[at] = heap[parent];
      at = parent;
    }
    heap[at] = event;
  }

  /** The same as a timer: what it returns cancels it. */
  startTimer(ms: number, run: () => void): () => void {
    let isCancelled = false;
    this.after(ms, () => {
      if (!isCancelled) run();
    });
    return () => {
      isCancelled = true;
    };
  }

  /** Runs what is planned for the next `ms`. */
  runFor(ms: number): void {
    const until = this.now + ms;
    for (;;) {
      const [first] = this.#heap;
      if (first === undefined || first.at > until) break;
      this.#takeFirst();
      this.now = first.at;
      first.run();
    }
    this.now = until;
  }

  #takeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child++;
      if (!isBefore(heap[child], last)) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(left: Event, right: Event): boolean {
  return left.at < right.at || (left.at === right.at && left.order < right.order);
}
