// Netflix's partitioned limiter (github.com/Netflix/concurrency-limits, AbstractPartitionedLimiter): one
// limit L for all, and a share of it for each class.
//
//   below L under way     every class passes
//   at L and above        a class passes while fewer of it are under way than max(1, ceil(L share))
//
// What follows from it, and is tested: more than L can be under way, a class without a share still has one
// place, and at the limit an unimportant request inside its share passes while an important one beyond its
// own is refused. Nobody waits. The shares 0.6, 0.3, 0.1 are those of this comparison, not the library's: it
// has none by default.
//
// A refusal by the upstream (503) and a request that was given up are both reported as dropped.

import type { Applicant, PeerAnswer, PeerRules } from "./peer.ts";
import { peer } from "./peer.ts";
import type { PolicyFactory, PolicyReading } from "../policy.ts";
import type { Limit } from "./limits.ts";
import { Gradient2, Vegas, Windowed, fixedLimit } from "./limits.ts";

/** Of P0, P1, P2, P3. */
export const SHARES = [0.6, 0.3, 0.1, 0] as const;

/** With a limit that is told how many the upstream serves at a time. */
export function netflixTold(places: number): PolicyFactory {
  return peer("Netflix partitions, limit told", () => new Partitions(fixedLimit(places)));
}

export function netflixVegas(firstLimit: number): PolicyFactory {
  return peer("Netflix partitions, Vegas", () => new Partitions(new Vegas(firstLimit)));
}

export function netflixGradient2(firstLimit: number): PolicyFactory {
  return peer("Netflix partitions, Gradient2", () => new Partitions(new Gradient2(firstLimit)));
}

export class Partitions implements PeerRules {
  readonly refusal = "concurrency_limit";
  readonly #limit: Windowed;
  readonly #busy = [0, 0, 0, 0];

  constructor(limit: Limit) {
    this.#limit = new Windowed(limit);
  }

  advance(): void {}

  wouldPass({ trafficClass }: Pick<Applicant, "trafficClass">): boolean {
    const { limit } = this.#limit;
    const underWay = this.#busy.reduce((sum, count) => sum + count, 0);
    return underWay < limit || this.#busy[trafficClass] < placesOf(limit, trafficClass);
  }

  decided({ trafficClass }: Pick<Applicant, "trafficClass">, passed: boolean): void {
    if (passed) this.#busy[trafficClass]++;
  }

  answered({ trafficClass, answer, latencyMs, inflight, now }: PeerAnswer): void {
    this.#busy[trafficClass]--;
    const dropped = answer === null || answer === 503 || answer === 0;
    this.#limit.sample(latencyMs, inflight, dropped, now);
  }

  read(): Pick<PolicyReading, "cursor" | "limit"> {
    return { cursor: 512, limit: this.#limit.limit };
  }
}

function placesOf(limit: number, trafficClass: number): number {
  return Math.max(1, Math.ceil(limit * SHARES[trafficClass]));
}
