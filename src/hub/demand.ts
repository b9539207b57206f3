// Units asked for per second: of the running second, or of the one before where that was more.

const SECOND_MS = 1_000;

export interface Demand {
  second: number;
  units: number;
  before: number;
}

export function createDemand(now: number): Demand {
  return { second: Math.floor(now / SECOND_MS), units: 0, before: 0 };
}

export function noteDemand(demand: Demand, units: number, now: number): void {
  roll(demand, now);
  demand.units += units;
}

export function demandPerSecond(demand: Demand, now: number): number {
  roll(demand, now);
  return Math.max(demand.units, demand.before);
}

function roll(demand: Demand, now: number): void {
  const second = Math.floor(now / SECOND_MS);
  if (second === demand.second) return;
  demand.before = second === demand.second + 1 ? demand.units : 0;
  demand.second = second;
  demand.units = 0;
}
