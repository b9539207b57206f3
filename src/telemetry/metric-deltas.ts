// What an isolate's counters have grown by since it last told its hub: a scrape shows the sums of a region,
// never one isolate's. A series is told of when it is new, too, so that all of its kind are there from the
// beginning.

import { MAX_REPORT_ENTRIES, MAX_SERIES_CHARS } from "../hub/protocol.ts";
import type { PrometheusText } from "./prometheus.ts";

export type Series = readonly [series: string, value: number];

export class MetricDeltas {
  readonly #reported = new Map<string, number>();
  /** Whether the last report could not hold all that had grown. */
  hasMore = false;

  /**
   * Growth since the last call, as much of it as one report takes; the rest comes with the next ones. It is
   * part of a report from now on. A series that no hub takes is left out: it would have the report refused.
   */
  take(text: PrometheusText): Series[] {
    const grown = this.#growth(text).filter(([series, by]) => series.length <= MAX_SERIES_CHARS && by >= 0);
    const deltas = grown.slice(0, MAX_REPORT_ENTRIES);
    this.hasMore = grown.length > deltas.length;
    for (const [series, by] of deltas) this.#reported.set(series, (this.#reported.get(series) ?? 0) + by);
    return deltas;
  }

  /** What is not part of any report yet. */
  #growth(text: PrometheusText): Series[] {
    return text.series().flatMap(([series, value]): Series[] => {
      const before = this.#reported.get(series);
      return before === value ? [] : [[series, value - (before ?? 0)]];
    });
  }
}
