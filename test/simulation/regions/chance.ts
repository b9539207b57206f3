// Chance in a simulated world, from one seed.

import type { RandomSource } from "../../../src/resilience/random.ts";
import { createRandom, nextRandom } from "../../../src/resilience/random.ts";

export type Range = readonly [low: number, high: number];

export class Chance {
  readonly #random: RandomSource;

  constructor(seed: number) {
    this.#random = createRandom(seed);
  }

  /** Uniform in [0, 1). */
  next(): number {
    return nextRandom(this.#random);
  }

  within([low, high]: Range): number {
    return low + (high - low) * this.next();
  }

  /** A whole number from `low` to `high`, both included. */
  whole(low: number, high: number): number {
    return low + Math.floor((high - low + 1) * this.next());
  }

  happens(probability: number): boolean {
    return this.next() < probability;
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[Math.floor(items.length * this.next())];
  }

  /** Time to the next event of a Poisson process. */
  gap(perMs: number): number {
    return -Math.log(1 - this.next()) / perMs;
  }
}
