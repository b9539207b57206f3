// The world as an isolate sees it whose clock is wrong: all times it reads, and the deadlines it is given,
// are off by so much; how long things take is not.

import { VirtualClock } from "./clock.ts";
import type { SimulatedRequest, World } from "./policy.ts";

class SkewedClock extends VirtualClock {
  readonly #inner: VirtualClock;
  readonly #skewMs: number;

  constructor(inner: VirtualClock, skewMs: number) {
    super();
    this.#inner = inner;
    this.#skewMs = skewMs;
  }

  override get elapsedMs(): number {
    return this.#inner.elapsedMs;
  }

  override get now(): number {
    return this.#inner.now + this.#skewMs;
  }

  override after(delayMs: number, run: () => void): void {
    this.#inner.after(delayMs, run);
  }
}

export interface SkewedWorld {
  readonly world: World;
  /** A request as such an isolate is given it. */
  skew(request: SimulatedRequest): SimulatedRequest;
}

export function skewWorld(world: World, skewMs: number): SkewedWorld {
  const originals = new Map<SimulatedRequest, SimulatedRequest>();
  return {
    world: {
      ...world,
      clock: new SkewedClock(world.clock, skewMs),
      conclude: (request, ending) => {
        const original = originals.get(request) ?? request;
        originals.delete(request);
        world.conclude(original, ending);
      },
    },
    skew: (request) => {
      const skewed = { ...request, deadlineAt: request.deadlineAt + skewMs };
      originals.set(skewed, request);
      return skewed;
    },
  };
}
