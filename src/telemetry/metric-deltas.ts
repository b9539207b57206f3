// What an isolate's counters have grown by since it last told its hub: a scrape shows the sums of a region,
// never one isolate's. A series is told of when it is new, too, so that all of its kind are there from the
// beginning.

import type { PrometheusText } from "./prometheus.ts";

export type Series = readonly [series: string, value: number];

export class MetricDeltas {
  readonly #reported = new Map<string, number>();

  /** Growth since the last call. It is part of a report from now on. */
  take(text: PrometheusText): Series[] {
    const deltas = this.rest(text);
    for (const [series, by] of deltas) this.#reported.set(series, (this.#reported.get(series) ?? 0) + by);
    return deltas;
  }

  /** Growth that is not part of any report yet. */
  rest(text: PrometheusText): Series[] {
    return text.series().flatMap(([series, value]): Series[] => {
      const before = this.#reported.get(series);
      return before === value ? [] : [[series, value - (before ?? 0)]];
    });
  }
}
