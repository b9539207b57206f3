// An object has one alarm. This one remembers when it rings, so that most changes need not touch it, and
// notices when it should have rung and has not.

/** So late an alarm counts as lost. */
const LOST_AFTER_MS = 5_000;

export class Alarm {
  readonly #storage: DurableObjectStorage;
  #at: number | null = null;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
  }

  /** Before anything else: what was set in an earlier life of the object, which may be what woke it now. */
  async restore(): Promise<void> {
    const stored = await this.#storage.getAlarm();
    this.#at = stored === null ? null : Math.max(stored, Date.now());
  }

  /** It rings: nothing is set until somebody sets it again. */
  rings(): void {
    this.#at = null;
  }

  /** Rings at this time, or earlier when it is set so already. */
  async ringBy(at: number): Promise<void> {
    const now = Date.now();
    const isLost = this.#at !== null && now > this.#at + LOST_AFTER_MS;
    const wanted = Math.max(at, now);
    if (this.#at !== null && this.#at <= wanted && !isLost) return;
    // Remembered before anything is awaited: two that set it at once must not both believe what was before.
    this.#at = wanted;
    await this.#storage.setAlarm(wanted);
  }
}
