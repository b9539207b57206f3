// The Prometheus text format, version 0.0.4.

import type { DurationHistogram } from "./histogram.ts";
import { BUCKET_BOUNDS_SECONDS } from "./histogram.ts";

export type Labels = Readonly<Record<string, string | number>>;

export class PrometheusText {
  readonly #lines: string[] = [];

  /** Begins a metric; its samples follow. */
  metric(name: string, type: "counter" | "gauge" | "histogram", help: string): void {
    this.#lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
  }

  sample(name: string, labels: Labels, value: number): void {
    this.#lines.push(`${name}${formatLabels(labels)} ${value}`);
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
    return `${this.#lines.join("\n")}\n`;
  }
}

function formatLabels(labels: Labels): string {
  const parts = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(String(value))}"`);
  return parts.length === 0 ? "" : `{${parts.join(",")}}`;
}

function escapeLabel(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
