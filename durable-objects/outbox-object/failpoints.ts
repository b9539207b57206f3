// Named places at which an OutboxObject can be killed, to prove what a crash there leaves behind. Only in
// local development and tests; elsewhere they cannot be set.

/** In the order in which an event passes them. */
export const OBJECT_FAILPOINTS = [
  "mid_transaction",
  "after_commit",
  "before_publish",
  "after_publish",
  "before_mark",
  "after_mark",
  "mid_collect",
] as const;

export type ObjectFailpoint = (typeof OBJECT_FAILPOINTS)[number];

export class ObjectFailpoints {
  readonly #state: DurableObjectState;
  #armed: ObjectFailpoint | null = null;

  constructor(state: DurableObjectState) {
    this.#state = state;
  }

  arm(name: ObjectFailpoint): void {
    this.#armed = name;
  }

  pass(name: ObjectFailpoint): void {
    if (this.#armed !== name) return;
    this.#armed = null;
    this.#state.abort(`failpoint ${name}`);
    throw new Error(`failpoint ${name}`);
  }
}
