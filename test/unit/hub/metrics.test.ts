import { describe, it } from "vitest";
import type { Hub } from "../../../src/hub/hub.ts";
import { MAX_SERIES, NOTHING_STORED, bootHub } from "../../../src/hub/hub.ts";
import { MAX_REPORT_ENTRIES, MAX_SERIES_CHARS } from "../../../src/hub/protocol.ts";
import type { Report } from "../../../src/hub/protocol.ts";
import { serveSync } from "../../../src/hub/sync.ts";
import { MetricDeltas } from "../../../src/telemetry/metric-deltas.ts";
import { createDurationHistogram, recordDuration } from "../../../src/telemetry/histogram.ts";
import { PrometheusText } from "../../../src/telemetry/prometheus.ts";

const NOW = 1_800_000_000_000;

function tell(hub: Hub, session: string, seq: number, metrics: Report["metrics"]): string {
  const report = { session, seq, config: "c", counts: [], uses: [], returns: [], metrics };
  return serveSync(hub, { region: "weur", session, report, asks: [], urgent: false }, NOW).kind;
}

function textOf(requests: number): PrometheusText {
  const text = new PrometheusText();
  text.metric("requests_total", "counter", "Requests.");
  text.sample("requests_total", { route: "a" }, requests);
  return text;
}

describe("metrics of a region", () => {
  it("are what all isolates have counted, each report once", ({ expect }) => {
    const hub = bootHub("weur", 0, NOTHING_STORED, NOW);
    const [one, two] = [new MetricDeltas(), new MetricDeltas()];
    const first = one.take(textOf(3));
    expect(tell(hub, "one", 1, first)).toBe("synced");
    tell(hub, "one", 1, first);
    tell(hub, "two", 1, two.take(textOf(4)));
    tell(hub, "one", 2, one.take(textOf(5)));
    expect([...hub.metrics]).toEqual([['requests_total{route="a"}', 9]]);
  });

  it("are shown as the hub has them, those of another version left out", ({ expect }) => {
    const text = textOf(5);
    text.clear();
    text.add([['requests_total{route="a"}', 9]]);
    text.add([['requests_total{route="other"}', 1]]);
    text.add([["of_another_version_total", 1]]);
    expect(text.toString()).toBe(
      [
        "# HELP requests_total Requests.",
        "# TYPE requests_total counter",
        'requests_total{route="a"} 9',
        'requests_total{route="other"} 1',
        "",
      ].join("\n"),
    );
  });

  it("tell of a series when it is new, be it zero", ({ expect }) => {
    const text = new PrometheusText();
    text.metric("took_seconds", "histogram", "Time.");
    const histogram = createDurationHistogram();
    recordDuration(histogram, 20);
    text.histogram("took_seconds", {}, histogram);
    const deltas = new MetricDeltas();
    const first = deltas.take(text);
    expect(first[0]).toEqual(['took_seconds_bucket{le="0.005"}', 0]);
    expect(first.at(-1)).toEqual(["took_seconds_count", 1]);
    expect(deltas.take(text)).toEqual([]);
  });

  it("never make a report that a hub refuses, however many series there are", ({ expect }) => {
    const hub = bootHub("weur", 0, NOTHING_STORED, NOW);
    const text = new PrometheusText();
    text.metric("requests_total", "counter", "Requests.");
    text.sample("requests_total", { route: "x".repeat(MAX_SERIES_CHARS) }, 1);
    const routes = MAX_REPORT_ENTRIES + 7;
    for (let route = 0; route < routes; route++) text.sample("requests_total", { route }, 1);
    const deltas = new MetricDeltas();
    expect(tell(hub, "one", 1, deltas.take(text))).toBe("synced");
    expect([hub.metrics.size, deltas.hasMore]).toEqual([MAX_REPORT_ENTRIES, true]);
    expect(tell(hub, "one", 2, deltas.take(text))).toBe("synced");
    expect([hub.metrics.size, deltas.hasMore]).toEqual([routes, false]);
    expect(new Set(hub.metrics.values())).toEqual(new Set([1]));
  });

  it("have no sum that falls when a clock is set back", ({ expect }) => {
    const histogram = createDurationHistogram();
    recordDuration(histogram, 5);
    recordDuration(histogram, -3_600_000);
    expect([histogram.sumSeconds, histogram.counts[0]]).toEqual([0.005, 2]);
  });

  it("are refused when they are no growth", ({ expect }) => {
    const hub = bootHub("weur", 0, NOTHING_STORED, NOW);
    const longest = "x".repeat(MAX_SERIES_CHARS);
    expect(tell(hub, "one", 1, [[longest, 1]])).toBe("synced");
    expect(tell(hub, "one", 2, [[`${longest}x`, 1]])).toBe("refused");
    expect(tell(hub, "one", 2, [["x", -1]])).toBe("refused");
    expect(tell(hub, "one", 2, [["x", Number.NaN]])).toBe("refused");
    expect(tell(hub, "one", 2, [["", 1]])).toBe("refused");
  });

  it("are of a bounded number of series", ({ expect }) => {
    const hub = bootHub("weur", 0, NOTHING_STORED, NOW);
    const reports = MAX_SERIES / MAX_REPORT_ENTRIES + 1;
    for (let seq = 1; seq <= reports; seq++) {
      tell(
        hub,
        "one",
        seq,
        Array.from({ length: MAX_REPORT_ENTRIES }, (_, at) => [`s${seq}-${at}`, 1]),
      );
    }
    expect(hub.metrics.size).toBe(MAX_SERIES);
    tell(hub, "one", reports + 1, [["s1-0", 1]]);
    expect(hub.metrics.get("s1-0")).toBe(2);
  });
});
