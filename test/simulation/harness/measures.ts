// Numbers read off a finished run.

import type { RunResult } from "./run.ts";

/** The share of a class that succeeded among those who arrived in [fromMs, toMs); 1 when nobody did. */
export function successShare(
  result: RunResult,
  trafficClass: number,
  fromMs = 0,
  toMs: number = result.durationMs,
): number {
  let offered = 0;
  let ok = 0;
  for (let second = Math.floor(fromMs / 1000); second < Math.ceil(toMs / 1000); second++) {
    offered += result.seconds[second].offered[trafficClass];
    ok += result.seconds[second].ok[trafficClass];
  }
  return offered === 0 ? 1 : ok / offered;
}

/** Successful answers per second in [fromMs, toMs), as a share of what the upstream can serve. */
export function goodput(result: RunResult, fromMs = 0, toMs: number = result.durationMs): number {
  return completedOk(result, fromMs, toMs) / ((result.capacity * (toMs - fromMs)) / 1000);
}

/** Successful answers as a share of what could be had: of the offered load, or of the capacity if less. */
export function usefulShare(result: RunResult, fromMs = 0, toMs: number = result.durationMs): number {
  let possible = 0;
  for (let second = Math.floor(fromMs / 1000); second < Math.ceil(toMs / 1000); second++) {
    const offered = result.seconds[second].offered.reduce((sum, count) => sum + count, 0);
    possible += Math.min(offered, result.capacity);
  }
  return completedOk(result, fromMs, toMs) / possible;
}

/** A quantile of the latencies of a class's successes that arrived in [fromMs, toMs), in ms. */
export function latencyQuantile(
  result: RunResult,
  trafficClass: number,
  quantile: number,
  fromMs = 0,
  toMs: number = result.durationMs,
): number {
  const sorted = result.classes[trafficClass].latencies
    .filter(({ arrivedMs }) => arrivedMs >= fromMs && arrivedMs < toMs)
    .map(({ ms }) => ms)
    .toSorted((one, other) => one - other);
  return sorted.length === 0 ? 0 : sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * quantile))];
}

function completedOk(result: RunResult, fromMs: number, toMs: number): number {
  let completed = 0;
  for (let second = Math.floor(fromMs / 1000); second < Math.ceil(toMs / 1000); second++) {
    completed += result.seconds[second].completedOk;
  }
  return completed;
}
