// Watches what a cursor decides, from outside: as long as it does not move, nobody is shed who is more
// important than somebody who passed.

import type { ShedLoop } from "../../../src/resilience/cursor.ts";

export class LevelWitness {
  breaches = 0;
  #cursor = Number.NaN;
  #fraction = Number.NaN;
  #leastThatPassed = -1;
  #bestThatDidNot = Number.POSITIVE_INFINITY;

  /** Takes in one decision about a request of this level. */
  see({ cursor, fraction }: ShedLoop, level: number, passes: boolean): void {
    if (cursor !== this.#cursor || fraction !== this.#fraction) {
      this.#cursor = cursor;
      this.#fraction = fraction;
      this.#leastThatPassed = -1;
      this.#bestThatDidNot = Number.POSITIVE_INFINITY;
    }
    if (passes ? this.#bestThatDidNot < level : this.#leastThatPassed > level) this.breaches++;
    if (passes) this.#leastThatPassed = Math.max(this.#leastThatPassed, level);
    else this.#bestThatDidNot = Math.min(this.#bestThatDidNot, level);
  }
}
