// Durations as the configuration writes them: a number of milliseconds, or a number with a unit.

const MS_PER_UNIT: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const WRITTEN = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/;
/** What is finer than a microsecond is the rounding error of a decimal like `1.005s`. */
const STEPS_PER_MS = 1000;

function roundToMicrosecond(ms: number): number {
  return Math.round(ms * STEPS_PER_MS) / STEPS_PER_MS;
}

/** Milliseconds of `250`, `"250ms"`, `"1.5s"`, `"5m"`, `"24h"` or `"7d"`; null for everything else. */
export function parseDuration(value: unknown): number | null {
  if (typeof value === "number") return Number.isFinite(value) && value >= 0 ? value : null;
  if (typeof value !== "string") return null;
  const match = WRITTEN.exec(value);
  if (match === null) return null;
  const ms = roundToMicrosecond(Number(match[1]) * MS_PER_UNIT[match[2]]);
  return Number.isFinite(ms) ? ms : null;
}
