// Many isolates in front of one upstream, each of which decides for itself: requests meet any of them, and
// some of them are replaced by new ones every second, which know nothing.

import { nextRandom } from "../../../src/resilience/random.ts";
import type { PhaseChange, Policy, PolicyFactory, PolicyReading, SimulatedRequest, World } from "./policy.ts";

export interface FleetOptions {
  readonly isolates: number;
  /** The part of the isolates that is replaced every second. What they have begun they end. */
  readonly churn: number;
}

/** So many isolates, each with a policy of its own. */
export function fleet(one: PolicyFactory, options: FleetOptions): PolicyFactory {
  return { name: `${options.isolates} x ${one.name}`, create: (world) => new Fleet(world, one, options) };
}

class Fleet implements Policy {
  readonly #world: World;
  readonly #one: PolicyFactory;
  readonly #churn: number;
  readonly #isolates: Policy[];
  /** Those that have been replaced, too. */
  readonly #all: Policy[];
  #replacedAtMs = 0;
  #owed = 0;
  #oldest = 0;

  constructor(world: World, one: PolicyFactory, { isolates, churn }: FleetOptions) {
    this.#world = world;
    this.#one = one;
    this.#churn = churn;
    this.#isolates = Array.from({ length: isolates }, () => one.create(world));
    this.#all = [...this.#isolates];
  }

  arrive(request: SimulatedRequest): void {
    this.#replace();
    const isolates = this.#isolates;
    isolates[Math.floor(nextRandom(this.#world.random) * isolates.length)].arrive(request);
  }

  #replace(): void {
    const { elapsedMs } = this.#world.clock;
    const isolates = this.#isolates;
    this.#owed += (this.#churn * isolates.length * (elapsedMs - this.#replacedAtMs)) / 1000;
    this.#replacedAtMs = elapsedMs;
    for (; this.#owed >= 1; this.#owed--) {
      const fresh = this.#one.create(this.#world);
      isolates[this.#oldest] = fresh;
      this.#all.push(fresh);
      this.#oldest = (this.#oldest + 1) % isolates.length;
    }
  }

  read(): PolicyReading {
    const readings = this.#isolates.map((isolate) => isolate.read());
    const sum = (of: (reading: PolicyReading) => number): number =>
      readings.reduce((total, reading) => total + of(reading), 0);
    return {
      cursor: sum(({ cursor }) => cursor) / readings.length,
      limit: sum(({ limit }) => limit),
      inflight: sum(({ inflight }) => inflight),
      waiting: sum(({ waiting }) => waiting),
      phase: readings.every(({ phase }) => phase === "closed") ? "closed" : "mixed",
    };
  }

  permitsOutAt(now: number): number {
    return this.#sum((isolate) => isolate.permitsOutAt(now));
  }

  get phaseChanges(): readonly PhaseChange[] {
    return this.#all.flatMap(({ phaseChanges }) => phaseChanges);
  }

  get retries(): number {
    return this.#sum(({ retries }) => retries);
  }

  get unjustRefusals(): number {
    return this.#sum(({ unjustRefusals }) => unjustRefusals);
  }

  get levelBreaches(): number {
    return this.#sum(({ levelBreaches }) => levelBreaches);
  }

  #sum(of: (isolate: Policy) => number): number {
    return this.#all.reduce((total, isolate) => total + of(isolate), 0);
  }
}
