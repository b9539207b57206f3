// What an isolate is given of an upstream's permits and retries. Shares of different moments do not add up;
// what has been given does:
//
//   free = limit - what the others were given last
//   permits = min(max(share, what it needs now), free)
//   after the limit was lowered below what is given (free < what it had): its share, if that is less
//
// So at no time more is out than the limit, but for what an isolate had before the limit was lowered, for
// newcomers, which get their share at once, and for one permit each.

import type { RandomSource } from "../resilience/random.ts";
import { nextRandom } from "../resilience/random.ts";
import type { RetryBudget } from "../resilience/retry-budget.ts";
import { retriesLeft } from "../resilience/retry-budget.ts";
import type { Demands } from "./load-shares.ts";
import { grantedToOthers, noteDemand, permitsOfOthers } from "./load-shares.ts";

/** Gives an isolate its permits of a limit; `need`: what it has in flight and in line. */
export function grantPermits(
  demands: Demands,
  isolate: string,
  limit: number,
  share: number,
  need: number,
): number {
  const free = limit - permitsOfOthers(demands, isolate);
  const demand = demands.get(isolate);
  const had = demand?.permits ?? share;
  const given = had > free ? Math.max(free, Math.min(share, had)) : Math.min(Math.max(share, need), free);
  const permits = Math.max(1, given);
  if (demand !== undefined) noteDemand(demands, isolate, { ...demand, permits });
  return permits;
}

/** An isolate's part of the retries that are left; never any that another one may be scheduling right now. */
export function grantRetries(
  demands: Demands,
  isolate: string,
  budget: RetryBudget,
  part: number,
  random: RandomSource,
  now: number,
): number {
  const left = retriesLeft(budget, now);
  const free = Math.max(0, Math.floor(left - grantedToOthers(demands, isolate)));
  const granted = Math.min(wholeOf(left * part, random), free);
  const demand = demands.get(isolate);
  // An isolate that cannot be followed gets none.
  if (demand === undefined) return 0;
  noteDemand(demands, isolate, { ...demand, granted });
  return granted;
}

/** A fraction becomes a whole number that is right on average. */
export function wholeOf(amount: number, random: RandomSource): number {
  const whole = Math.floor(amount);
  return whole + (nextRandom(random) < amount - whole ? 1 : 0);
}
