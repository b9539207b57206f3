// Named places at which an object can be killed, to prove what a crash there leaves behind. Only in local
// development and tests; elsewhere they cannot be set.

export class Failpoints<Name extends string> {
  readonly #state: DurableObjectState;
  readonly #names: readonly Name[];
  readonly #isLocal: () => boolean;
  #armed: Name | null = null;
  #passesLeft = 0;

  constructor(state: DurableObjectState, names: readonly Name[], isLocal: () => boolean) {
    this.#state = state;
    this.#names = names;
    this.#isLocal = isLocal;
  }

  /** After so many passes that are survived. False: unknown, or not in local development. */
  set(name: Name, survived = 0): boolean {
    if (!this.#isLocal() || !this.#names.includes(name)) return false;
    this.#armed = name;
    this.#passesLeft = survived;
    return true;
  }

  pass(name: Name): void {
    if (this.#armed !== name || this.#passesLeft-- > 0) return;
    this.#armed = null;
    this.#state.abort(`failpoint ${name}`);
    throw new Error(`failpoint ${name}`);
  }
}
