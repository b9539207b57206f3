// Work that begins a moment after it was asked for, so that what comes meanwhile is done together with it.

export class Gathering {
  readonly #state: DurableObjectState;
  readonly #ms: number;
  readonly #work: () => Promise<unknown>;
  #isWaiting = false;

  constructor(state: DurableObjectState, ms: number, work: () => Promise<unknown>) {
    this.#state = state;
    this.#ms = ms;
    this.#work = work;
  }

  /** Whether the work is about to begin. */
  get isWaiting(): boolean {
    return this.#isWaiting;
  }

  /** Begins the work shortly, unless it is about to begin. */
  soon(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    setTimeout(() => {
      this.#isWaiting = false;
      this.#state.waitUntil(this.#work());
    }, this.#ms);
  }
}
