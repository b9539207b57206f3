// When requests are meant to start. The times are made ahead of the answers and never wait for them:
// an open loop, in which a slow gateway gets no less load (R. Jain; "coordinated omission", G. Tene).

export type ArrivalProcess = "poisson" | "even";

/** The gap to the next arrival in ms: 1000/rate, or exponential with that mean (-ln(1-u) times it). */
export function arrivalGapMs(process: ArrivalProcess, ratePerSecond: number, random: () => number): number {
  const meanMs = 1000 / ratePerSecond;
  return process === "even" ? meanMs : -Math.log(1 - random()) * meanMs;
}

/** Picks an index with the probability of its share of all weights. */
export function weightedChoice(weights: readonly number[], random: () => number): number {
  let left = random() * weights.reduce((sum, weight) => sum + weight, 0);
  for (let index = 0; index < weights.length; index++) {
    left -= weights[index];
    if (left < 0) return index;
  }
  return weights.length - 1;
}
