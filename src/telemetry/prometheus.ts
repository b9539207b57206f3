// The Prometheus text format, version 0.0.4.

import type { DurationHistogram } from "./histogram.ts";
import { BUCKET_BOUNDS_SECONDS } from "./histogram.ts";

export type Labels = Readonly<Record<string, string | number>>;

/** A metric with its samples, by series: the name with its labels, as it stands in the text. */
interface Family {
  readonly head: string;
  readonly samples: Map<string, number>;
}

export class PrometheusText {
  readonly #families = new Map<string, Family>();
  #current: Map<string, number> = new Map();

  /** Begins a metric; its samples follow. */
  metric(name: string, type: "counter" | "gauge" | "histogram", help: string): void {
    const head = `# HELP ${name} ${help}\n# TYPE ${name} ${type}`;
    const family = this.#families.get(name) ?? { head, samples: new Map<string, number>() };
    this.#families.set(name, family);
    this.#current = family.samples;
  }

  sample(name: string, labels: Labels, value: number): void {
    this.#current.set(`${name}${formatLabels(labels)}`, value);
  }

  /** Every series and its value. */
  series(): [series: string, value: number][] {
    return [...this.#families.values()].flatMap(({ samples }) => [...samples]);
  }

  /** Forgets all samples; the metrics stay known. */
  clear(): void {
    for (const { samples } of this.#families.values()) samples.clear();
  }

  /** Adds to series, also to such that this text has not; those of unknown metrics are left out. */
  add(series: Iterable<readonly [series: string, by: number]>): void {
    for (const [name, by] of series) {
      const samples = this.#families.get(familyOf(name))?.samples;
      samples?.set(name, (samples.get(name) ?? 0) + by);
    }
  }

  histogram(name: string, labels: Labels, histogram: DurationHistogram): void {
    let count = 0;
    for (let bucket = 0; bucket < histogram.counts.length; bucket++) {
      count += histogram.counts[bucket];
      this.sample(`${name}_bucket`, { ...labels, le: BUCKET_BOUNDS_SECONDS[bucket] ?? "+Inf" }, count);
    }
    this.sample(`${name}_sum`, labels, histogram.sumSeconds);
    this.sample(`${name}_count`, labels, count);
  }

  toString(): string {
    const lines = [...this.#families.values()].flatMap(({ head, samples }) => [
      head,
      ...Array.from(samples, ([series, value]) => `${series} ${value}`),
    ]);
    return `${lines.join("\n")}\n`;
  }
}

/** The metric that a series belongs to. */
function familyOf(series: string): string {
  const brace = series.indexOf("{");
  const name = brace < 0 ? series : series.slice(0, brace);
  return name.replace(/_(?:bucket|sum|count)$/, "");
}

function formatLabels(labels: Labels): string {
  const parts = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(String(value))}"`);
  return parts.length === 0 ? "" : `{${parts.join(",")}}`;
}

function escapeLabel(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
