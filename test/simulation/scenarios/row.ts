// What a scenario hands over: numbers, one for each seed, and the lines that they are held against. A row of
// the table is made of them here, so that no scenario judges itself.

import { median, range } from "../../../bench/statistics.ts";

export type Verdict = "met" | "missed" | "not covered";

export interface Row {
  readonly id: string;
  readonly what: string;
  readonly measured: string;
  /** The pass line. */
  readonly line: string;
  readonly verdict: Verdict;
  readonly seeds: readonly number[];
}

export type Unit = "share" | "times" | "seconds" | "milliseconds" | "nanoseconds" | "count" | "rate";

export interface Bound {
  readonly value: number;
  readonly side: "at least" | "at most";
}

export interface Measure {
  readonly name: string;
  readonly unit: Unit;
  /** One for each seed; several where a scenario looks at several places, the worst of them. */
  readonly values: readonly number[];
  /** null: said for information. */
  readonly bound: Bound | null;
  /** What is never to happen is judged by the worst seed, all else by the median. */
  readonly judgedBy: "median" | "worst";
  /** False: too few runs to hold it against its bound, unless they break it. */
  readonly isConclusive: boolean;
}

export interface Entry {
  readonly id: string;
  readonly what: string;
  /** Empty: not covered by a simulation; `note` says where else it is. */
  measure(options: MeasureOptions): readonly Measure[];
  readonly note?: string;
}

export interface MeasureOptions {
  readonly seeds: readonly number[];
  /** Shorter runs, with the same loads. */
  readonly isShort: boolean;
}

export function atLeast(name: string, unit: Unit, value: number, values: readonly number[]): Measure {
  return { name, unit, values, bound: { value, side: "at least" }, judgedBy: "median", isConclusive: true };
}

export function atMost(name: string, unit: Unit, value: number, values: readonly number[]): Measure {
  return { name, unit, values, bound: { value, side: "at most" }, judgedBy: "median", isConclusive: true };
}

export function never(name: string, values: readonly number[]): Measure {
  return neverAbove(name, "count", 0, values);
}

export function neverAbove(name: string, unit: Unit, value: number, values: readonly number[]): Measure {
  return { ...atMost(name, unit, value, values), judgedBy: "worst" };
}

export function told(name: string, unit: Unit, values: readonly number[]): Measure {
  return { name, unit, values, bound: null, judgedBy: "median", isConclusive: true };
}

/** Measures one entry. */
export function rowOf(entry: Entry, options: MeasureOptions): Row {
  const measures = entry.measure(options);
  const { id, what, note } = entry;
  if (measures.length === 0) {
    return { id, what, measured: note ?? "", line: "", verdict: "not covered", seeds: [] };
  }
  const texts = measures.map(textOf);
  if (note !== undefined) texts.push(note);
  const lines = measures.flatMap(({ name, unit, bound, judgedBy }) => {
    if (bound === null) return [];
    const isNone = bound.value === 0 && bound.side === "at most";
    const text = isNone ? "none" : `${bound.side} ${format(bound.value, unit)}`;
    return [`${name} ${text}${judgedBy === "worst" && !isNone ? " in every run" : ""}`];
  });
  return {
    id,
    what,
    measured: texts.join("; "),
    line: lines.join("; "),
    verdict: verdictOn(measures),
    seeds: options.seeds,
  };
}

function verdictOn(measures: readonly Measure[]): Verdict {
  if (!measures.every(holds)) return "missed";
  const isHeldAgainstSomething = measures.some(({ bound }) => bound !== null);
  const isConclusive = measures.every((measure) => measure.isConclusive);
  return isHeldAgainstSomething && isConclusive ? "met" : "not covered";
}

function judged({ values, judgedBy, bound }: Measure): number {
  if (judgedBy === "median" || bound === null) return median(values);
  return bound.side === "at most" ? Math.max(...values) : Math.min(...values);
}

function holds(measure: Measure): boolean {
  const { bound } = measure;
  if (bound === null) return true;
  const value = judged(measure);
  return bound.side === "at most" ? value <= bound.value : value >= bound.value;
}

function textOf(measure: Measure): string {
  const { name, unit, values, bound } = measure;
  const [least, most] = range(values).map((value) => format(value, unit));
  const middle = format(median(values), unit);
  const spread = least === most ? "" : ` (${least} to ${most})`;
  const missed =
    bound === null || holds(measure) ? "" : `, **missed${missedBy(judged(measure), bound, unit)}**`;
  return `${name} ${middle}${spread}${missed}`;
}

function missedBy(value: number, bound: Bound, unit: Unit): string {
  if (!Number.isFinite(value) || bound.value === 0) return "";
  const distance = Math.abs(value - bound.value);
  if (unit === "share") return ` by ${(distance * 100).toFixed(2)} points`;
  const times = value / bound.value;
  if (times >= 3) return `, ${times.toFixed(0)} times as much`;
  return ` by ${((distance / bound.value) * 100).toFixed(0)} %`;
}

export function format(value: number, unit: Unit): string {
  if (!Number.isFinite(value)) return "never";
  switch (unit) {
    case "share":
      return `${(value * 100).toFixed(2)} %`;
    case "times":
      return `${value.toFixed(2)}x`;
    case "seconds":
      return `${value.toFixed(1)} s`;
    case "milliseconds":
      return `${value.toFixed(0)} ms`;
    case "nanoseconds":
      return `${value.toFixed(0)} ns`;
    case "count":
      return `${Math.round(value)}`;
    case "rate":
      return value === 0 || value >= 0.01 ? value.toFixed(3) : value.toExponential(1);
  }
}
