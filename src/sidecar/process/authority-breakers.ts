// A breaker for each authority that is reached past the configured upstreams: through tunnels, or as a plain
// proxy. Only whether a connection came about counts, because nothing else of it is understood here.

import { DEFAULT_BREAKER } from "../../resilience/breaker-state.ts";
import type { Breaker } from "../../resilience/breaker.ts";
import { NOT_ADMITTED, admitCall, createBreaker, recordResult } from "../../resilience/breaker.ts";
import type { Outcome } from "../../resilience/outcome.ts";

/** Authorities that are remembered; the one that was asked for longest ago is forgotten first. */
export const MAX_AUTHORITIES = 1_024;
/** Longest wait for a connection. */
export const CONNECT_TIMEOUT_MS = 10_000;

export type Admission =
  | { readonly kind: "admitted"; readonly finish: (outcome: Outcome) => void }
  | { readonly kind: "open"; readonly retryAfterMs: number };

export class AuthorityBreakers {
  readonly #breakers = new Map<string, Breaker>();

  /** Asks for one connection; call `finish` once it is there, has failed or is not wanted any more. */
  admit(authority: string, now: number): Admission {
    const breaker = this.#breakers.get(authority) ?? createBreaker(DEFAULT_BREAKER);
    this.#breakers.delete(authority);
    this.#breakers.set(authority, breaker);
    if (this.#breakers.size > MAX_AUTHORITIES) this.#forgetOldest();
    const token = admitCall(breaker, now, CONNECT_TIMEOUT_MS);
    if (token === NOT_ADMITTED) {
      const { state } = breaker;
      return { kind: "open", retryAfterMs: state.phase === "open" ? state.openUntil - now : 0 };
    }
    return {
      kind: "admitted",
      finish: (outcome) => recordResult(breaker, token, outcome, false, Date.now(), Math.random()),
    };
  }

  #forgetOldest(): void {
    for (const authority of this.#breakers.keys()) {
      this.#breakers.delete(authority);
      return;
    }
  }
}
