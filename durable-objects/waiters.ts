// Calls that wait until something that has a number has changed.

export class Waiters {
  readonly #bySeq = new Map<number, Set<() => void>>();

  /** Resolves at the next `wake` of this number, or after `ms`. */
  changed(seq: number, ms: number): Promise<void> {
    return new Promise((resolve) => {
      const waiters = this.#bySeq.get(seq) ?? new Set();
      this.#bySeq.set(seq, waiters);
      const wake = (): void => {
        clearTimeout(timer);
        waiters.delete(wake);
        if (waiters.size === 0) this.#bySeq.delete(seq);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      waiters.add(wake);
    });
  }

  wake(seq: number): void {
    for (const wake of this.#bySeq.get(seq) ?? []) wake();
  }
}
