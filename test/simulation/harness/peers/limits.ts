// Limits of Netflix's concurrency-limits (github.com/Netflix/concurrency-limits), with their defaults.
//
//   Vegas      queue = ceil(L (1 - rtt0 / rtt)), rtt0 the least so far; alpha = 3 l, beta = 6 l, l = log10 L;
//              dropped or queue > beta: L - l; queue <= l: L + beta; queue < alpha: L + l; 20 at first,
//              1..1000; no change while fewer than L/2 are under way
//   Gradient2  g = clamp(1.5 long / short, 0.5, 1); L' = 0.8 L + 0.2 (g L + 4); long: mean of the first 10,
//              then an exponential one over 600; times 0.95 when above 2 short; 20 at first, 20..200; no
//              change while fewer than L/2 are under way; drops are not looked at
//   window     both get the mean latency of a second with at least 10 answers, not single answers
//
// In their favour: both begin with the number of places of the upstream, not with 20, from where they would
// climb for the whole run; and Vegas gets the window too, which it need not have: without it, the fastest
// answer ever is taken for an idle upstream, and where service times scatter it shrinks to nothing. Left
// out: its new rtt0 after 15 L to 30 L samples, which with samples of a second lies beyond these runs.

export interface Limit {
  readonly limit: number;
  /** Latency in ms, the most that were under way, and whether something was dropped. */
  sample(latencyMs: number, inflight: number, dropped: boolean): void;
}

/** A number that somebody knows. */
export function fixedLimit(limit: number): Limit {
  return { limit, sample: () => {} };
}

const VEGAS_MAX = 1000;

export class Vegas implements Limit {
  limit: number;
  #leastMs = Number.POSITIVE_INFINITY;

  constructor(firstLimit: number) {
    this.limit = firstLimit;
  }

  sample(latencyMs: number, inflight: number, dropped: boolean): void {
    if (latencyMs < this.#leastMs) {
      this.#leastMs = latencyMs;
      return;
    }
    const step = Math.max(1, Math.floor(Math.log10(this.limit)));
    const queue = Math.ceil(this.limit * (1 - this.#leastMs / latencyMs));
    let change = 0;
    if (dropped) change = -step;
    else if (inflight * 2 < this.limit) return;
    else if (queue <= step) change = 6 * step;
    else if (queue < 3 * step) change = step;
    else if (queue > 6 * step) change = -step;
    this.limit = clamp(this.limit + change, 1, VEGAS_MAX);
  }
}

const GRADIENT = { tolerance: 1.5, smoothing: 0.2, queue: 4, min: 20, max: 200, warmUp: 10, long: 600 };

export class Gradient2 implements Limit {
  #limit: number;
  #longMs = 0;
  #samples = 0;

  constructor(firstLimit: number) {
    this.#limit = firstLimit;
  }

  get limit(): number {
    return Math.floor(this.#limit);
  }

  sample(latencyMs: number, inflight: number): void {
    const { tolerance, smoothing, queue, min, max, warmUp, long } = GRADIENT;
    this.#samples++;
    const weight = this.#samples <= warmUp ? 1 / this.#samples : 2 / (long + 1);
    this.#longMs += (latencyMs - this.#longMs) * weight;
    const longMs = this.#longMs;
    if (longMs > 2 * latencyMs) this.#longMs *= 0.95;
    if (inflight < this.#limit / 2) return;
    const gradient = clamp((tolerance * longMs) / latencyMs, 0.5, 1);
    const next = this.#limit * gradient + queue;
    this.#limit = clamp(this.#limit * (1 - smoothing) + next * smoothing, min, max);
  }
}

const WINDOW_MS = 1000;
const WINDOW_SAMPLES = 10;
const LEAST_LATENCY_MS = 0.1;

/** Gives a limit the means of seconds. */
export class Windowed {
  readonly #of: Limit;
  #endsAt = 0;
  #count = 0;
  #sumMs = 0;
  #inflight = 0;
  #dropped = false;

  constructor(of: Limit) {
    this.#of = of;
  }

  get limit(): number {
    return this.#of.limit;
  }

  sample(latencyMs: number, inflight: number, dropped: boolean, now: number): void {
    if (latencyMs < LEAST_LATENCY_MS) return;
    this.#count++;
    this.#sumMs += latencyMs;
    this.#inflight = Math.max(this.#inflight, inflight);
    this.#dropped ||= dropped;
    if (now <= this.#endsAt) return;
    this.#endsAt = now + WINDOW_MS;
    if (this.#count >= WINDOW_SAMPLES) {
      this.#of.sample(this.#sumMs / this.#count, this.#inflight, this.#dropped);
    }
    this.#count = 0;
    this.#sumMs = 0;
    this.#inflight = 0;
    this.#dropped = false;
  }
}

function clamp(value: number, least: number, most: number): number {
  return Math.max(least, Math.min(most, value));
}
