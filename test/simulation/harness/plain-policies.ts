// What Tidegate is compared with: no protection at all, and a plain concurrency limit, which is the
// bulkhead of most libraries: so many permits, first come first served, no priorities.

import type { Answer } from "./upstream-model.ts";
import type { Ending, Policy, PolicyFactory, PolicyReading, SimulatedRequest, World } from "./policy.ts";

/** Everything goes straight to the upstream. */
export function noShedding(timeoutMs = 10_000): PolicyFactory {
  return {
    name: "no shedding",
    create: (world) => new PlainPolicy(world, Number.POSITIVE_INFINITY, timeoutMs, 1),
  };
}

/** At most `permits` at a time; the rest is refused at once. */
export function plainConcurrencyLimit(permits: number, timeoutMs = 10_000): PolicyFactory {
  return {
    name: "plain concurrency limit",
    create: (world) => new PlainPolicy(world, permits, timeoutMs, 1),
  };
}

/** Everything goes to the upstream, and what fails or times out goes again, without any budget. */
export function retriesWithoutBudget(timeoutMs: number, attempts: number): PolicyFactory {
  return {
    name: "retries without budget",
    create: (world) => new PlainPolicy(world, Number.POSITIVE_INFINITY, timeoutMs, attempts),
  };
}

class PlainPolicy implements Policy {
  readonly phaseChanges = [];
  readonly unjustRefusals = 0;
  readonly levelBreaches = 0;
  retries = 0;
  readonly #world: World;
  readonly #permits: number;
  readonly #timeoutMs: number;
  readonly #attempts: number;
  #inflight = 0;

  constructor(world: World, permits: number, timeoutMs: number, attempts: number) {
    this.#world = world;
    this.#permits = permits;
    this.#timeoutMs = timeoutMs;
    this.#attempts = attempts;
  }

  read(): PolicyReading {
    return { cursor: 512, limit: this.#permits, inflight: this.#inflight, waiting: 0, phase: "closed" };
  }

  permitsOutAt(): number {
    return this.#inflight;
  }

  arrive(request: SimulatedRequest): void {
    this.#try(request, 1);
  }

  #try(request: SimulatedRequest, attempt: number): void {
    if (this.#inflight >= this.#permits) {
      this.#world.conclude(request, "concurrency_limit");
      return;
    }
    this.#inflight++;
    let answered = false;
    const finish = (answer: Answer | null): void => {
      if (answered) return;
      answered = true;
      this.#inflight--;
      if (answer !== 200 && attempt < this.#attempts) {
        this.retries++;
        this.#try(request, attempt + 1);
        return;
      }
      this.#world.conclude(request, endingOf(answer));
    };
    this.#world.upstream.send(finish);
    this.#world.clock.after(this.#timeoutMs, () => finish(null));
  }
}

function endingOf(answer: Answer | null): Ending {
  if (answer === null) return "upstream_timeout";
  if (answer === 0) return "upstream_unreachable";
  return answer >= 500 ? "failed" : "ok";
}
