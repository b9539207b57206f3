// Named places at which an outbox can be killed, to prove what a crash there leaves behind. Only in local
// development and tests; elsewhere they cannot be set.

/** In the order in which a job passes them. */
export const FAILPOINTS = [
  "mid_batch",
  "after_commit",
  "before_publish",
  "after_publish",
  "before_mark",
  "after_settle",
  "before_sequel",
  "after_sequel",
] as const;

export type Failpoint = (typeof FAILPOINTS)[number];

export class Failpoints {
  readonly #state: DurableObjectState;
  readonly #isLocal: () => boolean;
  #armed: Failpoint | null = null;
  #passesLeft = 0;

  constructor(state: DurableObjectState, isLocal: () => boolean) {
    this.#state = state;
    this.#isLocal = isLocal;
  }

  /** After so many passes that are survived. False: unknown, or not in local development. */
  set(name: Failpoint, survived: number): boolean {
    if (!this.#isLocal() || !FAILPOINTS.includes(name)) return false;
    this.#armed = name;
    this.#passesLeft = survived;
    return true;
  }

  pass(name: Failpoint): void {
    if (this.#armed !== name || this.#passesLeft-- > 0) return;
    this.#armed = null;
    this.#state.abort(`failpoint ${name}`);
    throw new Error(`failpoint ${name}`);
  }
}
