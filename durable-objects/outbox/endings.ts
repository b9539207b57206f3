// Who waits for a job to end.

export class Endings {
  readonly #waiting = new Map<number, Set<() => void>>();

  /** Resolves when the job has ended, or after `waitMs`. */
  ended(seq: number, waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(seq) ?? new Set();
      this.#waiting.set(seq, waiting);
      const done = (): void => {
        clearTimeout(timer);
        waiting.delete(done);
        if (waiting.size === 0) this.#waiting.delete(seq);
        resolve();
      };
      const timer = setTimeout(done, waitMs);
      waiting.add(done);
    });
  }

  tell(seq: number): void {
    for (const done of this.#waiting.get(seq) ?? []) done();
  }
}
