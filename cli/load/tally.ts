// Adds up what happened to the requests of one path.
import { percentiles, type Percentiles } from "./percentiles.ts";

export interface PathReport {
  readonly path: string;
  /** Requests that were meant to start, whether they did or not. */
  readonly offered: number;
  /** Answers by status. */
  readonly statuses: Readonly<Record<string, number>>;
  /** Answers with a problem body by its `code`, e.g. `shed`. */
  readonly codes: Readonly<Record<string, number>>;
  /** No answer: connection lost or timed out on our side. */
  readonly errors: number;
  /** Never started: too many requests were in flight. */
  readonly dropped: number;
  /** 2xx answers. */
  readonly ok: number;
  /** Latency of 2xx answers in ms, from the intended start. */
  readonly okLatencyMs: Percentiles;
  /** Latency of all other answers in ms, from the intended start. */
  readonly otherLatencyMs: Percentiles;
}

export interface Answer {
  readonly status: number;
  /** The problem's `code`, or null. */
  readonly code: string | null;
  readonly latencyMs: number;
}

export class PathTally {
  readonly #path: string;
  readonly #statuses: Record<string, number> = {};
  readonly #codes: Record<string, number> = {};
  readonly #okMs: number[] = [];
  readonly #otherMs: number[] = [];
  offered = 0;
  errors = 0;
  dropped = 0;

  constructor(path: string) {
    this.#path = path;
  }

  record({ status, code, latencyMs }: Answer): void {
    this.#statuses[status] = (this.#statuses[status] ?? 0) + 1;
    if (code !== null) this.#codes[code] = (this.#codes[code] ?? 0) + 1;
    (isOk(status) ? this.#okMs : this.#otherMs).push(latencyMs);
  }

  report(): PathReport {
    return {
      path: this.#path,
      offered: this.offered,
      statuses: this.#statuses,
      codes: this.#codes,
      errors: this.errors,
      dropped: this.dropped,
      ok: this.#okMs.length,
      okLatencyMs: percentiles(this.#okMs),
      otherLatencyMs: percentiles(this.#otherMs),
    };
  }
}

function isOk(status: number): boolean {
  return status >= 200 && status < 300;
}
